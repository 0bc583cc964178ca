//! The client library, connected to a vault by a network that loses messages, and to a vault that is
//! killed while it answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vault_client::client::VaultClient;
use vault_client::error::NoAnswer;
use vault_client::http::HttpTransport;
use vault_client::outer::OuterAnswer;
use vault_client::transport::Transport;

use crate::process::client;
use crate::process::server::ServerProcess;

/// The client library over such a network.
pub type LossyClient = VaultClient<Lossy>;

/// A vault that each of its clients may kill. It is started again at once.
pub type SharedServer = Arc<Mutex<ServerProcess>>;

/// The fault of one sealed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It never arrives.
    LostRequest,
    /// The vault answers, and the answer never arrives.
    LostAnswer,
    /// The vault is killed before the message arrives.
    KilledBefore,
    /// The vault is killed after its answer left, which never arrives.
    KilledAfter,
}

/// The faults of the next messages, one after the other; later ones have none.
#[derive(Clone, Default)]
pub struct Plan(Arc<Mutex<VecDeque<Fault>>>);

/// A transport with a plan.
pub struct Lossy {
    network: HttpTransport,
    server: SharedServer,
    plan: Plan,
}

impl Fault {
    /// Everything that can happen.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::LostRequest,
        Self::LostAnswer,
        Self::KilledBefore,
        Self::KilledAfter,
    ];
}

impl Plan {
    /// From now on.
    pub fn set(&self, faults: &[Fault]) {
        *self.lock() = faults.iter().copied().collect();
    }

    /// Whether all of it has happened.
    pub fn is_over(&self) -> bool {
        self.lock().is_empty()
    }

    fn next(&self) -> Fault {
        self.lock().pop_front().unwrap_or(Fault::None)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new device of an account of the first tenant, and the plan of its network.
pub fn connect(server: &SharedServer, account: &str) -> anyhow::Result<(LossyClient, Plan)> {
    let plan = Plan::default();
    let running = lock(server);
    let lossy = Lossy {
        network: client::network(&running, account)?,
        server: Arc::clone(server),
        plan: plan.clone(),
    };
    Ok((client::client(&running, lossy, account)?, plan))
}

/// The vault, between two of its lives.
pub fn lock(server: &SharedServer) -> MutexGuard<'_, ServerProcess> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lossy {
    fn kill(&self) {
        tokio::task::block_in_place(|| {
            let mut server = lock(&self.server);
            let lives = server.kill().and_then(|()| server.restart());
            lives.expect("a vault that was killed starts again");
        });
    }
}

impl Transport for Lossy {
    async fn statement(&self) -> Result<OuterAnswer, NoAnswer> {
        self.network.statement().await
    }

    async fn post_sealed(&self, message: Vec<u8>) -> Result<OuterAnswer, NoAnswer> {
        let fault = self.plan.next();
        match fault {
            Fault::None => return self.network.post_sealed(message).await,
            Fault::LostRequest => {}
            Fault::LostAnswer => drop(self.network.post_sealed(message).await),
            Fault::KilledBefore => self.kill(),
            Fault::KilledAfter => {
                drop(self.network.post_sealed(message).await);
                self.kill();
            }
        }
        Err(NoAnswer::Lost(format!("{fault:?}").into()))
    }
}
