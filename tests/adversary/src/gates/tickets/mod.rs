//! Every ticket where it does not belong, too late, too often, altered. The expected answer is written
//! down here once more, from PROTOCOL.md section 7 step 4 and section 6.
//!
//! | file | content |
//! |---|---|
//! | `cell` | tickets of attempts: the presenting account, the moment, the message, the answer |
//! | `retrieval` | tries each such cell |
//! | `registration` | tickets of registrations, likewise |
//! | `altered` | every bit of a ticket, and tickets of one kind in the place of the other |
//! | `trials` | the combinations that are tried, all at once |

mod altered;
mod cell;
mod registration;
mod retrieval;
mod trials;

use std::sync::Arc;

use vault_protocol::Policy;

use crate::gate::{AttackReport, Control, Gate, GateContext};
use crate::patch::Patch;
use crate::target::Target;

/// The gate.
pub const GATE: Gate = Gate {
    name: "tickets",
    property: "the full matrix (tenant x account x generation x attempt x kind x expired x repeated x \
               swapped x bit-flipped): nothing foreign accepted, no refill",
    run: |context| Box::pin(run(context)),
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
    file: "vault-server/src/service/retrieval.rs",
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

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let policy = Policy::new(10, 100, vec![0; 9])?;
    let targets = [
        (Target::process(&context, &policy).await?, false),
        (Target::in_process(&policy).await, true),
    ];
    let mut cells = 0;
    for (target, is_expired) in targets {
        let target = Arc::new(target);
        cells += retrieval::run(&context, &target, &policy, is_expired).await?;
        cells += registration::run(&context, &target, &policy, is_expired).await?;
        if !is_expired {
            cells += altered::run(&context, &target).await?;
        }
    }
    let what = "tickets of all combinations, each presented again and again, the expired ones in \
                process, the others over TLS";
    Ok(AttackReport::new(cells, what))
}
