//! A canary in every place of a request, right and wrong.

use anyhow::ensure;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder};
use vault_protocol::binary::to_base64url;
use vault_tests::device::InnerMessage;
use vault_tests::process::calls::{self, Calls};
use vault_tests::process::server::ServerProcess;

use super::observed::Observed;

/// Sent where it does not belong. The server has it in its memory, of course.
const CANARY: &str = "canary-malformed-5c21";

/// A name that could be an account's.
const ACCOUNT: &str = "canary-stranger-88aa";

/// Every message's fields, with the number of bytes that are expected; 0 where there is none.
const MESSAGES: [(&str, &[(&str, usize)]); 7] = [
    ("registration/start", &[("registration_request", 32)]),
    (
        "registration/finish",
        &[
            ("registration_ticket", 32),
            ("registration_record", 192),
            ("wrapped_key", 60),
            ("stretching_profile", 0),
            ("management_key", 32),
            ("replace_proof", 64),
        ],
    ),
    ("retrieval/start", &[("credential_request", 96)]),
    (
        "retrieval/finish",
        &[("retrieval_ticket", 300), ("credential_finalization", 64)],
    ),
    ("retrieval/abandon", &[("retrieval_ticket", 300)]),
    ("deletion", &[("proof", 64)]),
    ("reset", &[("generation", 0)]),
];

/// Sends them; returns how many there were.
pub async fn run(server: &ServerProcess, observed: &mut Observed) -> anyhow::Result<usize> {
    observed.names.text("a malformed request's canary", CANARY);
    observed.names.text("a stranger's account", ACCOUNT);
    let mut sender = Sender {
        calls: Calls::connect(server, ACCOUNT).await?,
        http: calls::client(server)?,
        url: server.url(),
        token: server.token(),
        observed,
        sent: 0,
    };
    sender.inner_bodies().await?;
    sender.inner_heads().await?;
    sender.outer_heads().await?;
    sender.outer_bodies().await?;
    Ok(sender.sent)
}

/// No device does this: see the control.
pub async fn send_in_clear(server: &ServerProcess, password: &str) -> anyhow::Result<()> {
    let calls = Calls::connect(server, ACCOUNT).await?;
    let (request, _) = calls.seal(&InnerMessage::request("GET", "/"));
    let body = password.repeat(16_000 / password.len());
    let status = request.body(body).send().await?.status();
    ensure!(status.is_client_error(), "{status}");
    Ok(())
}

struct Sender<'a> {
    calls: Calls,
    http: Client,
    url: String,
    token: &'a str,
    observed: &'a mut Observed,
    sent: usize,
}

