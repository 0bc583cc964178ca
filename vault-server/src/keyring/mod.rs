//! The vault's long-term secrets: OPAQUE's server setup, the identity key, the index key and the
//! master key. At rest they are one sealed file (see `file`); in memory they are erased on drop
//! and never printed.
//!
//! Losing the keyring loses every key the vault keeps; leaking it, together with the database and
//! its anchor, allows an offline dictionary attack on every live record (PROTOCOL.md section 1).

pub mod file;
pub mod unlock;

use std::fmt;

use hmac::{Hmac, Mac};
use opaque_ke::ServerSetup;
use rand::{CryptoRng, RngCore};
use sha2::Sha256;
use vault_protocol::identity::IdentitySigner;
use vault_protocol::labelled::Labelled;
use vault_protocol::sealing::derive_key;
use vault_protocol::suite::Suite;
use vault_protocol::{AccountId, TenantId, VaultId};
use zeroize::{Zeroize, Zeroizing};

/// The long-term secrets of one vault.
pub struct Keyring {
    vault_id: VaultId,
    opaque: OpaqueSetup,
    identity: IdentitySigner,
    identity_seed: Zeroizing<[u8; 32]>,
    index_key: Secret,
    master_key: Secret,
}

/// OPAQUE's server setup: the OPRF seed and the server's key pair.
///
/// A type of its own because the library's `Debug` prints the seed.
pub struct OpaqueSetup(Box<ServerSetup<Suite>>);

/// A 32-byte key that stays where it is in memory and is erased on drop.
type Secret = Box<Zeroizing<[u8; 32]>>;

impl Keyring {
    /// Draws the secrets of a new vault.
    pub fn generate<R: RngCore + CryptoRng>(vault_id: VaultId, rng: &mut R) -> Self {
        let identity_seed = random_key(rng);
        Self {
            vault_id,
            opaque: OpaqueSetup(Box::new(ServerSetup::new(rng))),
            identity: IdentitySigner::from_seed(&identity_seed),
            identity_seed,
            index_key: Box::new(random_key(rng)),
            master_key: Box::new(random_key(rng)),
        }
    }

    /// The vault's name; part of what every proof and wrapping is bound to.
    pub(crate) fn vault_id(&self) -> &VaultId {
        &self.vault_id
    }

    /// OPAQUE's server setup.
    pub fn opaque(&self) -> &OpaqueSetup {
        &self.opaque
    }

    /// The key that signs statements.
    pub fn identity(&self) -> &IdentitySigner {
        &self.identity
    }

    /// Seals the anchor.
    pub fn master_key(&self) -> &[u8; 32] {
        &self.master_key
    }

    /// The database's name for an account (PROTOCOL.md section 2):
    /// HMAC-SHA-256(index key, tenant || 0x2f || account). Neither name contains a 0x2f.
    pub fn account_key(&self, tenant: &TenantId, account: &AccountId) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.index_key.as_slice())
            .expect("HMAC takes a key of any length");
        mac.update(tenant.as_str().as_bytes());
        mac.update(b"/");
        mac.update(account.as_str().as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Tells this keyring from every other and reveals nothing of its secrets. It is kept in the
    /// database, so that a keyring and a database that do not belong together are refused.
    ///
    /// SHA-256 over the label `backup-key-vault/v1 keyring fingerprint`, vault id, identity key,
    /// OPAQUE public key, and a key confirmation (HKDF under a label of its own) of OPAQUE's
    /// setup, the index key and the master key. Each of those has 256 bits or more, so that the
    /// confirmations cannot be searched.
    pub fn fingerprint(&self) -> [u8; 32] {
        let setup = self.opaque.serialize();
        Labelled::new("backup-key-vault/v1 keyring fingerprint")
            .bytes(self.vault_id.as_str().as_bytes())
            .bytes(self.identity.identity_key().0.as_bytes())
            .bytes(&self.opaque.public_key())
            .bytes(confirmation(setup.as_slice(), "opaque").as_slice())
            .bytes(confirmation(self.index_key.as_slice(), "index").as_slice())
            .bytes(confirmation(self.master_key.as_slice(), "master").as_slice())
            .sha256()
    }
}

impl OpaqueSetup {
    /// Length of the serialized setup in bytes: seed 64, private key 32, public key for unknown
    /// accounts 32.
    const LEN: usize = 128;

    /// As opaque-ke takes it. Never print it.
    pub fn expose_secret(&self) -> &ServerSetup<Suite> {
        &self.0
    }

    /// OPAQUE's server public key, as the statement names it (PROTOCOL.md section 5).
    pub(crate) fn public_key(&self) -> [u8; 32] {
        self.0.keypair().public().serialize().into()
    }

    /// The whole setup: one rebuilt from the key pair would have another seed, and open nothing.
    fn serialize(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut serialized = self.0.serialize();
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes.copy_from_slice(&serialized);
        serialized.as_mut_slice().zeroize();
        bytes
    }

    fn deserialize(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let setup = ServerSetup::deserialize(bytes).ok()?;
        Some(Self(Box::new(setup)))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({}, …)", self.vault_id.as_str())
    }
}

impl fmt::Debug for OpaqueSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueSetup(…)")
    }
}

fn random_key<R: RngCore + CryptoRng>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(key.as_mut_slice());
    key
}

fn confirmation(secret: &[u8], name: &str) -> Zeroizing<[u8; 32]> {
    derive_key(
        secret,
        &format!("backup-key-vault/v1 keyring confirmation {name}"),
    )
}

#[cfg(test)]
mod tests;
