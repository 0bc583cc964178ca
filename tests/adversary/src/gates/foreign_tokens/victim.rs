//! The account under attack, and every request in its name.

use anyhow::{Context, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use serde::Serialize;
use vault_protocol::messages::Reset;
use vault_tests::device::{Device, Guess, InnerMessage, Login, abandon, false_finish};
use vault_tests::process::calls::{Calls, granted};
use vault_tests::process::server::ServerProcess;

use super::kind::Kind;

const PASSWORD: &str = "correct horse battery staple";

/// The owner of a record with an open attempt.
pub struct Victim {
    calls: Calls,
    device: Device,
    login: Login,
    url: String,
}

/// A request that lacks its credential, and the key of a sealed answer.
pub struct Call {
    pub request: RequestBuilder,
    pub key: Option<ohttp::ClientResponse>,
}

impl Victim {
    pub async fn register(server: &ServerProcess) -> anyhow::Result<Self> {
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

    pub async fn status(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(&self.calls.status().await?)?)
    }

    /// The attempt that was open all the while still leads to the key.
    pub async fn finish(&self) -> anyhow::Result<()> {
        let said = self.calls.post("retrieval/finish", &self.login.message);
        let finished = granted(said.await?)?;
        let key = self.login.open(&finished).ok().context("released")?;
        ensure!(key.is_same(self.device.key()), "another key");
        Ok(())
    }

    pub fn call(&self, kind: Kind, http: &Client) -> anyhow::Result<Call> {
        if kind.is_sealed() {
            let calls = self.calls.over(http.clone());
            let (sealed, key) = calls.sealed(&self.inner(kind)?);
            let request = calls.request_without_token(sealed);
            return Ok(Call {
                request,
                key: Some(key),
            });
        }
        let request = match kind {
            Kind::Reset => {
                let body = serde_json::to_vec(&Reset { generation: 1 })?;
                let url = format!("{}/reset", self.url);
                let request = http.post(url).body(body);
                request.header(CONTENT_TYPE, "application/json")
            }
            _ => http.get(&self.url),
        };
        Ok(Call { request, key: None })
    }

    fn inner(&self, kind: Kind) -> anyhow::Result<InnerMessage> {
        let ticket = &self.login.message.retrieval_ticket;
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
