//! People whose vault dies again and again. Each acts until the vault dies, and checks in the next
//! life that every answer of the last one still holds.
//!
//! None of them gives up: without an answer they send the identical request once more, and go on.

mod attacker;
mod line;
mod newcomers;
mod owner;
mod registering;

use vault_tests::process::server::ServerProcess;

use self::attacker::Attacker;
use self::newcomers::Newcomers;
use self::owner::Owner;
use crate::gate::Violation;

pub use self::line::{Answers, Line};

/// All that use the vault.
pub struct People {
    attacker: Attacker,
    owner: Owner,
    newcomers: Newcomers,
}

/// In which order they act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other, the attacker first.
    InTurn,
    /// One after the other, the attacker last.
    InReverse,
    /// All at once, so that a batch has changes of several.
    AtOnce,
}

impl People {
    /// Before any registration. `limit` is the tenant's.
    pub fn new(server: &ServerProcess, limit: usize) -> Self {
        Self {
            attacker: Attacker::new(server.account("victim"), limit),
            owner: Owner::new(server.account("owner")),
            newcomers: Newcomers::default(),
        }
    }

    /// Each checks the state that the former life left, and acts. An error that is a [`Violation`]
    /// says that the state is wrong; any other, that the vault did not answer.
    pub async fn act(&mut self, line: &Line, order: Order) -> anyhow::Result<()> {
        let (attacker, owner) = (&mut self.attacker, &mut self.owner);
        let newcomers = &mut self.newcomers;
        match order {
            Order::InTurn => {
                attacker.act(line).await?;
                owner.act(line).await?;
                newcomers.act(line).await
            }
            Order::InReverse => {
                newcomers.act(line).await?;
                owner.act(line).await?;
                attacker.act(line).await
            }
            Order::AtOnce => {
                let ends = tokio::join!(newcomers.act(line), owner.act(line), attacker.act(line));
                let mut ends = [ends.0, ends.1, ends.2];
                // A violation matters more than a vault that did not answer.
                ends.sort_by_key(|end| !end.as_ref().is_err_and(|error| error.is::<Violation>()));
                ends.into_iter().collect()
            }
        }
    }

    /// Further guesses at a vault that has not answered one, or has refused it.
    pub async fn insist(&mut self, line: &Line) {
        self.attacker.insist(line).await;
    }

    /// One more life, which nothing happens to: everything that was acknowledged in any is there.
    pub async fn conclude(&mut self, server: &mut ServerProcess) -> anyhow::Result<()> {
        server.restart()?;
        let line = &Line::connect(server).await?;
        self.act(line, Order::InTurn).await?;
        self.owner.conclude(line).await?;
        self.newcomers.conclude(line).await?;
        server.terminate()?;
        Ok(())
    }

    /// How often guesses of the attacker were evaluated.
    pub fn evaluations(&self) -> u64 {
        self.attacker.evaluations()
    }
}
