//! The holder of K can manage the record (PROTOCOL.md section 6): an Ed25519 key (RFC 8032) derived
//! from K signs replacements and deletions. An attacker with a stolen login cannot sign them.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::backup_key::BackupKey;
use crate::binary::Binary;
use crate::ids::AccountScope;
use crate::labelled::Labelled;
use crate::sealing;

const SEED_LABEL: &str = "backup-key-vault/v1 manage";

/// An Ed25519 public key, 32 bytes.
pub type ManagementKey = Binary<32>;
/// An Ed25519 signature, 64 bytes.
pub type Proof = Binary<64>;

/// The device's half; erased when dropped.
pub struct ManagementSigner(SigningKey);

impl ManagementSigner {
    /// The key pair with the seed HKDF(K, label manage).
    pub fn new(key: &BackupKey) -> Self {
        let seed = sealing::derive_key(key.expose_secret(), SEED_LABEL);
        Self(SigningKey::from_bytes(&seed))
    }

    /// Registered beside the record, so that the vault can verify what this key signs.
    pub fn management_key(&self) -> ManagementKey {
        Binary(self.0.verifying_key().to_bytes())
    }

    /// Binds the finish to the generation that it may replace: neither can be exchanged.
    pub fn sign_replacement(
        &self,
        scope: &AccountScope,
        generation: u64,
        finish_digest: &[u8; 32],
    ) -> Proof {
        let message = replacement(scope, generation, finish_digest);
        Binary(self.0.sign(message.as_slice()).to_bytes())
    }

    /// Bound to the generation: a proof that was kept deletes no later record.
    pub fn sign_deletion(&self, scope: &AccountScope, generation: u64) -> Proof {
        Binary(
            self.0
                .sign(deletion(scope, generation).as_slice())
                .to_bytes(),
        )
    }
}

/// Whether the proof allows the finish with this digest to replace this generation.
pub fn verify_replacement(
    key: &[u8; 32],
    scope: &AccountScope,
    generation: u64,
    finish_digest: &[u8; 32],
    proof: &[u8; 64],
) -> bool {
    verify(key, &replacement(scope, generation, finish_digest), proof)
}

/// Whether the proof allows the deletion of this generation.
pub fn verify_deletion(
    key: &[u8; 32],
    scope: &AccountScope,
    generation: u64,
    proof: &[u8; 64],
) -> bool {
    verify(key, &deletion(scope, generation), proof)
}

/// Whether these 32 bytes can verify anything: a key that is no curve point, or of small order,
/// would make its record unmanageable or manageable by anyone.
pub fn is_valid_key(key: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak())
}

fn replacement(scope: &AccountScope, generation: u64, finish_digest: &[u8; 32]) -> Labelled {
    let label = Labelled::new("backup-key-vault/v1 replace");
    label.scope(scope).integer(generation).bytes(finish_digest)
}

fn deletion(scope: &AccountScope, generation: u64) -> Labelled {
    Labelled::new("backup-key-vault/v1 delete")
        .scope(scope)
        .integer(generation)
}

fn verify(key: &[u8; 32], message: &Labelled, proof: &[u8; 64]) -> bool {
    let proof = Signature::from_bytes(proof);
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message.as_slice(), &proof).is_ok())
}
