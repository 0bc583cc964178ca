//! Identities and keys that the ledger is given: the vault's, its master key, and the names of leaves.

use std::fmt;

use zeroize::Zeroizing;

/// The keyring's 32-byte master key, from which the keys that seal anchors are derived.
///
/// Boxed, so that moving it leaves no copies behind, and zeroized when dropped.
pub struct MasterKey(Box<Zeroizing<[u8; 32]>>);

impl MasterKey {
    /// Copies the key, straight into its box. The caller zeroizes the original.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> MasterKey {
        let mut key = MasterKey(Box::default());
        key.0.copy_from_slice(bytes);
        key
    }

    /// For sealing anchors only.
    pub(crate) fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The name of a leaf: 32 bytes that the ledger does not interpret.
///
/// It is the pseudonym of an account, so no log carries it and `Debug` does not show it. It is not a
/// secret: while it has a due time, it is in the clear in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafKey(pub [u8; 32]);

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafKey(..)")
    }
}

/// Which vault a database belongs to. It is written at creation; another one is refused at opening.
#[derive(Debug)]
pub struct VaultIdentity {
    /// The vault's id (PROTOCOL.md section 2).
    pub vault_id: String,
    /// The fingerprint of the keyring that the database was made with. Not a secret.
    pub keyring_fingerprint: [u8; 32],
    /// The key that the anchors are sealed under.
    pub master_key: MasterKey,
}
