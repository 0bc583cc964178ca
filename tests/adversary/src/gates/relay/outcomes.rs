//! What a relay sees of an outcome: nothing. Every answer of every endpoint, and every problem, has
//! the same outer status, the same headers and the same length.

use std::collections::BTreeSet;
use vault_tests::process::one_call::OneCall as _;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use vault_client::error::Error;
use vault_client::transport::Transport;
use vault_protocol::inner_http::{InnerResponse, decode_response};
use vault_protocol::{AccountId, AccountScope, TenantId};
use vault_tests::device::{self, Device, Guess, InnerMessage, abandon, false_finish};
use vault_tests::process::calls;
use vault_tests::process::server::ServerOptions;

use super::proxy::{Relay, Row};
use super::scene::{PASSWORD, Scene, WRONG, device, new_key, password, transport};
use crate::gate::{GateContext, holds};

/// A queue that is soon full, with one place beside maintenance's for the commands that prepare the scene.
const SMALL_QUEUE: &str = "[limits]\nqueue_capacity = 2\nbatch_limit = 1\n";

/// The result: one row per direction.
pub struct Table {
    /// How many different outcomes there were.
    pub outcomes: usize,
    /// How all of them look, from the device and from the vault.
    pub rows: [Row; 2],
}

/// Provokes all of them.
pub async fn all_look_the_same(context: &GateContext) -> anyhow::Result<Table> {
    // A wait after the second failure, the third one destroys.
    let options = ServerOptions::default().with_waits(&[0, 3600]);
    let scene = Scene::set(context, options).await?;
    let mut seen = Outcomes::default();
    scene.with_a_record(&mut seen).await?;
    scene.without_a_record(&mut seen).await?;
    scene.until_destroyed(&mut seen).await?;
    scene.what_is_no_request(&mut seen).await?;
    scene.answers_of(&Scene::busy(context, &mut seen).await?);
    seen.are_complete()?;
    let answers = scene.relay.seen().answers.clone();
    one_row("from the vault", &answers)?;
    scene.relay.seen().requests.clear();
    scene.with_the_library().await?;
    let sent = one_row("from the device", &scene.relay.seen().requests.clone())?;
    let answered = one_row("from the vault", &scene.relay.seen().answers.clone())?;
    Ok(Table {
        outcomes: seen.0.len(),
        rows: [sent, answered],
    })
}

/// A table with more than one row is the violation.
fn one_row(direction: &str, rows: &BTreeSet<Row>) -> anyhow::Result<Row> {
    let first = rows.first().context("nothing passed")?.clone();
    holds(rows.len() == 1, || {
        let all: Vec<_> = rows.iter().map(Row::to_string).collect();
        format!("{} rows {direction}: {}", rows.len(), all.join("; "))
    })?;
    Ok(first)
}

/// Endpoint, status, problem or state.
#[derive(Default)]
struct Outcomes(BTreeSet<(String, u16, String)>);

impl Outcomes {
    fn add(&mut self, endpoint: &str, answer: &InnerResponse) {
        let content: Value = serde_json::from_slice(&answer.content).unwrap_or_default();
        let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
        let kind = text("type")
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned();
        let extras = ["field", "retry_at"].map(|name| !content[name].is_null());
        let what = format!("{kind} {} {} {extras:?}", text("state"), text("reason"));
        self.0.insert((endpoint.to_owned(), answer.status, what));
    }

    fn has(&self, problem: &str) -> bool {
        self.0.iter().any(|(.., what)| what.starts_with(problem))
    }

    /// Nothing was forgotten: every endpoint, and every problem that can be provoked from outside.
    fn are_complete(&self) -> anyhow::Result<()> {
        let problems = [
            "invalid-request",
            "account-mismatch",
            "forbidden",
            "wrong-password",
            "not-registered",
            "already-registered",
            "ticket-expired",
            "destroyed",
            "too-large",
            "waiting",
            "overloaded",
        ];
        for problem in problems {
            ensure!(
                self.has(problem),
                "{problem} was not provoked: {:?}",
                self.0
            );
        }
        for status in [400, 404, 405, 415] {
            let is_invalid = |what: &str| what.starts_with("invalid-request");
            let was_seen = self
                .0
                .iter()
                .any(|(_, s, what)| *s == status && is_invalid(what));
            ensure!(was_seen, "no invalid request with {status}");
        }
        for state in ["absent", "active", "waiting", "destroyed"] {
            let was_seen = self.0.iter().any(|(.., what)| what.contains(state));
            ensure!(was_seen, "no status said {state}");
        }
        Ok(())
    }
}

