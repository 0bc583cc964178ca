//! The keyring's file.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | kind: 1 passphrase, 2 key file |
//! | 28 | passphrase only: Argon2id memory in KiB, passes, lanes (u32 each, big-endian), 16 of salt |
//! | rest | AES-256-GCM over the content: 12 of nonce, ciphertext, tag; all before it is associated data |
//!
//! The content: u8 length of the vault id and the vault id, OPAQUE server setup 128, identity seed
//! 32, index key 32, master key 32. Nothing may follow.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand::{CryptoRng, RngCore};
use vault_protocol::VaultId;
use vault_protocol::identity::IdentitySigner;
use vault_protocol::sealing;
use zeroize::{Zeroize, Zeroizing};

use super::unlock::Unlock;
use super::{Keyring, OpaqueSetup};

/// No sealed keyring is longer, in bytes; the longest has 347.
pub const MAX_SEALED_LEN: usize = 512;

const VERSION: u8 = 1;
const KIND_PASSPHRASE: u8 = 1;
const KIND_KEY_FILE: u8 = 2;
const KEY_FILE_LABEL: &str = "backup-key-vault/v1 keyring key file";
const SALT_LEN: usize = 16;

/// Argon2id v0x13 (RFC 9106) with 64 MiB, 3 passes and 4 lanes: its second recommended choice,
/// which also a small container affords at start. A guess costs an attacker about 0.1 s of a core
/// and 64 MiB; against a weak passphrase nothing helps, so `init` makes people choose a long one or
/// a key file.
const STRETCHING: StretchingParameters = StretchingParameters {
    memory_kib: 65_536,
    passes: 3,
    lanes: 4,
};

/// Bounds of a file's parameters, checked before anything is allocated. A planted file must neither
/// take terabytes or hours, nor make a guess cheaper than with the parameters of every vault.
const MAX_MEMORY_KIB: u32 = 1_048_576;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// A keyring does not unseal. The messages are exact and reveal nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The passphrase is wrong, or bytes were changed: authentication cannot tell which.
    #[error("the keyring does not open: the passphrase is wrong, or the file is damaged")]
    WrongPassphrase,
    /// The key is another one, or bytes were changed.
    #[error("the keyring does not open: the key file holds another key, or the keyring is damaged")]
    WrongKey,
    /// It needs `keyring.key_file`.
    #[error("the keyring was sealed with a key file, not with a passphrase; set keyring.key_file")]
    SealedWithKeyFile,
    /// It needs a passphrase.
    #[error(
        "the keyring was sealed with a passphrase, not with a key file; remove keyring.key_file"
    )]
    SealedWithPassphrase,
    /// Of a later or another program.
    #[error("the keyring has format version {0}; this program reads version 1")]
    OtherVersion(u8),
    /// The file asks for more memory or time, or offers less protection, than any vault has
    /// written.
    #[error(
        "the keyring's key stretching parameters are out of bounds; the file is damaged or was planted"
    )]
    StretchingOutOfBounds,
    /// Not a sealed keyring at all, or cut off.
    #[error("the file is not a keyring, or it is damaged")]
    NotAKeyring,
}

#[derive(Clone, Copy)]
struct StretchingParameters {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Keyring {
    /// Seals it for the disk, with fresh salt and nonce: at most [`MAX_SEALED_LEN`] bytes. With a
    /// passphrase this takes about 0.2 s and 64 MiB.
    pub fn seal<R: RngCore + CryptoRng>(&self, unlock: &Unlock, rng: &mut R) -> Vec<u8> {
        let mut header = vec![VERSION];
        let key = match unlock {
            Unlock::Passphrase(passphrase) => {
                let mut salt = [0; SALT_LEN];
                rng.fill_bytes(&mut salt);
                header.push(KIND_PASSPHRASE);
                header.extend_from_slice(&STRETCHING.to_bytes());
                header.extend_from_slice(&salt);
                STRETCHING.stretch(passphrase, &salt)
            }
            Unlock::KeyFile(key) => {
                header.push(KIND_KEY_FILE);
                sealing::derive_key(key.as_slice(), KEY_FILE_LABEL)
            }
        };
        let sealed = sealing::seal(&key, &header, &encode(self), rng);
        [header, sealed].concat()
    }

