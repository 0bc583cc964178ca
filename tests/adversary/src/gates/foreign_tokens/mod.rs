//! Requests without the right to make them: wrong, revoked, other tenants' and other scopes' tokens,
//! and strings that are no token at all.

mod kind;
mod tokens;
mod victim;

use anyhow::Context;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::task::JoinSet;
use vault_protocol::Problem;
use vault_protocol::inner_http::decode_response;
use vault_protocol::problem::{PROBLEM_MEDIA_TYPE, ProblemDetails};
use vault_tests::process::calls::client;
use vault_tests::process::server::ServerOptions;

use self::kind::{KINDS, Kind};
use self::tokens::{Credential, Expected, Tokens};
use self::victim::{Call, Victim};
use crate::expect::same;
use crate::gate::{AttackReport, Control, Gate, GateContext, Violation, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "foreign tokens",
    property: "10,000 requests with wrong, revoked, other tenants' tokens: the victim's counter does \
               not move, and each is answered with its one problem",
    run: |context| Box::pin(run(context)),
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
    file: "vault-server/src/tenants/tenant.rs",
    text: "        found\n",
    instead: "        found.or(self.tokens.first().filter(|_| FAULT).map(|first| first.scopes.as_slice()))\n",
};

/// With this a revocation is answered and not done.
pub const REVOKED_GO_ON: Patch = Patch {
    name: "revoked tokens go on being accepted",
    file: "vault-server/src/tenants/directory.rs",
    text: "if tenant.revoke_token(id) {",
    instead: "if FAULT || tenant.revoke_token(id) {",
};

/// With this every relay may reset.
pub const ANY_SCOPE: Patch = Patch {
    name: "a token's scopes are not looked at",
    file: "vault-server/src/http/auth.rs",
    text: "if scopes.contains(&scope) {",
    instead: "if FAULT || scopes.contains(&scope) {",
};

/// With this every tenant may ask for, and reset, every account.
pub const ANY_TENANT_OUTSIDE: Patch = Patch {
    name: "a token's tenant is not compared with the path's",
    file: "vault-server/src/http/extract.rs",
    text: "if tenant != token_tenant {",
    instead: "if !(FAULT) && tenant != token_tenant {",
};

/// With this every tenant's relay vouches for every account.
pub const ANY_TENANT_INSIDE: Patch = Patch {
    name: "a token's tenant is not compared with the inner path's",
    file: "vault-server/src/http/extract.rs",
    text: "|relayed| relayed.tenant != tenant ||",
    instead: "|relayed| !(FAULT) && relayed.tenant != tenant ||",
};

const CONNECTIONS: usize = 4;
/// Requests on their way at a time.
const AT_ONCE: usize = 64;
/// How often a request is sent whose connection was ended.
const PERSISTENCE: usize = 10;

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let requests = context.scaled(400, 10_000, 100_000);
    let server = context.start(ServerOptions::default())?;
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
            if credential.expected(kind) != Expected::NotAsked {
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
    Ok(AttackReport::new(answered, what))
}

/// A connection on which a hundred bodies were refused is ended by the server, whatever else is on its
/// way there: the peer has to connect again.
async fn persistently(
    request: RequestBuilder,
) -> anyhow::Result<(u16, Option<HeaderValue>, Vec<u8>)> {
    let mut last = None;
    for _ in 0..PERSISTENCE {
        let again = request.try_clone().context("a body from memory")?;
        match answered(again).await {
            Ok(answered) => return Ok(answered),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("it was tried")?.into())
}

async fn answered(request: RequestBuilder) -> reqwest::Result<(u16, Option<HeaderValue>, Vec<u8>)> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let media_type = answer.headers().get(CONTENT_TYPE).cloned();
    Ok((status, media_type, answer.bytes().await?.to_vec()))
}

/// Sends one request, and looks at its answer.
async fn ask(call: Call, credential: Credential, kind: Kind) -> anyhow::Result<()> {
    let expected = credential.expected(kind);
    let mut request = call.request;
    for value in &credential.values {
        request = request.header(AUTHORIZATION, value);
    }
    let (status, media_type, body) = persistently(request).await?;
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
        Expected::Forbidden => Problem::Forbidden,
        Expected::AccountMismatch => Problem::AccountMismatch,
        Expected::Unauthenticated | Expected::NotAsked => Problem::Unauthenticated,
    };
    let is_outside = status != 200;
    holds(
        is_outside == (expected != Expected::AccountMismatch),
        || format!("{what}: outer status {status}, {:?}", seen.1),
    )?;
    Ok(same(&seen, &(problem.status(), Some(problem)), &what)?)
}

fn problem(body: &[u8]) -> Option<Problem> {
    let details: ProblemDetails = serde_json::from_slice(body).ok()?;
    Problem::from_details(&details)
}
