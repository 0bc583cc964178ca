//! A connection to a vault that may die, and the record of its answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::bail;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_protocol::messages::Status;
use vault_protocol::{AccountId, AccountScope, Problem};
use vault_tests::process::calls::{Calls, Said, granted};
use vault_tests::process::server::ServerProcess;

/// A connection to the vault.
#[derive(Clone)]
pub struct Line {
    pub(super) calls: Calls,
    answers: Answers,
}

/// Of each request that was answered, in this order, whether it was granted.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Vec<bool>>>);

impl Line {
    /// Connects.
    pub async fn connect(server: &ServerProcess) -> anyhow::Result<Self> {
        Self::noted(server, &Answers::default()).await
    }

    /// Connects, and notes the answers here.
    pub async fn noted(server: &ServerProcess, answers: &Answers) -> anyhow::Result<Self> {
        Ok(Self {
            calls: Calls::connect(server, "anybody").await?,
            answers: answers.clone(),
        })
    }

    pub(super) fn of(&self, account: &AccountId) -> Self {
        Self {
            calls: self.calls.for_account(account.clone()),
            answers: self.answers.clone(),
        }
    }

    pub(super) fn scope(&self) -> &AccountScope {
        self.calls.scope()
    }

    pub(super) async fn ask<M: Serialize, T: DeserializeOwned>(
        &self,
        endpoint: &str,
        message: &M,
    ) -> anyhow::Result<Said<T>> {
        self.heard(self.calls.post(endpoint, message).await?)
    }

    pub(super) async fn status(&self) -> anyhow::Result<Status> {
        granted(self.heard(self.calls.ask_status().await?)?)
    }

    pub(super) fn heard<T>(&self, said: Said<T>) -> anyhow::Result<Said<T>> {
        self.answers.lock().push(said.is_ok());
        match said {
            Err(Problem::Unavailable | Problem::Overloaded) => bail!("the vault is stopping"),
            said => Ok(said),
        }
    }
}

impl Answers {
    /// Those so far.
    pub fn granted(&self) -> Vec<bool> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