    /// Opens the result of [`Keyring::seal`]. With a passphrase this takes about 0.2 s and 64 MiB.
    pub fn unseal(bytes: &[u8], unlock: &Unlock) -> Result<Self, KeyringError> {
        let (&version, rest) = bytes.split_first().ok_or(KeyringError::NotAKeyring)?;
        if version != VERSION {
            return Err(KeyringError::OtherVersion(version));
        }
        let (&kind, rest) = rest.split_first().ok_or(KeyringError::NotAKeyring)?;
        let (key, sealed, wrong) = match (kind, unlock) {
            (KIND_PASSPHRASE, Unlock::Passphrase(passphrase)) => {
                let (key, sealed) = passphrase_key(rest, passphrase)?;
                (key, sealed, KeyringError::WrongPassphrase)
            }
            (KIND_KEY_FILE, Unlock::KeyFile(key)) => {
                let key = sealing::derive_key(key.as_slice(), KEY_FILE_LABEL);
                (key, rest, KeyringError::WrongKey)
            }
            (KIND_PASSPHRASE, Unlock::KeyFile(_)) => {
                return Err(KeyringError::SealedWithPassphrase);
            }
            (KIND_KEY_FILE, Unlock::Passphrase(_)) => return Err(KeyringError::SealedWithKeyFile),
            _ => return Err(KeyringError::NotAKeyring),
        };
        let header = &bytes[..bytes.len() - sealed.len()];
        let content = sealing::open(&key, header, sealed).map_err(|_| wrong)?;
        decode(&content).ok_or(KeyringError::NotAKeyring)
    }
}

/// Reads parameters and salt; returns the key and the rest.
fn passphrase_key<'a>(
    bytes: &'a [u8],
    passphrase: &str,
) -> Result<(Zeroizing<[u8; 32]>, &'a [u8]), KeyringError> {
    let (parameters, rest) = bytes.split_first_chunk().ok_or(KeyringError::NotAKeyring)?;
    let (salt, sealed) = rest.split_first_chunk().ok_or(KeyringError::NotAKeyring)?;
    let parameters = StretchingParameters::from_bytes(parameters)?;
    Ok((parameters.stretch(passphrase, salt), sealed))
}

impl StretchingParameters {
    fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.memory_kib.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.passes.to_be_bytes());
        bytes[8..].copy_from_slice(&self.lanes.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; 12]) -> Result<Self, KeyringError> {
        let number = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let read = Self {
            memory_kib: number(0),
            passes: number(4),
            lanes: number(8),
        };
        let within = (STRETCHING.memory_kib..=MAX_MEMORY_KIB).contains(&read.memory_kib)
            && (STRETCHING.passes..=MAX_PASSES).contains(&read.passes)
            && (1..=MAX_LANES).contains(&read.lanes);
        within
            .then_some(read)
            .ok_or(KeyringError::StretchingOutOfBounds)
    }

    fn stretch(self, passphrase: &str, salt: &[u8; SALT_LEN]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(key.len()))
            .expect("the bounds above are within Argon2's");
        // Own memory, so that it can be erased: the first blocks derive from the passphrase.
        let mut memory = vec![Block::default(); params.block_count()];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.as_bytes(),
                salt,
                key.as_mut_slice(),
                &mut memory,
            )
            .expect("a passphrase is far shorter than Argon2's limit");
        memory.iter_mut().for_each(Zeroize::zeroize);
        key
    }
}

fn encode(keyring: &Keyring) -> Zeroizing<Vec<u8>> {
    let vault_id = keyring.vault_id.as_str().as_bytes();
    let length = u8::try_from(vault_id.len()).expect("a vault id has at most 64 characters");
    // The final size: growing the buffer would leave copies of the secrets behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_SEALED_LEN));
    content.push(length);
    content.extend_from_slice(vault_id);
    content.extend_from_slice(keyring.opaque.serialize().as_slice());
    content.extend_from_slice(keyring.identity_seed.as_slice());
    content.extend_from_slice(keyring.index_key.as_slice());
    content.extend_from_slice(keyring.master_key.as_slice());
    content
}

fn decode(content: &[u8]) -> Option<Keyring> {
    let (&length, rest) = content.split_first()?;
    let (vault_id, rest) = rest.split_at_checked(length.into())?;
    let (opaque, rest) = rest.split_first_chunk()?;
    let (identity_seed, rest) = rest.split_first_chunk::<32>()?;
    let (index_key, rest) = rest.split_first_chunk::<32>()?;
    let (master_key, rest) = rest.split_first_chunk::<32>()?;
    if !rest.is_empty() {
        return None;
    }
    let vault_id = std::str::from_utf8(vault_id).ok()?;
    let identity_seed = Zeroizing::new(*identity_seed);
    Some(Keyring {
        vault_id: VaultId::new(vault_id).ok()?,
        opaque: OpaqueSetup::deserialize(opaque)?,
        identity: IdentitySigner::from_seed(&identity_seed),
        identity_seed,
        index_key: Box::new(Zeroizing::new(*index_key)),
        master_key: Box::new(Zeroizing::new(*master_key)),
    })
}
