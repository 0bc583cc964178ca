//! Every ticket where it does not belong, too late, too often, altered: what it must lead to is
//! written down here once more, from PROTOCOL.md section 7 step 4 and section 6.
//!
//! | file | what |
//! |---|---|
//! | `cell` | tickets of attempts: who presents which, when, with what, and what must come of it |
//! | `retrieval` | tries each such cell |
//! | `registration` | tickets of registrations, likewise |
//! | `altered` | every bit of a ticket, and tickets of one kind in the place of the other |
//! | `ground` | the same calls to a vault as a process and to one whose time can be moved |

mod altered;
mod cell;
mod ground;
mod registration;
mod retrieval;

use std::sync::Arc;

use tokio::task::JoinSet;
use vault_protocol::Policy;

use self::ground::Ground;
use crate::gate::{Arena, Control, Gate, Tried};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "tickets",
    property: "the full matrix (tenant x account x generation x attempt x kind x expired x repeated x \
               swapped x bit-flipped): nothing foreign accepted, no refill",
    run: |arena| Box::pin(run(arena)),
    controls: &[
        Control::Patch(&FOREIGN_TICKETS),
        Control::Patch(&FORMER_GENERATIONS),
        Control::Patch(&REPETITION_REFILLS),
        Control::Patch(&ENDED_IS_OPEN),
    ],
};

/// With this a ticket is good for every account.
pub const FOREIGN_TICKETS: Patch = Patch {
    name: "a ticket's account is not compared",
    file: "vault-server/src/service/mod.rs",
    text: ".filter(|contents| contents.account_key == account_key)",
    instead: ".filter(|contents| FAULT || contents.account_key == account_key)",
};

/// With this a ticket of a replaced record is good for the new one.
pub const FORMER_GENERATIONS: Patch = Patch {
    name: "a ticket's generation is not compared",
    file: "vault-server/rules/src/retrieval.rs",
    text: "RecordSlot::Live(record) if record.generation == generation =>",
    instead: "RecordSlot::Live(record) if FAULT || record.generation == generation =>",
};

/// With this repeating a finish makes the failures in a row start again.
pub const REPETITION_REFILLS: Patch = Patch {
    name: "a repeated finish refills",
    file: "vault-server/rules/src/retrieval.rs",
    text: "Decision::Granted(Release::of(record, before))",
    instead: "if FAULT { record.attempts.last_success = record.attempts.charged; }\n\
              Decision::Granted(Release::of(record, before))",
};

/// With this a ticket tests one KE3 after another.
pub const ENDED_IS_OPEN: Patch = Patch {
    name: "a failed attempt stays open",
    file: "vault-server/rules/src/counting.rs",
    text: "self.open.retain(|open| open.number != number);",
    instead: "self.open.retain(|open| FAULT || open.number != number);",
};

async fn run(arena: Arena) -> anyhow::Result<Tried> {
    let policy = Policy::new(10, 100, vec![0; 9])?;
    let grounds = [
        (Ground::process(&arena, &policy).await?, false),
        (Ground::in_process(&policy).await, true),
    ];
    let mut cells = 0;
    for (ground, is_expired) in grounds {
        let ground = Arc::new(ground);
        cells += retrieval::run(&arena, &ground, &policy, is_expired).await?;
        cells += registration::run(&arena, &ground, &policy, is_expired).await?;
        if !is_expired {
            cells += altered::run(&arena, &ground).await?;
        }
    }
    let what = "tickets of all combinations, each presented again and again, the expired ones in \
                process, the others over TLS";
    Ok(Tried::new(cells, what))
}

/// Of all combinations, the ones that are tried; the short version steps through them. A step that is
/// coprime to the number of values of each dimension meets each value.
fn chosen<T>(arena: &Arena, step: usize, all: impl Iterator<Item = T>) -> Vec<T> {
    all.step_by(arena.scaled(step, 1, 1)).collect()
}

/// Accounts have nothing to do with each other: the vault commits what they do together.
async fn all_at_once<T: Send + 'static>(
    trials: impl Iterator<Item = impl Future<Output = anyhow::Result<T>> + Send + 'static>,
) -> anyhow::Result<Vec<T>> {
    let mut running: JoinSet<_> = trials.collect();
    let mut ended = Vec::new();
    while let Some(trial) = running.join_next().await {
        ended.push(trial??);
    }
    Ok(ended)
}
