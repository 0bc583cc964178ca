//! A vault's statement of its name and keys, signed by its identity key (PROTOCOL.md section 5). A
//! device takes keys from nowhere else.

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::PROTOCOL_VERSION;
use crate::binary::{self, Binary, to_base64url};
use crate::identity::{Fingerprint, IdentityKey, IdentitySigner};
use crate::ids::VaultId;
use crate::labelled::Labelled;
use crate::time::Timestamp;

/// How long a statement is valid, in seconds: 30 days.
pub const LIFETIME_SECONDS: u64 = 30 * 24 * 60 * 60;

/// How far a device's clock may be behind the vault's before it is called wrong, in seconds.
const CLOCK_TOLERANCE_SECONDS: u64 = 24 * 60 * 60;

/// The answer of `GET /v1/vault`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedStatement {
    /// The statement's JSON text; the signature covers these very bytes.
    pub statement: String,
    /// Ed25519 over label `backup-key-vault/v1 statement` and the text.
    pub signature: Binary<64>,
    /// The key that signed. A fingerprint cannot be turned back into it, so it travels along.
    pub identity_key: IdentityKey,
}

/// The JSON inside a [`SignedStatement`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// Compared with the name that the device expects.
    pub vault_id: VaultId,
    /// The protocol version, [`PROTOCOL_VERSION`].
    pub protocol: u64,
    /// Grows with every statement a vault signs.
    pub serial: u64,
    /// At most [`LIFETIME_SECONDS`] after it was signed; not to be used from then on.
    pub expires_at: Timestamp,
    /// The key configurations of the sealed channel, as `application/ohttp-keys`.
    #[serde(serialize_with = "encode", deserialize_with = "binary::decode")]
    pub ohttp_keys: Vec<u8>,
    /// OPAQUE's server public key, 32 bytes.
    pub opaque_server_public_key: Binary<32>,
}

/// The newest statement that a device has accepted. It remembers it, so that a vault can neither
/// show different statements of one serial, nor go back to an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenStatement {
    /// No statement below it is accepted.
    pub serial: u64,
    /// SHA-256 of the statement's text.
    pub digest: Binary<32>,
}

/// Why a statement was refused. Nothing has been sent to the vault and nothing charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementRefused {
    /// The answer is no statement of this protocol.
    #[error("the answer is not a statement of this protocol: update the app, or check the address")]
    Malformed,
    /// The key that signed is not pinned, or it did not sign this.
    #[error("this is not the vault that was pinned: do not go on, and tell the app's operator")]
    NotPinned,
    /// The vault speaks a version that this device does not know.
    #[error("the vault speaks another protocol version: update the app")]
    OtherProtocol,
    /// It is for another vault than expected.
    #[error("the statement is another vault's: check the vault id and the address")]
    OtherVault,
    /// It has expired.
    #[error(
        "the vault's statement has expired: check the device's date; if it is right, the vault is not kept up"
    )]
    Expired,
    /// The device's clock is behind.
    #[error("the device's clock is behind the vault's: set the date right and try again")]
    WrongClock,
    /// An older one than the device has already seen, or another of the same serial.
    #[error("the statement is old or forged: do not go on, and tell the app's operator")]
    Replayed,
}

impl Statement {
    /// Signs the JSON text as it is sent: no device has to write the same text again.
    pub fn sign(&self, signer: &IdentitySigner) -> SignedStatement {
        let text = serde_json::to_string(self).expect("a statement has only string keys");
        SignedStatement {
            signature: signer.sign(&signed_bytes(&text)),
            identity_key: signer.identity_key(),
            statement: text,
        }
    }
}

impl SignedStatement {
    /// Every check that a device must make, in this order: pin, signature, form, version, vault,
    /// time, serial. `vault` is `None` on first contact. The [`SeenStatement`] is to be remembered.
    pub fn verify(
        &self,
        pins: &[Fingerprint],
        vault: Option<&VaultId>,
        seen: Option<&SeenStatement>,
        now: Timestamp,
    ) -> Result<(Statement, SeenStatement), StatementRefused> {
        let signed = signed_bytes_checked(&self.statement).ok_or(StatementRefused::Malformed)?;
        let pinned = pins.contains(&self.identity_key.fingerprint());
        if !pinned || !self.identity_key.verify(&signed, &self.signature) {
            return Err(StatementRefused::NotPinned);
        }
        let statement: Statement =
            serde_json::from_str(&self.statement).map_err(|_| StatementRefused::Malformed)?;
        if statement.protocol != PROTOCOL_VERSION {
            return Err(StatementRefused::OtherProtocol);
        }
        if vault.is_some_and(|vault| *vault != statement.vault_id) {
            return Err(StatementRefused::OtherVault);
        }
        check_time(&statement, now)?;
        let this = SeenStatement {
            serial: statement.serial,
            digest: Binary(Sha256::digest(self.statement.as_bytes()).into()),
        };
        if seen.is_some_and(|seen| !may_follow(&this, seen)) {
            return Err(StatementRefused::Replayed);
        }
        Ok((statement, this))
    }
}

