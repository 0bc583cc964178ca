//! Tickets of registrations (PROTOCOL.md section 6).

use std::sync::Arc;

use vault_protocol::messages::{RegistrationFinish, RegistrationFinished, Status};
use vault_protocol::{AccountScope, Policy, Problem};
use vault_tests::device::{Device, Guess};
use vault_tests::in_process::TENANT;

use super::trials::{all_at_once, chosen};
use crate::expect::{granted, met_in, refused, same};
use crate::gate::GateContext;
use crate::target::{OTHER_TENANT, Said, Target};

/// A registration is pending for so many seconds.
const PENDING_SECONDS: u64 = 15 * 60;
const BATCH: usize = 32;

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Cell {
    at: At,
    record: Record,
    proof: Proof,
    is_flipped: bool,
    is_expired: bool,
}

/// To whose endpoint the ticket is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Itself,
    AnotherAccount,
    AnotherTenant,
}

/// The account's record when the registration is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    /// None, as at the start.
    Absent,
    /// The one that was live at the start.
    Live,
    /// One that replaced it since.
    Replaced,
    /// A tombstone, as at the start.
    Destroyed,
    /// A tombstone, of the record that was live at the start.
    DestroyedSince,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    None,
    /// By a device with K of the live record.
    Right,
    /// By a device with another key.
    Wrong,
}

/// Tries the half of the matrix that is expired, or the other one.
pub async fn run(
    context: &GateContext,
    target: &Arc<Target>,
    policy: &Policy,
    is_expired: bool,
) -> anyhow::Result<usize> {
    let cells = chosen(context, 5, all(is_expired));
    for (batch, cells) in cells.chunks(BATCH).enumerate() {
        let prepared = cells.iter().copied().enumerate().map(|(number, cell)| {
            let (target, name) = (Arc::clone(target), format!("new-{batch}-{number}"));
            async move { Trial::prepare(target, cell, &name).await }
        });
        let trials = all_at_once(prepared).await?;
        if is_expired {
            target.advance_seconds(PENDING_SECONDS);
        }
        let limit = policy.limit();
        all_at_once(trials.into_iter().map(|trial| trial.run(limit))).await?;
    }
    Ok(cells.len())
}

fn all(is_expired: bool) -> impl Iterator<Item = Cell> {
    let records = [
        Record::Absent,
        Record::Live,
        Record::Replaced,
        Record::Destroyed,
        Record::DestroyedSince,
    ];
    let mut cells = Vec::new();
    for at in [At::Itself, At::AnotherAccount, At::AnotherTenant] {
        for record in records {
            for proof in [Proof::None, Proof::Right, Proof::Wrong] {
                cells.extend([false, true].map(|is_flipped| Cell {
                    at,
                    record,
                    proof,
                    is_flipped,
                    is_expired,
                }));
            }
        }
    }
    cells.into_iter()
}

impl Cell {
    /// The generation that the finish begins, or why there is none.
    fn expected(&self) -> Result<u64, Problem> {
        if self.is_flipped || self.is_expired || self.at != At::Itself {
            return Err(Problem::TicketExpired);
        }
        match (self.record, self.proof) {
            (Record::Replaced | Record::DestroyedSince, _) => Err(Problem::TicketExpired),
            // A proof is for replacing a record, and there is none.
            (Record::Absent | Record::Destroyed, Proof::Right | Proof::Wrong) => {
                Err(Problem::TicketExpired)
            }
            (Record::Absent, Proof::None) => Ok(1),
            (Record::Destroyed, Proof::None) | (Record::Live, Proof::Right) => Ok(2),
            (Record::Live, Proof::None) => Err(Problem::AlreadyRegistered { generation: 1 }),
            (Record::Live, Proof::Wrong) => Err(Problem::Forbidden),
        }
    }

    /// The account's generation without the finish.
    fn generation(&self) -> u64 {
        match self.record {
            Record::Absent => 0,
            Record::Live | Record::Destroyed | Record::DestroyedSince => 1,
            Record::Replaced => 2,
        }
    }
}

