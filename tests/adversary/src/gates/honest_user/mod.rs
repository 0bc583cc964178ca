//! The other side of counting. The owner types the right password in time and gets the key, whatever
//! goes wrong on the way and however often a thief guesses meanwhile.
//!
//! | file | content |
//! |---|---|
//! | `world` | an account, its owner's phones, a thief, time, and a model of the protocol |
//! | `phone` | the progress of a phone, the faults of the network, the ends of a thief's guess |
//! | `scenes` | the scenes that are always tried, step by step |
//! | `drive` | random steps |
//! | `lossy` | the client library and a real vault that is killed, over a network that loses messages |
//! | `wall_clock` | a real vault whose wall clock jumps |

mod drive;
mod lossy;
mod phone;
mod scenes;
mod wall_clock;
mod world;

use crate::gate::{AttackReport, Control, Gate, GateContext};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "honest user",
    property: "lost answers, lost requests, restarts, clock jumps of ±10 years, two devices, a slow \
               phone: a user with the right password gets the key before exhaustion; the last \
               attempt can succeed, also across a restart",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&CHARGED_AGAIN),
        Control::Patch(&OUTAGES_COUNT),
        Control::Patch(&FUTURE_STAYS),
        Control::Patch(&DESTROYED_AT_ONCE),
        Control::Patch(&KEYS_DIE_IN_AN_OUTAGE),
        Control::Patch(&WALL_CLOCK),
    ],
};

/// With this a lost answer costs an attempt.
pub const CHARGED_AGAIN: Patch = Patch {
    name: "the same request is charged again",
    file: "vault-server/rules/src/counting.rs",
    text: ".find(|open| open.request_digest == *request_digest);",
    instead: ".find(|open| !(FAULT) && open.request_digest == *request_digest);",
};

/// With this an outage expires what was open.
pub const OUTAGES_COUNT: Patch = Patch {
    name: "an attempt's time goes on while the vault is down",
    file: "vault-server/rules/src/clock.rs",
    text: ".max(self.running_since)\n",
    instead: ".max(if FAULT { charged_at } else { self.running_since })\n",
};

/// With this a wait lasts as long as the clock was wrong.
pub const FUTURE_STAYS: Patch = Patch {
    name: "times in the future stay there",
    file: "vault-server/rules/src/expiry.rs",
    text: ".for_each(|time| *time = (*time).min(now));",
    instead: ".for_each(|time| if !(FAULT) { *time = (*time).min(now) });",
};

/// With this the last attempt is none.
pub const DESTROYED_AT_ONCE: Patch = Patch {
    name: "an exhausted record does not wait for its last attempt",
    file: "vault-server/rules/src/account.rs",
    text: "&& !record.attempts.any_open()\n",
    instead: "&& (FAULT || !record.attempts.any_open())\n",
};

/// With this an attempt outlasts an outage, and its ticket does not.
pub const KEYS_DIE_IN_AN_OUTAGE: Patch = Patch {
    name: "ticket keys are forgotten at a start",
    file: "vault-server/src/service/ticket.rs",
    text: "if time.running_since.plus_seconds(ATTEMPT_SECONDS) <= now {",
    instead: "if FAULT || time.running_since.plus_seconds(ATTEMPT_SECONDS) <= now {",
};

/// With this a jump of the clock during a run is the vault's time too.
pub const WALL_CLOCK: Patch = Patch {
    name: "the vault's time is the wall clock's",
    file: "vault-server/src/process/clock.rs",
    text: "millis(boot_clock().saturating_sub(*at_start)),\n",
    instead: "if FAULT { wall_clock().millis().saturating_sub(self.started.millis()) } \
              else { millis(boot_clock().saturating_sub(*at_start)) },\n",
};

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let scenes = scenes::all().await?;
    let (logins, seed) = drive::at_random(&context).await?;
    let lossy = lossy::run(&context).await?;
    let jumps = wall_clock::run(&context).await?;
    let what = format!(
        "logins: {logins} at random (seed {seed}), {scenes} in scenes, {lossy} over a lossy network \
         with kills, {jumps} while the wall clock jumped"
    );
    Ok(AttackReport::new(logins + scenes + lossy + jumps, what))
}
