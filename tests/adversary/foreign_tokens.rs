//! Requests of who has no right to make them: wrong, revoked, other tenants' and other scopes' tokens,
//! and what is no token at all.

use anyhow::{Context, ensure};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use serde::Serialize;
use tokio::task::JoinSet;
use vault_protocol::messages::Reset;
use vault_protocol::problem::{PROBLEM_MEDIA_TYPE, ProblemDetails};
use vault_protocol::sealed::decode_response;
use vault_protocol::{Problem, Ticket};

use super::gate::{Arena, Control, Gate, Tried, Violation, holds};
use super::patch::Patch;
use super::said::same;
use crate::device::{Device, Guess, InnerMessage, Login, abandon, false_finish};
use crate::process_calls::{Calls, client, granted};
use crate::process_server::{ServerOptions, ServerProcess};

/// The gate.
pub const GATE: Gate = Gate {
    name: "foreign tokens",
    property: "10,000 requests with wrong, revoked, other tenants' tokens: the victim's counter does \
               not move, and each is answered with its one problem",
    run: |arena| Box::pin(run(arena)),
    controls: &[
        Control::Patch(&ANY_SECRET),
        Control::Patch(&REVOKED_GO_ON),
        Control::Patch(&ANY_SCOPE),
        Control::Patch(&ANY_TENANT_OUTSIDE),
        Control::Patch(&ANY_TENANT_INSIDE),
    ],
};

/// With this a tenant's name is enough.
pub const ANY_SECRET: Patch = Patch {
    name: "a token's secret is not compared",
    file: "vault-server/src/tenant.rs",
    text: "        found\n",
    instead: "        found.or(self.tokens.first().filter(|_| FAULT).map(|first| first.scopes.as_slice()))\n",
};

/// With this a revocation is answered and not done.
pub const REVOKED_GO_ON: Patch = Patch {
    name: "revoked tokens go on being accepted",
    file: "vault-server/src/tenants.rs",
    text: "if tenant.revoke_token(id) {",
    instead: "if FAULT || tenant.revoke_token(id) {",
};

/// With this whoever may relay may reset.
pub const ANY_SCOPE: Patch = Patch {
    name: "a token's scopes are not looked at",
    file: "vault-server/src/http/auth.rs",
    text: "if scopes.contains(&scope) {",
    instead: "if FAULT || scopes.contains(&scope) {",
};

/// With this every tenant may ask for, and reset, every account.
pub const ANY_TENANT_OUTSIDE: Patch = Patch {
    name: "a token's tenant is not compared with the path's",
    file: "vault-server/src/http/handlers.rs",
    text: "if tenant != token_tenant {",
    instead: "if !(FAULT) && tenant != token_tenant {",
};

/// With this every tenant's relay vouches for every account.
pub const ANY_TENANT_INSIDE: Patch = Patch {
    name: "a token's tenant is not compared with the inner path's",
    file: "vault-server/src/http/extract.rs",
    text: "|vouched| vouched.tenant != tenant ||",
    instead: "|vouched| !(FAULT) && vouched.tenant != tenant ||",
};

const PASSWORD: &str = "correct horse battery staple";
const CONNECTIONS: usize = 4;
/// Requests on their way at a time.
const AT_ONCE: usize = 64;

async fn run(arena: Arena) -> anyhow::Result<Tried> {
    let requests = arena.scaled(400, 10_000, 100_000);
    let server = arena.start(ServerOptions::default())?;
    let tokens = Tokens::issue(&server)?;
    let victim = Victim::register(&server).await?;
    let before = victim.status().await?;
    let credentials = tokens.foreign();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(client(&server)?);
    }
    let (mut asked, mut answered) = (0, 0);
    while answered < requests {
        let mut running = JoinSet::new();
        for number in asked..asked + AT_ONCE {
            // Each request with each credential in turn.
            let (round, which) = (number / credentials.len(), number % credentials.len());
            let credential = credentials[which].clone();
            let kind = KINDS[round % KINDS.len()];
            let call = victim.call(kind, &connections[number % CONNECTIONS])?;
            if credential.expected(kind) != NotAsked {
                running.spawn(ask(call, credential, kind));
            }
        }
        while let Some(ended) = running.join_next().await {
            ended??;
            answered += 1;
        }
        asked += AT_ONCE;
        same(&victim.status().await?, &before, "the victim's status")?;
    }
    victim.finish().await?;
    let what = format!(
        "requests, {} credentials and {} requests in turn",
        credentials.len(),
        KINDS.len()
    );
    Ok(Tried::new(answered, what))
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Status,
    Reset,
    /// Inside the sealed channel.
    Start,
    FalseFinish,
    Abandon,
    Register,
    Delete,
    SealedStatus,
}

const KINDS: [Kind; 8] = [
    Kind::Start,
    Kind::Status,
    Kind::Reset,
    Kind::FalseFinish,
    Kind::Abandon,
    Kind::Register,
    Kind::Delete,
    Kind::SealedStatus,
];