fn check_time(statement: &Statement, now: Timestamp) -> Result<(), StatementRefused> {
    if statement.expires_at <= now {
        return Err(StatementRefused::Expired);
    }
    let latest_expiry = now.plus_seconds(LIFETIME_SECONDS + CLOCK_TOLERANCE_SECONDS);
    if statement.expires_at > latest_expiry {
        return Err(StatementRefused::WrongClock);
    }
    Ok(())
}

fn may_follow(this: &SeenStatement, seen: &SeenStatement) -> bool {
    this.serial > seen.serial || this == seen
}

fn signed_bytes(text: &str) -> Labelled {
    Labelled::new("backup-key-vault/v1 statement").bytes(text.as_bytes())
}

/// A text from outside may be longer than a field can be.
fn signed_bytes_checked(text: &str) -> Option<Labelled> {
    u16::try_from(text.len())
        .is_ok()
        .then(|| signed_bytes(text))
}

fn encode<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_base64url(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn signer(seed: u8) -> IdentitySigner {
        IdentitySigner::from_seed(&Zeroizing::new([seed; 32]))
    }

    fn statement(serial: u64) -> Statement {
        Statement {
            vault_id: VaultId::new("v1").unwrap(),
            protocol: PROTOCOL_VERSION,
            serial,
            expires_at: NOW.plus_seconds(LIFETIME_SECONDS),
            ohttp_keys: vec![1, 2, 3],
            opaque_server_public_key: Binary([4; 32]),
        }
    }

    fn pins() -> Vec<Fingerprint> {
        vec![
            signer(9).identity_key().fingerprint(),
            signer(1).identity_key().fingerprint(),
        ]
    }

    #[test]
    fn another_vaults_key_is_refused_also_when_it_claims_the_pinned_one() {
        let foreign = statement(1).sign(&signer(2));
        assert_eq!(
            foreign.verify(&pins(), None, None, NOW).unwrap_err(),
            StatementRefused::NotPinned
        );
        let mut claimed = foreign;
        claimed.identity_key = signer(1).identity_key();
        assert_eq!(
            claimed.verify(&pins(), None, None, NOW).unwrap_err(),
            StatementRefused::NotPinned
        );
    }

    #[test]
    fn a_changed_text_is_refused() {
        let mut signed = statement(1).sign(&signer(1));
        signed.statement = signed.statement.replace("\"serial\":1", "\"serial\":2");
        assert_eq!(
            signed.verify(&pins(), None, None, NOW).unwrap_err(),
            StatementRefused::NotPinned
        );
        signed.statement = "x".repeat(70_000);
        assert_eq!(
            signed.verify(&pins(), None, None, NOW).unwrap_err(),
            StatementRefused::Malformed
        );
    }

    #[test]
    fn expired_statements_and_wrong_clocks_are_told_apart() {
        let signed = statement(1).sign(&signer(1));
        let verify = |now| signed.verify(&pins(), None, None, now).map(|_| ());
        assert_eq!(
            verify(NOW.plus_seconds(LIFETIME_SECONDS)),
            Err(StatementRefused::Expired)
        );
        let long_ago = Timestamp::from_millis(NOW.millis() - 2 * 24 * 60 * 60 * 1000);
        assert_eq!(verify(long_ago), Err(StatementRefused::WrongClock));
        assert_eq!(verify(NOW), Ok(()));
    }

    #[test]
    fn older_serials_and_equal_serials_with_other_bytes_are_refused() {
        let (_, seen) = statement(5)
            .sign(&signer(1))
            .verify(&pins(), None, None, NOW)
            .unwrap();
        let verify = |s: &Statement| {
            s.sign(&signer(1))
                .verify(&pins(), None, Some(&seen), NOW)
                .map(|_| ())
        };
        assert_eq!(verify(&statement(4)), Err(StatementRefused::Replayed));
        let mut other = statement(5);
        other.ohttp_keys.push(0);
        assert_eq!(verify(&other), Err(StatementRefused::Replayed));
        assert_eq!(verify(&statement(5)), Ok(()));
        assert_eq!(verify(&statement(6)), Ok(()));
    }

    #[test]
    fn another_vault_id_or_protocol_is_refused() {
        let signed = statement(1).sign(&signer(1));
        let expected = VaultId::new("v2").unwrap();
        assert_eq!(
            signed
                .verify(&pins(), Some(&expected), None, NOW)
                .unwrap_err(),
            StatementRefused::OtherVault
        );
        let mut newer = statement(1);
        newer.protocol = 2;
        assert_eq!(
            newer
                .sign(&signer(1))
                .verify(&pins(), None, None, NOW)
                .unwrap_err(),
            StatementRefused::OtherProtocol
        );
    }
}