impl Scene {
    async fn with_a_record(&self, seen: &mut Outcomes) -> anyhow::Result<()> {
        let mut calls = self.calls("alice", seen).await?;
        let owner = Device::new(&calls.scope);
        let started = owner.register(PASSWORD);
        let answer = calls.post("registration/start", &started.message).await?;
        let first = owner
            .evaluated(&started, &serde_json::from_value(answer)?)
            .message;
        for _ in 0..2 {
            calls.post("registration/finish", &first).await?;
        }
        let started = owner.register(PASSWORD);
        let answer = calls.post("registration/start", &started.message).await?;
        let second = owner
            .evaluated(&started, &serde_json::from_value(answer)?)
            .message;
        calls.post("registration/finish", &second).await?;
        let forged = Device::new(&calls.scope).proven(&second, 1);
        calls.post("registration/finish", &forged).await?;
        calls.get().await?;

        let guess = Guess::new(&calls.scope, PASSWORD);
        let started = serde_json::from_value(calls.post("retrieval/start", &guess.message).await?)?;
        let login = guess
            .evaluated(&started)
            .ok()
            .context("the right password")?;
        calls.post("retrieval/finish", &login.message).await?;
        let started = calls.guess().await?;
        calls.post("retrieval/abandon", &abandon(&started)).await?;
        let started = calls.guess().await?;
        let wrong = false_finish(&started);
        for _ in 0..2 {
            calls.post("retrieval/finish", &wrong).await?;
        }
        calls
            .post("retrieval/start", &Guess::new(&calls.scope, WRONG).message)
            .await?;
        calls.get().await?;
        calls
            .post("registration/finish", &owner.proven(&second, 1))
            .await?;
        calls
            .post("registration/finish", &owner.proven(&first, 2))
            .await?;
        calls
            .post("deletion", &Device::new(&calls.scope).deletion(2))
            .await?;
        calls.post("deletion", &owner.deletion(2)).await?;
        calls.post("deletion", &owner.deletion(2)).await?;
        calls.post("retrieval/finish", &wrong).await?;
        calls.get().await.map(drop)
    }

    async fn without_a_record(&self, seen: &mut Outcomes) -> anyhow::Result<()> {
        let mut calls = self.calls("nobody", seen).await?;
        let guess = Guess::new(&calls.scope, WRONG);
        calls.post("retrieval/start", &guess.message).await?;
        calls
            .post("deletion", &Device::new(&calls.scope).deletion(1))
            .await?;
        calls.get().await.map(drop)
    }

    /// One failure more than the policy bears, without a wait before it.
    async fn until_destroyed(&self, seen: &mut Outcomes) -> anyhow::Result<()> {
        let mut calls = self.calls("bob", seen).await?;
        let owner = Device::new(&calls.scope);
        let started = owner.register(PASSWORD);
        let answer = calls.post("registration/start", &started.message).await?;
        let finish = owner
            .evaluated(&started, &serde_json::from_value(answer)?)
            .message;
        calls.post("registration/finish", &finish).await?;
        let tickets = [calls.guess().await?, calls.guess().await?];
        for ticket in &tickets {
            calls
                .post("retrieval/finish", &false_finish(ticket))
                .await?;
        }
        let reset = ["account", "reset", "app", "bob", "--generation", "1"];
        self.server.vault().done(reset)?;
        calls
            .post("retrieval/start", &Guess::new(&calls.scope, WRONG).message)
            .await?;
        calls
            .post("retrieval/finish", &false_finish(&tickets[0]))
            .await?;
        calls
            .post("retrieval/abandon", &abandon(&tickets[0]))
            .await?;
        calls.get().await.map(drop)
    }

    async fn what_is_no_request(&self, seen: &mut Outcomes) -> anyhow::Result<()> {
        let mut calls = self.calls("carol", seen).await?;
        let path = calls.scope.path();
        let start = format!("{path}/retrieval/start");
        let foreign = path.replace("carol", "dave");
        let long = vec![b' '; 9000];
        for message in [
            InnerMessage::json("POST", &start, b"{}"),
            InnerMessage::json("POST", &start, b"[]"),
            InnerMessage::json("POST", &start, &long),
            InnerMessage::request("POST", &start),
            InnerMessage::request("GET", &start),
            InnerMessage::request("PUT", &start),
            InnerMessage::request("GET", &format!("{path}%41")),
            InnerMessage::request("GET", "/v1/nothing"),
            InnerMessage::request("GET", &foreign),
            InnerMessage::request("GET", &path).header("authorization", "Bearer x"),
            InnerMessage::request("GET", &path).padding(device::Padding::NotZero),
        ] {
            calls.send("malformed", &message).await?;
        }
        Ok(())
    }

    /// A vault with too much to do.
    async fn busy(context: &GateContext, seen: &mut Outcomes) -> anyhow::Result<Self> {
        let options = ServerOptions {
            settings: SMALL_QUEUE,
            ..ServerOptions::default()
        };
        let scene = Self::set(context, options).await?;
        scene.fill_the_queue(seen).await?;
        Ok(scene)
    }

    /// Takes over the messages that another relay has seen of its vault.
    fn answers_of(&self, other: &Self) {
        let answers = other.relay.seen().answers.clone();
        self.relay.seen().answers.extend(answers);
    }

