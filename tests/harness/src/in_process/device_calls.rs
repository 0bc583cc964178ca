//! Whole calls of the tests' own device to a vault in process, as `process::calls` has them for one
//! that runs as a process.

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_protocol::messages::{RegistrationFinished, RegistrationStarted, RetrievalStarted};
use vault_protocol::{AccountScope, Problem};

use super::answer::Answered;
use super::vault::{TestTenant, TestVault};
use crate::device::{Device, EvaluatedRegistration, Guess};

/// The vault's answer inside the sealed channel.
pub type Said<T> = Result<T, Problem>;

impl TestVault {
    /// Sends a message to an endpoint of an account of the first tenant.
    pub async fn ask<M: Serialize, T: DeserializeOwned>(
        &self,
        scope: &AccountScope,
        endpoint: &str,
        message: &M,
    ) -> Said<T> {
        self.ask_as(&self.app, scope, endpoint, message).await
    }

    /// The same for any tenant.
    pub async fn ask_as<M: Serialize, T: DeserializeOwned>(
        &self,
        tenant: &TestTenant,
        scope: &AccountScope,
        endpoint: &str,
        message: &M,
    ) -> Said<T> {
        said(&self.post_as(tenant, scope, endpoint, message).await)
    }

    /// Registers a new key for an account without a live record.
    ///
    /// # Panics
    /// If the vault refuses.
    pub async fn register(&self, scope: &AccountScope, password: &str) -> Device {
        let device = Device::new(scope);
        let prepared = self.prepare_registration(&device, password).await;
        let finished = self
            .ask::<_, RegistrationFinished>(scope, "registration/finish", &prepared.message)
            .await;
        finished.expect("an account without a record can register");
        device
    }

    /// All of a registration but its finish.
    ///
    /// # Panics
    /// If the vault refuses.
    pub async fn prepare_registration(
        &self,
        device: &Device,
        password: &str,
    ) -> EvaluatedRegistration {
        let started = device.register(password);
        let answer: Said<RegistrationStarted> = self
            .ask(device.scope(), "registration/start", &started.message)
            .await;
        device.evaluated(
            &started,
            &answer.expect("a registration can always be started"),
        )
    }

    /// Starts a new guess.
    pub async fn guess(&self, scope: &AccountScope, password: &str) -> Said<RetrievalStarted> {
        let guess = Guess::new(scope, password);
        self.ask(scope, "retrieval/start", &guess.message).await
    }
}

fn said<T: DeserializeOwned>(answer: &Answered) -> Said<T> {
    if answer.status.is_success() {
        let expected = [StatusCode::OK, StatusCode::CREATED];
        assert!(expected.contains(&answer.status), "{answer:?}");
        return Ok(answer.read(answer.status));
    }
    Err(answer.problem())
}