impl Sender<'_> {
    async fn inner_bodies(&mut self) -> anyhow::Result<()> {
        for (endpoint, fields) in MESSAGES {
            let path = format!("{}/{endpoint}", self.calls.scope().path());
            for body in bodies(fields) {
                let inner = InnerMessage::json("POST", &path, body.as_bytes());
                self.inner(&inner).await?;
            }
        }
        Ok(())
    }

    /// Method, path and headers of the inner request.
    async fn inner_heads(&mut self) -> anyhow::Result<()> {
        let path = self.calls.scope().path();
        for method in [CANARY, "CANARY-MALFORMED-5C21", "POST", "GET"] {
            for end in ["", "/x", "?", "#", "%41", "/retrieval/start/"] {
                let path = match end {
                    "" => path.clone(),
                    end => format!("{path}{end}{CANARY}"),
                };
                self.inner(&InnerMessage::request(method, &path)).await?;
            }
        }
        let headers = ["authorization", "cookie", "content-type", "vault-account"];
        for name in headers.into_iter().chain(["accept", CANARY]) {
            let inner = InnerMessage::request("GET", &path).header(name, CANARY);
            self.inner(&inner).await?;
            let inner = InnerMessage::request("GET", &path).trailer(name, CANARY);
            self.inner(&inner).await?;
        }
        for path in [
            format!("/v1/tenants/{CANARY}/accounts/{ACCOUNT}"),
            format!("/v1/tenants/app/accounts/{CANARY}"),
            format!("/{CANARY}"),
        ] {
            self.inner(&InnerMessage::request("GET", &path)).await?;
        }
        Ok(())
    }

    /// Method, path and headers of the outer request.
    async fn outer_heads(&mut self) -> anyhow::Result<()> {
        let account = format!("/v1/tenants/app/accounts/{CANARY}");
        for path in [
            format!("/{CANARY}"),
            format!("{account}?{CANARY}"),
            format!("{account}%41"),
            format!("{account}/{CANARY}"),
            format!("/v1/tenants/{CANARY}/accounts/alice"),
            account,
        ] {
            for method in [
                Method::GET,
                Method::POST,
                Method::from_bytes(b"CANARYMALFORMED5C21")?,
            ] {
                let request = self.http.request(method, format!("{}{path}", self.url));
                self.outer(request.bearer_auth(self.token)).await?;
            }
        }
        for name in [AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT, ACCEPT] {
            let (request, _) = self.calls.seal(&InnerMessage::request("GET", "/"));
            self.outer(request.header(name, CANARY)).await?;
        }
        for token in [
            CANARY,
            "app_canary-malformed-5c21",
            "vault_app_canary-malformed-5c21",
        ] {
            let request = self.http.post(format!("{}/v1/ohttp", self.url));
            self.outer(request.bearer_auth(token)).await?;
        }
        for account in [
            CANARY.to_owned(),
            format!("{CANARY}%41"),
            format!("{CANARY}/"),
        ] {
            let request = self.http.post(format!("{}/v1/ohttp", self.url));
            let request = request.bearer_auth(self.token);
            let request = request.header("vault-account", account);
            let request = request.header(CONTENT_TYPE, "message/ohttp-req");
            self.outer(request.body(CANARY)).await?;
        }
        Ok(())
    }

    /// Every endpoint without its seal, and bodies that are no sealed messages.
    async fn outer_bodies(&mut self) -> anyhow::Result<()> {
        for (endpoint, fields) in MESSAGES {
            for body in bodies(fields) {
                let path = format!("{}/{endpoint}", self.calls.scope().path());
                let request = self.http.post(format!("{}{path}", self.url));
                let request = request.header(CONTENT_TYPE, "application/json");
                self.outer(request.bearer_auth(self.token).body(body))
                    .await?;
            }
        }
        for times in [1, 100, 700, 800] {
            let (request, _) = self.calls.seal(&InnerMessage::request("GET", "/"));
            self.outer(request.body(CANARY.repeat(times))).await?;
        }
        Ok(())
    }

    async fn inner(&mut self, message: &InnerMessage) -> anyhow::Result<()> {
        let answer = self.calls.send(message).await?;
        self.observed.inner(&answer);
        self.sent += 1;
        Ok(())
    }

    async fn outer(&mut self, request: RequestBuilder) -> anyhow::Result<()> {
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        for value in answer.headers().values() {
            self.observed.outer(status, value.as_bytes());
        }
        self.observed.outer(status, &answer.bytes().await?);
        self.sent += 1;
        Ok(())
    }
}

/// Bodies that have the canary in each field, in its place, in its form, and where there is none.
fn bodies(fields: &[(&str, usize)]) -> Vec<String> {
    let mut bodies = vec![
        format!("{CANARY:?}"),
        format!("{{\"{CANARY}\": 1}}"),
        format!("[\"{CANARY}\"]"),
        CANARY.to_owned(),
    ];
    for (field, length) in fields {
        let bytes: Vec<u8> = CANARY.bytes().cycle().take(*length).collect();
        let rightly_long = to_base64url(&bytes);
        for value in [
            format!("{CANARY:?}"),
            format!("{{\"{CANARY}\": {CANARY:?}}}"),
            format!("{rightly_long:?}"),
        ] {
            bodies.push(format!("{{{field:?}: {value}}}"));
            bodies.push(format!("{{{field:?}: {value}, {field:?}: {value}}}"));
            bodies.push(format!("{{{field:?}: {value}"));
        }
    }
    let all = fields.iter().map(|(field, length)| {
        let bytes: Vec<u8> = CANARY.bytes().cycle().take(*length).collect();
        match length {
            0 => format!("{field:?}: 1"),
            _ => format!("{field:?}: {:?}", to_base64url(&bytes)),
        }
    });
    bodies.push(format!("{{{}}}", all.collect::<Vec<_>>().join(", ")));
    bodies
}