    /// Backends' own questions fill it, while a device asks.
    async fn fill_the_queue(&self, seen: &mut Outcomes) -> anyhow::Result<()> {
        let add = ["tenant", "rotate-token", "app", "--scopes", "status"];
        let token = self.server.vault().done(add)?.trim().to_owned();
        let url = format!("{}{}", self.server.url(), self.account("nobody").path());
        let http = calls::client(&self.server)?;
        let mut asking = JoinSet::new();
        for _ in 0..32 {
            let request = http.get(&url).bearer_auth(&token);
            asking.spawn(async move {
                while let Some(request) = request.try_clone() {
                    drop(request.send().await);
                }
            });
        }
        let mut calls = self.calls("nobody", seen).await?;
        for _ in 0..1000 {
            calls.get().await?;
            if calls.seen.has("overloaded") {
                break;
            }
        }
        Ok(())
    }

    /// The library's own messages, with the longest names and policy that there are. Right or wrong,
    /// a retrieval is as many messages.
    async fn with_the_library(&self) -> anyhow::Result<()> {
        let tenant = "t".repeat(32);
        let month = ["2592000"; 30].join(",");
        let waits = format!("0,{month}");
        let add = [
            "tenant",
            "add",
            &tenant,
            "--limit",
            "32",
            "--total-limit",
            "1000",
        ];
        let add = add.into_iter().chain(["--waits", &waits]);
        let token = self.server.vault().done(add)?;
        let relay = Relay::start(&self.server, [token.trim(), ""]).await?;
        let account = AccountId::new("a".repeat(128))?;
        let mut phone = device(
            &relay,
            self.trust()?,
            TenantId::new(tenant)?,
            account.clone(),
            vault_client::http::system_clock,
        )?;
        relay.behave(account.as_str());
        let key = new_key();
        phone.enable(password(PASSWORD)?, &key).await?;
        let mut counts = Vec::new();
        for typed in [PASSWORD, WRONG] {
            let before = relay.seen().sent.len();
            let said = phone.retrieve(password(typed)?).await;
            let is_expected = match &said {
                Ok(retrieved) => typed == PASSWORD && retrieved.key.is_same(&key),
                Err(Error::WrongPassword { .. }) => typed == WRONG,
                Err(_) => false,
            };
            ensure!(is_expected, "{said:?}");
            counts.push(relay.seen().sent.len() - before);
        }
        holds(counts[0] == counts[1], || {
            let [right, wrong] = [counts[0], counts[1]];
            format!("{right} messages for the right password, {wrong} for a wrong one")
        })?;
        phone.change_password(password(WRONG)?, &key).await?;
        phone.disable(&key).await?;
        let [mut here, there] = [self.relay.seen(), relay.seen()];
        here.requests.extend(there.requests.iter().cloned());
        here.answers.extend(there.answers.iter().cloned());
        Ok(())
    }

    async fn calls<'a>(
        &'a self,
        account: &str,
        seen: &'a mut Outcomes,
    ) -> anyhow::Result<Calls<'a>> {
        self.relay.behave(account);
        let scope = self.account(account);
        let key_list = self.key_list().await?;
        Ok(Calls {
            scene: self,
            scope,
            key_list,
            seen,
        })
    }

    async fn key_list(&self) -> anyhow::Result<Vec<u8>> {
        let http = calls::client(&self.server)?;
        let request = http.get(format!("{}/v1/ohttp-keys", self.server.url()));
        Ok(request.send().await?.bytes().await?.to_vec())
    }
}

/// The tests' own device, through the relay.
struct Calls<'a> {
    scene: &'a Scene,
    scope: AccountScope,
    key_list: Vec<u8>,
    seen: &'a mut Outcomes,
}

impl Calls<'_> {
    async fn post<M: Serialize>(&mut self, endpoint: &str, message: &M) -> anyhow::Result<Value> {
        let path = format!("{}/{endpoint}", self.scope.path());
        let body = serde_json::to_vec(message)?;
        self.send(endpoint, &InnerMessage::json("POST", &path, &body))
            .await
    }

    async fn get(&mut self) -> anyhow::Result<Value> {
        let path = self.scope.path();
        self.send("status", &InnerMessage::request("GET", &path))
            .await
    }

    async fn guess(&mut self) -> anyhow::Result<vault_protocol::Ticket> {
        let guess = Guess::new(&self.scope, WRONG);
        let started = self.post("retrieval/start", &guess.message).await?;
        let ticket = started
            .get("retrieval_ticket")
            .unwrap_or(&json!(null))
            .clone();
        serde_json::from_value(ticket).with_context(|| format!("{started}"))
    }

    async fn send(&mut self, endpoint: &str, inner: &InnerMessage) -> anyhow::Result<Value> {
        let (sealed, key) = device::seal(&self.key_list, &inner.encode());
        let outer = transport(&self.scene.relay)?.post_sealed(sealed).await?;
        let is_sealed = outer.status == 200;
        ensure!(
            is_sealed,
            "{endpoint}: {} {:?}",
            outer.status,
            outer.content
        );
        let answer = decode_response(&key.decapsulate(&outer.content)?)?;
        self.seen.add(endpoint, &answer);
        Ok(serde_json::from_slice(&answer.content)?)
    }
}
