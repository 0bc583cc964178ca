//! Statements that a device must not believe: after none of them is anything sealed.

use anyhow::{Context, ensure};
use vault_client::http::system_clock;
use vault_client::trust::{Trust, TrustMemory};
use vault_client::{Timestamp, VaultId};
use vault_protocol::identity::IdentitySigner;
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config};
use vault_protocol::statement::{LIFETIME_SECONDS, SignedStatement, Statement};
use vault_protocol::{AccountScope, Problem};
use vault_server::keyring::Keyring;
use vault_tests::process::client::Client;
use vault_tests::process::one_call::OneCall as _;
use vault_tests::process::server::{ServerOptions, ServerProcess};
use zeroize::Zeroizing;

use super::proxy::Mischief;
use super::scene::{PASSWORD, Scene, device, new_key, password};
use crate::gate::{GateContext, holds};

/// The user was talked into comparing the relay's fingerprint.
pub(super) const PINNED: &str = "the device pins the relay's key";

const DAY: u64 = 24 * 60 * 60;
const ACCOUNT: &str = "alice";

/// The statement that the relay serves, and the time on the device.
struct False {
    what: &'static str,
    body: Vec<u8>,
    /// In seconds, forwards or backwards.
    clock: i64,
}

/// Returns how many statements were served.
pub async fn wrong_keys_are_not_talked_to(context: &GateContext) -> anyhow::Result<usize> {
    let mut scene = Scene::set(context, ServerOptions::default().without_waits(10)).await?;
    scene.relay.behave(ACCOUNT);
    scene
        .device(ACCOUNT)?
        .enable(password(PASSWORD)?, &new_key())
        .await?;
    let older = statement(&scene.server).await?;
    scene.server.terminate()?;
    scene.server.restart()?;
    let newest = statement(&scene.server).await?;
    ensure!(
        older.statement != newest.statement,
        "the same statement after a restart"
    );
    let stranger = context.start(ServerOptions::default())?;

    let own = Forger::new(&scene.server)?;
    let mut all = own.all(&older, &newest, &statement(&stranger).await?)?;
    all.extend(nonsense());
    let mut served = 0;
    for this in &all {
        scene.before_the_first_call(this, &own, context).await?;
        served += 1;
        // A clock that is wrong from the middle on is wrong from the start.
        if this.clock == 0 {
            scene.in_the_middle(this, &own, context).await?;
            served += 1;
        }
    }
    Ok(served)
}

impl Scene {
    /// A device that has been here before, and knows the newest statement.
    async fn before_the_first_call(
        &self,
        this: &False,
        own: &Forger,
        context: &GateContext,
    ) -> anyhow::Result<()> {
        let memory = self.memory().await?;
        let trust = self.trusting(own, context)?.remembering(memory);
        let mut phone = self.phone(trust, this.clock)?;
        self.relay.behave(ACCOUNT);
        self.relay.seen().statement = Some((200, this.body.clone()));
        let from = self.relay.seen().sent.len();
        let said = phone.retrieve(password(PASSWORD)?).await;
        self.nothing_was_sealed(from, own, this)?;
        holds(said.is_err(), || {
            format!("{}: the key was retrieved", this.what)
        })?;
        self.recovers(phone, this).await
    }

    /// The vault's key is said to be unknown: the device asks for the statement again.
    async fn in_the_middle(
        &self,
        this: &False,
        own: &Forger,
        context: &GateContext,
    ) -> anyhow::Result<()> {
        let mut phone = self.phone(self.trusting(own, context)?, 0)?;
        self.relay.behave(ACCOUNT);
        phone.status().await?;
        self.relay.seen().statement = Some((200, this.body.clone()));
        let unknown = serde_json::to_vec(&Problem::OhttpKey.details())?;
        self.relay.plan(0, Mischief::Says(400, unknown), true);
        let from = self.relay.seen().sent.len();
        let said = phone.status().await;
        // The first one was sealed to the vault.
        self.nothing_was_sealed(from + 1, own, this)?;
        holds(said.is_err(), || {
            format!("{}: there was an answer", this.what)
        })?;
        self.recovers(phone, this).await
    }

    /// Nor is any message of all times for the relay.
    fn nothing_was_sealed(&self, from: usize, own: &Forger, this: &False) -> anyhow::Result<()> {
        let seen = self.relay.seen();
        let count = seen.sent.len() - from.min(seen.sent.len());
        let readable = seen.sent.iter().any(|message| own.can_open(message));
        holds(count == 0 && !readable, || {
            let whose = if readable {
                ", the relay can open one"
            } else {
                ""
            };
            format!("{}: {count} messages were sealed{whose}", this.what)
        })?;
        Ok(())
    }

