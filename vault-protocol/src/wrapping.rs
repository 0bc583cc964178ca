//! K's two wrappings (PROTOCOL.md section 6): under the export key, which only the password yields;
//! and for the way back once more, under the session key of one verified login.

use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::backup_key::{BACKUP_KEY_LEN, BackupKey};
use crate::binary::Binary;
use crate::ids::AccountScope;
use crate::labelled::Labelled;
use crate::sealing::{self, DoesNotOpen, OVERHEAD};

/// In bytes: nonce, ciphertext and tag.
pub const WRAPPED_KEY_LEN: usize = BACKUP_KEY_LEN + OVERHEAD;
/// In bytes: nonce, the wrapped key as ciphertext, and tag.
pub const RELEASED_KEY_LEN: usize = WRAPPED_KEY_LEN + OVERHEAD;

const WRAP_LABEL: &str = "backup-key-vault/v1 wrap";
const RELEASE_LABEL: &str = "backup-key-vault/v1 release";

/// K as the vault keeps it: the vault cannot open it.
pub type WrappedKey = Binary<WRAPPED_KEY_LEN>;
/// K's wrapping as it leaves the vault.
pub type ReleasedKey = Binary<RELEASED_KEY_LEN>;

/// `wrapped_key` = AEAD(HKDF(export_key, label wrap), K); associated data: label wrap, scope.
pub fn wrap_key<R: RngCore + CryptoRng>(
    export_key: &[u8],
    scope: &AccountScope,
    key: &BackupKey,
    rng: &mut R,
) -> WrappedKey {
    let wrapping_key = sealing::derive_key(export_key, WRAP_LABEL);
    let sealed = sealing::seal(&wrapping_key, &wrap_data(scope), key.expose_secret(), rng);
    Binary::try_from(sealed.as_slice()).expect("K has 32 bytes")
}

/// A failure means that the record belongs to another account, or that it was damaged: the password
/// has been proven right before.
pub fn unwrap_key(
    export_key: &[u8],
    scope: &AccountScope,
    wrapped: &WrappedKey,
) -> Result<BackupKey, DoesNotOpen> {
    let wrapping_key = sealing::derive_key(export_key, WRAP_LABEL);
    let opened = sealing::open(&wrapping_key, &wrap_data(scope), wrapped.as_bytes())?;
    if opened.len() != BACKUP_KEY_LEN {
        return Err(DoesNotOpen);
    }
    // Into a buffer that erases itself: an array moved into one leaves a copy behind.
    let mut bytes = Zeroizing::new([0; BACKUP_KEY_LEN]);
    bytes.copy_from_slice(&opened);
    Ok(BackupKey::from_bytes(&bytes))
}

/// `released_key` = AEAD(HKDF(session_key, label release), wrapped_key); associated data: label
/// release, scope, generation.
pub fn release_key<R: RngCore + CryptoRng>(
    session_key: &[u8],
    scope: &AccountScope,
    generation: u64,
    wrapped: &[u8; WRAPPED_KEY_LEN],
    rng: &mut R,
) -> ReleasedKey {
    let release_key = sealing::derive_key(session_key, RELEASE_LABEL);
    let data = release_data(scope, generation);
    let sealed = sealing::seal(&release_key, &data, wrapped, rng);
    Binary::try_from(sealed.as_slice()).expect("a wrapped key has 60 bytes")
}

/// Opens only with the session key of the login for which it was released.
pub fn open_released_key(
    session_key: &[u8],
    scope: &AccountScope,
    generation: u64,
    released: &ReleasedKey,
) -> Result<WrappedKey, DoesNotOpen> {
    let release_key = sealing::derive_key(session_key, RELEASE_LABEL);
    let data = release_data(scope, generation);
    let opened = sealing::open(&release_key, &data, released.as_bytes())?;
    Binary::try_from(opened.as_slice()).map_err(|_| DoesNotOpen)
}

fn wrap_data(scope: &AccountScope) -> Vec<u8> {
    Labelled::new(WRAP_LABEL).scope(scope).as_slice().to_vec()
}

fn release_data(scope: &AccountScope, generation: u64) -> Vec<u8> {
    let data = Labelled::new(RELEASE_LABEL)
        .scope(scope)
        .integer(generation);
    data.as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, TenantId, VaultId};
    use rand::rngs::OsRng;

    fn scope(account: &str) -> AccountScope {
        AccountScope {
            vault: VaultId::new("v").unwrap(),
            tenant: TenantId::new("t").unwrap(),
            account: AccountId::new(account).unwrap(),
        }
    }

    #[test]
    fn a_wrapping_opens_only_for_its_account_and_export_key() {
        let key = BackupKey::generate(&mut OsRng);
        let wrapped = wrap_key(&[1; 64], &scope("a"), &key, &mut OsRng);
        assert!(unwrap_key(&[1; 64], &scope("b"), &wrapped).is_err());
        assert!(unwrap_key(&[2; 64], &scope("a"), &wrapped).is_err());
        assert!(
            unwrap_key(&[1; 64], &scope("a"), &wrapped)
                .unwrap()
                .is_same(&key)
        );
    }

    #[test]
    fn a_release_opens_only_for_its_session_and_generation() {
        let released = release_key(&[1; 64], &scope("a"), 3, &[9; 60], &mut OsRng);
        assert!(open_released_key(&[2; 64], &scope("a"), 3, &released).is_err());
        assert!(open_released_key(&[1; 64], &scope("a"), 4, &released).is_err());
        assert!(open_released_key(&[1; 64], &scope("b"), 3, &released).is_err());
        let wrapped = open_released_key(&[1; 64], &scope("a"), 3, &released).unwrap();
        assert_eq!(wrapped, Binary([9; 60]));
    }
}