/// A cell with its account, and the one that the ticket is presented for.
struct Trial {
    target: Arc<Target>,
    cell: Cell,
    owner: AccountScope,
    message: RegistrationFinish,
    victim: Option<AccountScope>,
}

impl Trial {
    async fn prepare(target: Arc<Target>, cell: Cell, name: &str) -> anyhow::Result<Self> {
        let owner = target.account(name, TENANT);
        let victim = match cell.at {
            At::Itself => None,
            At::AnotherAccount => Some(target.account(&format!("victim-{name}"), TENANT)),
            At::AnotherTenant => Some(target.account(name, OTHER_TENANT)),
        };
        if let Some(victim) = &victim {
            target.register(victim).await?;
        }
        let (device, pending) = pending(&target, cell.record, &owner).await?;
        let mut message = match cell.proof {
            Proof::None => pending,
            Proof::Right => device.proven(&pending, cell.generation()),
            Proof::Wrong => Device::new(&owner).proven(&pending, cell.generation()),
        };
        if cell.is_flipped {
            message.registration_ticket.0[17] ^= 4;
        }
        Ok(Self {
            target,
            cell,
            owner,
            message,
            victim,
        })
    }

    async fn run(self, limit: u64) -> anyhow::Result<()> {
        let presented = self.present_again(limit).await;
        presented.map_err(|error| met_in(error, &self.cell))
    }

    /// Finishes, guesses once if there is a record, finishes again: the guess stays charged.
    async fn present_again(&self, limit: u64) -> anyhow::Result<()> {
        let watched = self.victim.as_ref().unwrap_or(&self.owner);
        let before = self.target.status(watched).await?;
        self.finish(watched).await?;
        let after = self.target.status(watched).await?;
        let Ok(generation) = self.cell.expected() else {
            unchanged(&before, &after)?;
            self.finish(watched).await?;
            return unchanged(&before, &self.target.status(watched).await?);
        };
        let guess = Guess::new(&self.owner, "not the password");
        let started = self.target.start(&guess).await?;
        same(&started.generation, &generation, "the new generation")?;
        self.finish(watched).await?;
        let status = self.target.status(watched).await?;
        let seen = (status.generation, status.attempts_remaining);
        Ok(same(
            &seen,
            &(generation, limit - 1),
            "generation and budget after a repeated finish",
        )?)
    }

    async fn finish(&self, whose: &AccountScope) -> anyhow::Result<()> {
        let endpoint = "registration/finish";
        let said: Said<RegistrationFinished> =
            self.target.ask(whose, endpoint, &self.message).await?;
        match self.cell.expected() {
            Ok(generation) => {
                let finished = granted(said, endpoint)?;
                same(&finished.generation, &generation, "the finish's generation")?;
            }
            Err(problem) => refused(said, &problem, endpoint)?,
        }
        Ok(())
    }
}

/// A registration that is pending, and a device with K of the record that is live then.
async fn pending(
    target: &Target,
    record: Record,
    owner: &AccountScope,
) -> anyhow::Result<(Device, RegistrationFinish)> {
    if record == Record::Absent {
        let device = Device::new(owner);
        let pending = target.prepare(&device).await?;
        return Ok((device, pending.message));
    }
    let device = target.register(owner).await?;
    if record == Record::Destroyed {
        target.delete(&device, 1).await?;
    }
    let pending = target.prepare(&device).await?.message;
    match record {
        Record::Replaced => target.replace(&device, 1).await?,
        Record::DestroyedSince => target.delete(&device, 1).await?,
        Record::Absent | Record::Live | Record::Destroyed => {}
    }
    Ok((device, pending))
}

fn unchanged(before: &Status, after: &Status) -> anyhow::Result<()> {
    let [before, after] = [before, after].map(serde_json::to_string);
    Ok(same(
        &after?,
        &before?,
        "the status after a refused finish",
    )?)
}