/// What stands in the place of a token that is allowed to ask, and what it is told.
#[derive(Clone)]
struct Credential {
    what: &'static str,
    /// Values of `Authorization`, each in a header of its own.
    values: Vec<String>,
    /// For the status outside, the reset, and everything sealed.
    expected: [Expected; 3],
}

/// The one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Unauthenticated,
    Forbidden,
    /// Inside the sealed channel: the relay is one of another tenant.
    AccountMismatch,
    /// It is not foreign for this request.
    NotAsked,
}

use Expected::{AccountMismatch, Forbidden, NotAsked, Unauthenticated};

/// Who could be attacked: a record with an open attempt.
struct Victim {
    calls: Calls,
    device: Device,
    login: Login,
    url: String,
}

/// A request that lacks its credential, and what opens a sealed answer.
struct Call {
    request: RequestBuilder,
    key: Option<ohttp::ClientResponse>,
}

impl Kind {
    fn is_sealed(self) -> bool {
        !matches!(self, Self::Status | Self::Reset)
    }
}

impl Credential {
    fn expected(&self, kind: Kind) -> Expected {
        match kind {
            Kind::Status => self.expected[0],
            Kind::Reset => self.expected[1],
            _ => self.expected[2],
        }
    }
}

/// Sends one request, and looks at its answer.
async fn ask(call: Call, credential: Credential, kind: Kind) -> anyhow::Result<()> {
    let expected = credential.expected(kind);
    let mut request = call.request;
    for value in &credential.values {
        request = request.header(AUTHORIZATION, value);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let media_type = answer.headers().get(CONTENT_TYPE).cloned();
    let body = answer.bytes().await?;
    let what = format!("{kind:?} with {}", credential.what);
    let is_problem = media_type.is_some_and(|media_type| media_type == PROBLEM_MEDIA_TYPE);
    let seen = match call.key.filter(|_| status == 200) {
        Some(key) => {
            let inner = decode_response(&key.decapsulate(&body)?)?;
            (inner.status, problem(&inner.content))
        }
        None if is_problem => (status, problem(&body)),
        None => return Err(Violation::new(format!("{what}: status {status}")).into()),
    };
    let problem = match expected {
        Forbidden => Problem::Forbidden,
        AccountMismatch => Problem::AccountMismatch,
        Unauthenticated | NotAsked => Problem::Unauthenticated,
    };
    let is_outside = status != 200;
    holds(is_outside == (expected != AccountMismatch), || {
        format!("{what}: outer status {status}, {:?}", seen.1)
    })?;
    Ok(same(&seen, &(problem.status(), Some(problem)), &what)?)
}

fn problem(body: &[u8]) -> Option<Problem> {
    let details: ProblemDetails = serde_json::from_slice(body).ok()?;
    Problem::from_details(&details)
}

impl Victim {
    async fn register(server: &ServerProcess) -> anyhow::Result<Self> {
        let calls = Calls::connect(server, "alice").await?;
        let device = calls.register(PASSWORD).await?;
        let guess = Guess::new(calls.scope(), PASSWORD);
        let started = granted(calls.start(&guess).await?)?;
        let login = guess.evaluated(&started).ok().context("the right one")?;
        let url = format!("{}{}", server.url(), calls.scope().path());
        Ok(Self {
            calls,
            device,
            login,
            url,
        })
    }

    async fn status(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(&self.calls.status().await?)?)
    }

    /// The attempt that was open all the while still leads to the key.
    async fn finish(&self) -> anyhow::Result<()> {
        let said = self.calls.post("retrieval/finish", &self.login.message);
        let finished = granted(said.await?)?;
        let key = self.login.open(&finished).ok().context("released")?;
        ensure!(key.is_same(self.device.key()), "another key");
        Ok(())
    }

    fn call(&self, kind: Kind, http: &Client) -> anyhow::Result<Call> {
        if kind.is_sealed() {
            let (request, key) = self.calls.seal_without_token(&self.inner(kind)?, http);
            return Ok(Call {
                request,
                key: Some(key),
            });
        }
        let request = match kind {
            Kind::Reset => {
                let body = serde_json::to_vec(&Reset { generation: 1 })?;
                let url = format!("{}/reset", self.url);
                let request = http.request(Method::POST, url).body(body);
                request.header(CONTENT_TYPE, "application/json")
            }
            _ => http.get(&self.url),
        };
        Ok(Call { request, key: None })
    }

    fn inner(&self, kind: Kind) -> anyhow::Result<InnerMessage> {
        let ticket: &Ticket = &self.login.message.retrieval_ticket;
        let (endpoint, body) = match kind {
            Kind::Start => {
                let guess = Guess::new(self.calls.scope(), "not the password");
                ("retrieval/start", json(&guess.message)?)
            }
            Kind::FalseFinish => ("retrieval/finish", json(&false_finish(ticket))?),
            Kind::Abandon => ("retrieval/abandon", json(&abandon(ticket))?),
            Kind::Register => {
                let started = self.device.register("another password");
                ("registration/start", json(&started.message)?)
            }
            Kind::Delete => ("deletion", json(&self.device.deletion(1))?),
            Kind::SealedStatus | Kind::Status | Kind::Reset => {
                let path = self.calls.scope().path();
                return Ok(InnerMessage::request("GET", &path));
            }
        };
        let path = format!("{}/{endpoint}", self.calls.scope().path());
        Ok(InnerMessage::json("POST", &path, &body))
    }
}

