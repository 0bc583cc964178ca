//! Registrations that meet: two devices, a login under way, a repetition, a kill, a record that waits.
//! The record that loses must be worth nothing afterwards. Without K, a record is made only for an
//! account that has none.
//!
//! | file | content |
//! |---|---|
//! | `at_once` | several devices register, or replace, at the same moment |
//! | `replaced` | logins and registrations that began under the record that gave way |
//! | `refused` | replacements without proof, in every state of the record |
//! | `killed` | the vault killed at every step, and while it works |

mod at_once;
mod killed;
mod refused;
mod replaced;
mod steps;

use vault_tests::process::server::ServerOptions;

use self::steps::LIMIT;
use crate::gate::{AttackReport, Control, Gate, GateContext};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "registration races",
    property: "two devices at once, finish during retrieval, repeated finish, killed at each step, \
               replacement while `waiting`: one generation wins, the other is told, an old record is \
               never attemptable, no replacement without proof",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&WITHOUT_PROOF),
        Control::Patch(&OTHERS_STAY_PENDING),
        Control::Patch(&ATTEMPTS_STAY),
        Control::Patch(&REPETITION_REGISTERS),
    ],
};

/// With this a stolen login takes the owner's record away.
pub const WITHOUT_PROOF: Patch = Patch {
    name: "any proof replaces a record",
    file: "vault-server/rules/src/registration.rs",
    text: "(!is_allowed).then_some(Refusal::Forbidden)",
    instead: "(!is_allowed && !(FAULT)).then_some(Refusal::Forbidden)",
};

/// With this a registration that was begun before another one was completed still replaces it.
pub const OTHERS_STAY_PENDING: Patch = Patch {
    name: "a completed registration leaves the others pending",
    file: "vault-server/rules/src/registration.rs",
    text: "account.pending.clear();",
    instead: "if !(FAULT) { account.pending.clear(); }",
};

/// With this a guess at the former record is one at the new record, and has been paid for.
pub const ATTEMPTS_STAY: Patch = Patch {
    name: "a replacement takes the attempts over",
    file: "vault-server/rules/src/registration.rs",
    text: "attempts: Attempts::default(),",
    instead: "attempts: match &mut account.slot {\n\
              RecordSlot::Live(former) if FAULT => std::mem::take(&mut former.attempts),\n\
              _ => Attempts::default(),\n\
              },",
};

/// With this a repeated finish is another registration, with a new budget.
pub const REPETITION_REGISTERS: Patch = Patch {
    name: "a repeated finish is not known",
    file: "vault-server/rules/src/registration.rs",
    text: "&& record.finish_digest == digest\n",
    instead: "&& !(FAULT) && record.finish_digest == digest\n",
};

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let server = context.start(ServerOptions::default().without_waits(LIMIT))?;
    let mut races = at_once::run(&context, &server).await?;
    races += replaced::run(&context, &server).await?;
    races += refused::run(&context).await?;
    races += killed::run(&context, server).await?;
    Ok(AttackReport::new(
        races,
        "races and interrupted registrations",
    ))
}
