//! Registering a key (PROTOCOL.md section 6).

use rand::rngs::OsRng;
use rand::{CryptoRng, RngCore};
use vault_ledger::LeafKey;
use vault_protocol::binary::Binary;
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RegistrationStart, RegistrationStarted,
};
use vault_protocol::{management, suite};
use vault_rules::{FinishRegistration, Secret, StartRegistration};
use zeroize::Zeroizing;

use super::error::ServiceError;
use super::{Service, account, granted, opaque};
use crate::process::stack;
use crate::stored::keys;

impl Service {
    /// `POST …/registration/start`.
    pub(crate) async fn start_registration(
        &self,
        scope: &AccountScope,
        request: RegistrationStart,
    ) -> Result<RegistrationStarted, ServiceError> {
        // Checked before anything is stored.
        suite::registration_request(&request.registration_request.0)
            .map_err(ServiceError::malformed("registration_request"))?;
        let (time, ticket) = (self.time(), Binary(*random(&mut OsRng)));
        let credential_identifier =
            stack::zeroize_stack_after(|| Secret::from_bytes(&random(&mut OsRng)));
        let (started, _) = self
            .run_for_tenant(scope, move |tenant| StartRegistration {
                time,
                credential_identifier,
                registration_ticket: ticket,
                policy: tenant.policy.clone(),
            })
            .await?;
        let registration_response = stack::zeroize_stack_after(|| {
            opaque::respond_to_registration(
                self.keyring.opaque().expose_secret(),
                &started,
                &request.registration_request,
            )
        })
        .map_err(ServiceError::malformed("registration_request"))?;
        Ok(RegistrationStarted {
            registration_response,
            registration_ticket: ticket,
            policy: started.policy().clone(),
            generation: started.generation(),
            expires_at: started.expires_at(),
        })
    }

    /// `POST …/registration/finish`. A tenant that was removed meanwhile gets no new record.
    pub(crate) async fn finish_registration(
        &self,
        scope: &AccountScope,
        request: RegistrationFinish,
    ) -> Result<RegistrationFinished, ServiceError> {
        suite::registration_record(&request.registration_record.0)
            .map_err(ServiceError::malformed("registration_record"))?;
        if !management::is_valid_key(&request.management_key.0) {
            return Err(ServiceError::InvalidField("management_key"));
        }
        let command = FinishRegistration {
            time: self.time(),
            scope: scope.clone(),
            registration_ticket: request.registration_ticket,
            registration_record: Secret::from_bytes(&request.registration_record.0),
            wrapped_key: Secret::from_bytes(&request.wrapped_key.0),
            stretching_profile: request.stretching_profile,
            management_key: request.management_key,
            replace_proof: request.replace_proof,
        };
        let (key, tenant) = (LeafKey(self.account_key(scope)), scope.tenant.clone());
        let committed = self.ledger.commit(move |batch| {
            // It need not decode: the policy is the started registration's.
            if batch.read(&keys::tenant(&tenant))?.is_none() {
                return Ok(None);
            }
            account::apply(batch, &key, &tenant, command).map(Some)
        });
        let decision = committed.await?.into_inner();
        let registered = granted(decision.ok_or(ServiceError::UnknownTenant)?)?;
        Ok(RegistrationFinished {
            generation: registered.generation,
            policy: registered.policy,
        })
    }
}

fn random<R: RngCore + CryptoRng>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(bytes.as_mut());
    bytes
}
