//! Destroying a record, which only a device that holds K can do.

use vault_protocol::management::ManagementSigner;
use vault_protocol::messages::{self, Removed};
use vault_protocol::{BackupKey, Binary};

use crate::call::{InnerAnswer, InnerCall};
use crate::error::Error;
use crate::trust::VaultAccount;

/// A deletion on its way.
pub struct Deletion {
    account: VaultAccount,
    proof: Binary<64>,
}

impl Deletion {
    /// Signs the deletion of this generation, as the status named it.
    pub fn begin(account: VaultAccount, generation: u64, key: &BackupKey) -> Self {
        let proof = ManagementSigner::new(key).sign_deletion(account.scope(), generation);
        Self { account, proof }
    }

    /// The request: the same bytes each time.
    pub fn request(&self) -> InnerCall {
        let message = messages::Deletion { proof: self.proof };
        InnerCall::post(self.account.scope(), "deletion", &message)
    }

    /// Reads the answer: the generation that is destroyed. [`Error::NotThisKey`] if the record is
    /// managed by another key.
    pub fn finished(&self, answer: &InnerAnswer) -> Result<u64, Error> {
        let removed: Removed = answer.read()?;
        Ok(removed.generation)
    }
}
