//! The test's transport: a relay in memory, which does to messages what the test tells it.

use std::sync::{Arc, Mutex, MutexGuard};

use vault_client::call::InnerAnswer;
use vault_client::client::{Clock, VaultClient};
use vault_client::error::NoAnswer;
use vault_client::outer::OuterAnswer;
use vault_client::transport::Transport;
use vault_protocol::Problem;
use vault_protocol::inner_http::{InnerResponse, decode_request, encode_response};

use super::{NOW, TestVault};

/// A relay and the vault behind it; clones are the same relay.
#[derive(Clone)]
pub struct Wire(Arc<Mutex<State>>);

pub struct State {
    pub vault: TestVault,
    /// Applied to the first message to that endpoint, then forgotten.
    pub faults: Vec<(&'static str, Fault)>,
    /// Every sealed message that was sent.
    pub sealed: Vec<Vec<u8>>,
    pub statements: usize,
}

pub enum Fault {
    /// The message does not arrive.
    LoseRequest,
    /// The message arrives, its answer does not.
    LoseAnswer,
    /// No connection.
    Unreachable,
    /// The message arrives, the answer is changed on its way.
    Tamper,
    /// The relay answers instead of the vault.
    Outer(u16, Vec<u8>),
    /// The message arrives, and the relay answers instead of the vault.
    OuterAfter(u16, Vec<u8>),
    /// The vault answers with this problem, inside the seal, and does nothing.
    Inner(Problem),
    /// The vault calls the key unknown, and publishes the next one.
    NewKeys,
    /// The vault does this just before the message arrives.
    Before(Box<dyn FnOnce(&mut TestVault) + Send>),
}

impl Wire {
    pub fn new(vault: TestVault) -> Self {
        Self(Arc::new(Mutex::new(State {
            vault,
            faults: Vec::new(),
            sealed: Vec::new(),
            statements: 0,
        })))
    }

    pub fn client(&self) -> VaultClient<Self> {
        self.client_at(Box::new(|| NOW))
    }

    pub fn client_at(&self, clock: Clock) -> VaultClient<Self> {
        let state = self.state();
        let (trust, scope) = (state.vault.trust(), state.vault.scope.clone());
        VaultClient::new(self.clone(), trust, scope.tenant, scope.account, clock).with_pauses(&[])
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn on(&self, endpoint: &'static str, fault: Fault) {
        self.state().faults.push((endpoint, fault));
    }
}

impl State {
    fn post(&mut self, message: Vec<u8>) -> Result<OuterAnswer, NoAnswer> {
        let server = ohttp::Server::new(self.vault.ohttp_config()).unwrap();
        self.sealed.push(message.clone());
        let Ok((request, response)) = server.decapsulate(&message) else {
            return Ok(unknown_key());
        };
        let request = decode_request(&request).unwrap();
        let method = String::from_utf8(request.method).unwrap();
        let path = String::from_utf8(request.path).unwrap();
        let endpoint = path.strip_prefix(&self.vault.scope.path()).unwrap();
        let fault = self.take_fault(endpoint.trim_start_matches('/'));
        let mut tampered = false;
        let mut refused = None;
        match fault {
            Some(Fault::LoseRequest) => return Err(lost()),
            Some(Fault::Unreachable) => {
                return Err(NoAnswer::Unreachable("no network".into()));
            }
            Some(Fault::Outer(status, content)) => return Ok(OuterAnswer { status, content }),
            Some(Fault::OuterAfter(status, content)) => {
                self.vault.handle(&method, &path, &request.content);
                return Ok(OuterAnswer { status, content });
            }
            Some(Fault::Inner(problem)) => refused = Some(problem),
            Some(Fault::NewKeys) => {
                self.vault.ohttp_seed += 1;
                self.vault.serial += 1;
                return Ok(unknown_key());
            }
            Some(Fault::LoseAnswer) => {
                self.vault.handle(&method, &path, &request.content);
                return Err(lost());
            }
            Some(Fault::Tamper) => tampered = true,
            Some(Fault::Before(change)) => change(&mut self.vault),
            None => {}
        }
        let answer = match refused {
            Some(problem) => problem_answer(&problem),
            None => self.vault.handle(&method, &path, &request.content),
        };
        let inner = encode_response(&InnerResponse {
            status: answer.status,
            headers: vec![],
            content: answer.content,
        });
        let mut content = response.encapsulate(&inner).unwrap();
        if tampered {
            *content.last_mut().unwrap() ^= 1;
        }
        Ok(OuterAnswer {
            status: 200,
            content,
        })
    }

    fn take_fault(&mut self, endpoint: &str) -> Option<Fault> {
        let index = self.faults.iter().position(|fault| fault.0 == endpoint)?;
        Some(self.faults.remove(index).1)
    }
}

impl Transport for Wire {
    async fn statement(&self) -> Result<OuterAnswer, NoAnswer> {
        let mut state = self.state();
        state.statements += 1;
        Ok(OuterAnswer {
            status: 200,
            content: state.vault.statement(),
        })
    }

    async fn post_sealed(&self, message: Vec<u8>) -> Result<OuterAnswer, NoAnswer> {
        self.state().post(message)
    }
}

fn problem_answer(problem: &Problem) -> InnerAnswer {
    InnerAnswer {
        status: problem.status(),
        content: serde_json::to_vec(&problem.details()).unwrap(),
    }
}

fn lost() -> NoAnswer {
    NoAnswer::Lost("the connection ended".into())
}

fn unknown_key() -> OuterAnswer {
    let InnerAnswer { status, content } = problem_answer(&Problem::OhttpKey);
    OuterAnswer { status, content }
}
