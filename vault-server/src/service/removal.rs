//! Ending a record on request: by its owner or by the app (PROTOCOL.md section 6).

use vault_protocol::INTEGER_LIMIT;
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::{Deletion, Removed, Reset};
use vault_rules::{Command, Decision, Delete};

use super::Service;
use super::error::ServiceError;

impl Service {
    /// `POST …/deletion`.
    pub(crate) async fn delete(
        &self,
        scope: &AccountScope,
        request: Deletion,
    ) -> Result<Removed, ServiceError> {
        let command = Delete {
            time: self.time(),
            scope: scope.clone(),
            proof: request.proof,
        };
        self.remove(scope, command).await
    }

    /// `POST …/reset`, for the app's operator.
    pub(crate) async fn reset(
        &self,
        scope: &AccountScope,
        request: Reset,
    ) -> Result<Removed, ServiceError> {
        if request.generation >= INTEGER_LIMIT {
            return Err(ServiceError::InvalidField("generation"));
        }
        let command = vault_rules::Reset {
            time: self.time(),
            generation: request.generation,
        };
        self.remove(scope, command).await
    }

    async fn remove<C>(&self, scope: &AccountScope, command: C) -> Result<Removed, ServiceError>
    where
        C: Command<Outcome = Decision<vault_rules::Removed>> + Send + 'static,
    {
        let removed = self.decide(scope, command).await?;
        Ok(Removed {
            generation: removed.generation,
        })
    }
}
