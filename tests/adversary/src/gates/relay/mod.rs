//! A hostile backend between the real client library and the real server.

mod mischief;
mod outcomes;
mod plans;
mod proxy;
mod statements;

use rand::rngs::OsRng;
use vault_client::Timestamp;
use vault_client::client::VaultClient;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, system_clock};
use vault_client::trust::Trust;
use vault_protocol::{AccountId, AccountScope, BackupKey, Policy, TenantId};
use vault_tests::process::client::Client;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::gate::{Arena, Control, Gate, Tried, holds};
use crate::patch::Patch;

use self::outcomes::Table;
use self::proxy::Relay;

/// The gate.
pub const GATE: Gate = Gate {
    name: "relay",
    property: "a hostile backend that reorders, replays, drops, swaps accounts or tenants, serves \
               its own keys, an old statement, another vault's: outer statuses and sizes over all \
               outcomes have one row per direction; the client never talks to wrong keys, never \
               re-registers by itself",
    run: |arena| Box::pin(run(arena)),
    controls: &[
        Control::Switch(PINNED),
        Control::Patch(&ANSWERS_ARE_NOT_PADDED),
        Control::Patch(&THE_PIN_IS_NOT_CHECKED),
        Control::Patch(&THE_SERIAL_IS_NOT_CHECKED),
        Control::Patch(&OUTER_PROBLEMS_ARE_OUTCOMES),
    ],
};

/// The user was talked into comparing the relay's fingerprint.
const PINNED: &str = "the device pins the relay's key";

/// Lengths tell outcomes apart.
pub const ANSWERS_ARE_NOT_PADDED: Patch = Patch {
    name: "inner messages are not padded",
    file: "vault-protocol/src/sealed.rs",
    text: "    bytes.resize(bytes.len().next_multiple_of(PADDED_LEN), 0);\n",
    instead: "    if !FAULT { bytes.resize(bytes.len().next_multiple_of(PADDED_LEN), 0); }\n",
};

/// Whoever signs is believed.
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

/// What stands outside the seal is read as if the vault had said it.
pub const OUTER_PROBLEMS_ARE_OUTCOMES: Patch = Patch {
    name: "an outer problem is taken for an outcome",
    file: "vault-client/src/client.rs",
    text: "        let content = answer.into_content();\n",
    instead: "        if FAULT && answer.status >= 400 {\n            \
              return Ok(InnerAnswer { status: answer.status, content: answer.content });\n        }\n        \
              let content = answer.into_content();\n",
};

const PASSWORD: &str = "correct horse battery staple";
const WRONG: &str = "correct horse bakery staple";

async fn run(arena: Arena) -> anyhow::Result<Tried> {
    let Table { outcomes, rows } = outcomes::all_look_the_same(&arena).await?;
    let statements = statements::wrong_keys_are_not_talked_to(&arena).await?;
    let mischiefs = mischief::changes_no_outcome(&arena).await?;
    let [sent, answered] = rows;
    let what = format!(
        "attacks: {outcomes} outcomes, each of them \"{sent}\" and \"{answered}\"; {statements} \
         false statements; {mischiefs} calls, each with messages lost, repeated, exchanged or forged"
    );
    Ok(Tried::new(outcomes + statements + mischiefs, what))
}

/// A vault with a second tenant, and the relay that is before it.
struct Scene {
    server: ServerProcess,
    relay: Relay,
}

impl Scene {
    async fn set(arena: &Arena, options: ServerOptions) -> anyhow::Result<Self> {
        let server = arena.start(options)?;
        let other = server.vault().done(["tenant", "add", "other"])?;
        let relay = Relay::start(&server, [server.token(), other.trim()]).await?;
        Ok(Self { server, relay })
    }

    fn account(&self, name: &str) -> AccountScope {
        self.server.account(name)
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        Ok(Trust::new([self.server.fingerprint().parse()?]))
    }

    /// A new device of this account, whose clock goes right.
    fn device(&self, account: &str) -> anyhow::Result<Client> {
        let AccountScope {
            tenant, account, ..
        } = self.account(account);
        device(&self.relay, self.trust()?, tenant, account, system_clock)
    }
}

fn device(
    relay: &Relay,
    trust: Trust,
    tenant: TenantId,
    account: AccountId,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> anyhow::Result<Client> {
    let clock = Box::new(clock);
    let widest = Policy::new(32, 1000, vec![0; 31])?;
    let client = VaultClient::new(transport(relay)?, trust, tenant, account, clock);
    Ok(client.with_maximum_policy(widest))
}

fn transport(relay: &Relay) -> anyhow::Result<HttpTransport> {
    let session = BearerToken::new("a-session-at-the-app")?;
    let options = HttpOptions::default();
    Ok(HttpTransport::through_relay(
        relay.url(),
        &session,
        &options,
    )?)
}

fn password(text: &str) -> anyhow::Result<vault_client::Password> {
    Ok(vault_client::Password::prepare(text)?)
}

fn new_key() -> BackupKey {
    BackupKey::generate(&mut OsRng)
}
