//! A hostile backend between the real client library and the real server.

mod mischief;
mod outcomes;
mod plans;
mod proxy;
mod scene;
mod statements;

use crate::gate::{AttackReport, Control, Gate, GateContext};
use crate::patch::Patch;

use self::outcomes::Table;
use self::statements::PINNED;

/// The gate.
pub const GATE: Gate = Gate {
    name: "relay",
    property: "a hostile backend that reorders, replays, drops, swaps accounts or tenants, serves \
               its own keys, an old statement, another vault's: outer statuses and sizes over all \
               outcomes have one row per direction; the client never talks to wrong keys, never \
               re-registers by itself",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Switch(PINNED),
        Control::Patch(&ANSWERS_ARE_NOT_PADDED),
        Control::Patch(&THE_PIN_IS_NOT_CHECKED),
        Control::Patch(&THE_SERIAL_IS_NOT_CHECKED),
        Control::Patch(&OUTER_PROBLEMS_ARE_OUTCOMES),
    ],
};

/// Lengths tell outcomes apart.
pub const ANSWERS_ARE_NOT_PADDED: Patch = Patch {
    name: "inner messages are not padded",
    file: "vault-protocol/src/inner_http.rs",
    text: "    bytes.resize(bytes.len().next_multiple_of(PADDED_LEN), 0);\n",
    instead: "    if !FAULT { bytes.resize(bytes.len().next_multiple_of(PADDED_LEN), 0); }\n",
};

/// Every signer is believed.
pub const THE_PIN_IS_NOT_CHECKED: Patch = Patch {
    name: "the pin is not checked",
    file: "vault-client/src/trust.rs",
    text: "signed.verify(&self.pins, ",
    instead: "signed.verify(&FAULT.then(|| vec![signed.identity_key.fingerprint()])\
              .unwrap_or(self.pins.clone()), ",
};

/// Yesterday's keys are as good as today's.
pub const THE_SERIAL_IS_NOT_CHECKED: Patch = Patch {
    name: "the serial is not checked",
    file: "vault-client/src/trust.rs",
    text: "self.seen.as_ref(), now)?;",
    instead: "self.seen.as_ref().filter(|_| !FAULT), now)?;",
};

/// A problem outside the seal is read as if the vault had said it.
pub const OUTER_PROBLEMS_ARE_OUTCOMES: Patch = Patch {
    name: "an outer problem is taken for an outcome",
    file: "vault-client/src/client/calls.rs",
    text: "        let content = answer.into_content();\n",
    instead: "        if FAULT && answer.status >= 400 {\n            \
              return Ok(InnerAnswer { status: answer.status, content: answer.content });\n        }\n        \
              let content = answer.into_content();\n",
};

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let Table { outcomes, rows } = outcomes::all_look_the_same(&context).await?;
    let statements = statements::wrong_keys_are_not_talked_to(&context).await?;
    let mischiefs = mischief::changes_no_outcome(&context).await?;
    let [sent, answered] = rows;
    let what = format!(
        "attacks: {outcomes} outcomes, each of them \"{sent}\" and \"{answered}\"; {statements} \
         false statements; {mischiefs} calls, each with messages lost, repeated, exchanged or forged"
    );
    Ok(AttackReport::new(outcomes + statements + mischiefs, what))
}