fn json(message: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(message)?)
}

/// Tokens that the vault has issued.
struct Tokens {
    /// Of the victim's tenant, for one scope each.
    uses: String,
    status: String,
    reset: String,
    /// Of the victim's tenant, for every scope, until it was revoked.
    revoked: String,
    /// Of another tenant, for every scope.
    other: String,
    /// Of a tenant that was removed.
    removed: String,
}

impl Tokens {
    fn issue(server: &ServerProcess) -> anyhow::Result<Self> {
        let vault = server.vault();
        let done = |arguments: &[&str]| {
            let printed = vault.done(arguments)?;
            anyhow::Ok(printed.trim().to_owned())
        };
        let rotate = ["tenant", "rotate-token", "app"];
        let tokens = Self {
            uses: server.token().to_owned(),
            status: done(&[&rotate[..], &["--scopes", "status"]].concat())?,
            reset: done(&[&rotate[..], &["--scopes", "reset"]].concat())?,
            revoked: done(&[&rotate[..], &["--scopes", "use,status,reset"]].concat())?,
            other: done(&["tenant", "add", "other", "--scopes", "use,status,reset"])?,
            removed: done(&["tenant", "add", "gone", "--scopes", "use,status,reset"])?,
        };
        done(&[&rotate[..], &["--revoke", "4"]].concat())?;
        done(&["tenant", "remove", "gone"])?;
        Ok(tokens)
    }

    /// Everything that is not allowed what it asks for.
    fn foreign(&self) -> Vec<Credential> {
        let mut all = vec![
            bearer(
                "the scope use",
                &self.uses,
                [Forbidden, Forbidden, NotAsked],
            ),
            bearer(
                "the scope status",
                &self.status,
                [NotAsked, Forbidden, Forbidden],
            ),
            bearer(
                "the scope reset",
                &self.reset,
                [Forbidden, NotAsked, Forbidden],
            ),
            bearer(
                "another tenant's token",
                &self.other,
                [Forbidden, Forbidden, AccountMismatch],
            ),
        ];
        let unknown = self.unknown().into_iter();
        all.extend(unknown.map(|(what, token)| bearer(what, &token, [Unauthenticated; 3])));
        let malformed = self.malformed().into_iter();
        all.extend(malformed.map(|(what, values)| Credential {
            what,
            values,
            expected: [Unauthenticated; 3],
        }));
        all
    }

    /// Tokens in the right form that were never issued, or are no longer good.
    fn unknown(&self) -> Vec<(&'static str, String)> {
        let others = &self.other["bkv1_other_".len()..];
        let mine = &self.reset["bkv1_app_".len()..];
        vec![
            ("a revoked token", self.revoked.clone()),
            ("a removed tenant's token", self.removed.clone()),
            ("another tenant's secret", format!("bkv1_app_{others}")),
            ("a secret under another name", format!("bkv1_other_{mine}")),
            ("an unknown tenant", format!("bkv1_nobody_{mine}")),
            ("a secret of zeros", format!("bkv1_app_{}", "A".repeat(43))),
            ("an altered secret", with_another_digit(&self.reset)),
        ]
    }

    /// What is no token, or not said in the one way.
    fn malformed(&self) -> Vec<(&'static str, Vec<String>)> {
        let good = &self.reset;
        let two = format!("Bearer {}, Bearer {good}", self.status);
        vec![
            ("no header", vec![]),
            ("an empty header", vec![String::new()]),
            ("no token", vec!["Bearer".to_owned()]),
            ("an empty token", vec!["Bearer ".to_owned()]),
            ("no scheme", vec![good.clone()]),
            ("another scheme", vec![format!("Basic {good}")]),
            (
                "a token cut off",
                vec![format!("Bearer {}", &good[..good.len() - 1])],
            ),
            ("a longer token", vec![format!("Bearer {good}A")]),
            ("a padded token", vec![format!("Bearer {good}=")]),
            (
                "a token in capitals",
                vec![format!("Bearer {}", good.to_uppercase())],
            ),
            (
                "a token without prefix",
                vec![format!("Bearer {}", &good[5..])],
            ),
            ("two tokens in a header", vec![two]),
            (
                "two headers",
                vec![format!("Bearer {good}"), format!("Bearer {}", self.uses)],
            ),
            (
                "8 KiB",
                vec![format!("Bearer bkv1_app_{}", "A".repeat(8192))],
            ),
        ]
    }
}

fn bearer(what: &'static str, token: &str, expected: [Expected; 3]) -> Credential {
    Credential {
        what,
        values: vec![format!("Bearer {token}")],
        expected,
    }
}

/// Another first digit of the secret: all of the first byte's bits are then significant.
fn with_another_digit(token: &str) -> String {
    let (name, secret) = token.split_at("bkv1_app_".len());
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    format!("{name}{first}{}", &secret[1..])
}