    /// As soon as the relay behaves, the device goes on; if its clock is right.
    async fn recovers(&self, mut phone: Client, this: &False) -> anyhow::Result<()> {
        self.relay.behave(ACCOUNT);
        if this.clock == 0 {
            let status = phone.status().await;
            let status = status.with_context(|| format!("after {}", this.what))?;
            let left = status.attempts_remaining;
            holds(left == 10, || {
                format!("{}: {left} attempts left", this.what)
            })?;
        }
        Ok(())
    }

    async fn memory(&self) -> anyhow::Result<TrustMemory> {
        self.relay.behave(ACCOUNT);
        let mut phone = self.device(ACCOUNT)?;
        phone.status().await?;
        phone.trust_memory().context("a device remembers")
    }

    fn trusting(&self, own: &Forger, context: &GateContext) -> anyhow::Result<Trust> {
        let mut pins = vec![self.server.fingerprint().parse()?];
        if context.is_switched(PINNED) {
            pins.push(own.relay.identity_key().fingerprint());
        }
        Ok(Trust::new(pins))
    }

    fn phone(&self, trust: Trust, clock: i64) -> anyhow::Result<Client> {
        let AccountScope {
            tenant, account, ..
        } = self.account(ACCOUNT);
        let clock = move || {
            let now = system_clock().millis();
            Timestamp::from_millis(now.saturating_add_signed(clock * 1000))
        };
        device(&self.relay, trust, tenant, account, clock)
    }
}

/// Statements that the relay can make, and one that only the vault itself could.
struct Forger {
    /// The relay's own identity.
    relay: IdentitySigner,
    /// The vault's, which it does not have: for a vault that says two things.
    vault: Keyring,
    /// The relay's own keys of the sealed channel.
    keys: ohttp::KeyConfig,
}

impl Forger {
    fn new(server: &ServerProcess) -> anyhow::Result<Self> {
        let seed = Zeroizing::new([7; 32]);
        Ok(Self {
            relay: IdentitySigner::from_seed(&seed),
            vault: server.vault().keyring()?,
            keys: derive_key_config(1, KeyKind::XWing, &seed),
        })
    }

    /// Whether a message is for the relay's keys.
    fn can_open(&self, message: &[u8]) -> bool {
        let server = ohttp::Server::new(self.keys.clone());
        server.is_ok_and(|server| server.decapsulate(message).is_ok())
    }

    fn all(
        &self,
        older: &SignedStatement,
        newest: &SignedStatement,
        stranger: &SignedStatement,
    ) -> anyhow::Result<Vec<False>> {
        let vault = self.vault.identity();
        let read: Statement = serde_json::from_str(&newest.statement)?;
        let list = ohttp::KeyConfig::encode_list(&[&self.keys])?;
        let with_own_keys = Statement {
            ohttp_keys: list.clone(),
            serial: read.serial + 1,
            ..read.clone()
        };
        let own = with_own_keys.sign(&self.relay);
        let mut claiming = own.clone();
        claiming.identity_key = vault.identity_key();
        let altered = SignedStatement {
            statement: own.statement.clone(),
            ..newest.clone()
        };
        let again = Statement {
            ohttp_keys: list,
            ..read.clone()
        };
        let named = Statement {
            vault_id: VaultId::new("another-vault")?,
            ..with_own_keys.clone()
        };
        let expired = Statement {
            expires_at: Timestamp::from_millis(system_clock().millis() - 60_000),
            ..with_own_keys.clone()
        };
        let protocol = Statement {
            protocol: 2,
            ..with_own_keys
        };
        let mut swapped = newest.clone();
        swapped.signature = older.signature;
        let (forwards, backwards) = ((LIFETIME_SECONDS + 1) as i64, -2 * DAY as i64);
        let signed = [
            ("the relay's own", &own, 0),
            ("the relay's own with the vault's key", &claiming, 0),
            ("the vault's with the relay's keys", &altered, 0),
            ("another vault's", stranger, 0),
            ("an older one", older, 0),
            ("the signature of an older one", &swapped, 0),
            ("another of the same serial", &again.sign(vault), 0),
            ("one of another name", &named.sign(vault), 0),
            ("an expired one", &expired.sign(vault), 0),
            ("another protocol's", &protocol.sign(vault), 0),
            ("one that has expired by now", newest, forwards),
            ("one from the future", newest, backwards),
        ];
        let all = signed.into_iter().map(|(what, signed, clock)| {
            let body = serde_json::to_vec(signed)?;
            Ok(False { what, body, clock })
        });
        all.collect()
    }
}

fn nonsense() -> Vec<False> {
    let texts = ["", "{}", "null", "<html>Sign in to the network</html>"];
    let all = texts.map(|text| False {
        what: "nonsense",
        body: text.as_bytes().to_vec(),
        clock: 0,
    });
    all.into()
}

async fn statement(server: &ServerProcess) -> anyhow::Result<SignedStatement> {
    let http = vault_tests::process::calls::client(server)?;
    let answer = http
        .get(format!("{}/v1/vault", server.url()))
        .send()
        .await?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}
