//! Everything that devices, backends and operators do, with secrets that are known here.

use anyhow::{Context, ensure};
use rand::rngs::OsRng;
use serde::Serialize;
use vault_client::error::Error;
use vault_client::{BackupKey, Password};
use vault_protocol::messages::{
    RegistrationFinish, RegistrationStarted, Reset, RetrievalFinished, RetrievalStarted, Status,
};
use vault_protocol::wrapping::WrappedKey;
use vault_protocol::{AccountScope, Binary};
use vault_tests::device::{Device, Guess, InnerMessage, abandon, false_finish};
use vault_tests::process::calls::{self, Calls};
use vault_tests::process::client;
use vault_tests::process::one_call::OneCall as _;
use vault_tests::process::server::ServerProcess;

use super::credential::{Credential, Evaluation};
use super::observed::{Observed, secret_of};
use crate::gate::GateContext;

/// A broken device: K itself is in the place of the wrapped key.
pub(super) const NOT_WRAPPED: &str = "a device registers K without wrapping it";

/// The password of every owner.
pub const PASSWORD: &str = "canary-password-91bc";
const OTHER_PASSWORD: &str = "canary-password-22de";
const WRONG_PASSWORD: &str = "canary-password-0e5f";

/// So many logins end before the memory is looked at: each may have run on another thread.
const LOGINS: usize = 8;

/// All flows once, for accounts of their own; returns how many requests the tests' own
/// device made.
pub async fn run(
    server: &ServerProcess,
    observed: &mut Observed,
    round: usize,
    context: &GateContext,
) -> anyhow::Result<usize> {
    for password in [PASSWORD, OTHER_PASSWORD, WRONG_PASSWORD] {
        observed.secrets.text("a password", password);
    }
    let [phone, device] = ["phone", "device"].map(|who| format!("canary-{who}-7f3a-{round}"));
    for account in [&phone, &device] {
        observed.names.text("an account", account);
    }
    with_the_library(server, observed, &phone).await?;
    let mut known = Known {
        server,
        calls: Calls::connect(server, &device).await?,
        observed,
        requests: 0,
    };
    known.everything(context.is_switched(NOT_WRAPPED)).await?;
    let requests = known.requests;
    with_backend_and_operator(server, observed, &device, round).await?;
    Ok(requests)
}

/// The calls of an app's users.
async fn with_the_library(
    server: &ServerProcess,
    observed: &mut Observed,
    account: &str,
) -> anyhow::Result<()> {
    let mut phone = client::direct(server, account)?;
    let key = BackupKey::generate(&mut OsRng);
    observed.secrets.key("K", &key);
    phone.enable(Password::prepare(PASSWORD)?, &key).await?;
    observed.credential(&Credential::of(server, account)?);
    let wrong = phone.retrieve(Password::prepare(WRONG_PASSWORD)?).await;
    let is_wrong = matches!(wrong, Err(Error::WrongPassword { .. }));
    ensure!(is_wrong, "{wrong:?}");
    phone.retrieve(Password::prepare(PASSWORD)?).await?;
    phone
        .change_password(Password::prepare(OTHER_PASSWORD)?, &key)
        .await?;
    observed.credential(&Credential::of(server, account)?);
    Ok(phone.disable(&key).await?)
}

/// The requests of a backend and of an operator: outside the sealed channel, and at the socket.
async fn with_backend_and_operator(
    server: &ServerProcess,
    observed: &mut Observed,
    account: &str,
    round: usize,
) -> anyhow::Result<()> {
    let vault = server.vault();
    let token = vault.done(["tenant", "rotate-token", "app", "--scopes", "status,reset"])?;
    observed.names.text("a token", secret_of(&token));
    let http = calls::client(server)?;
    let url = format!("{}/v1/tenants/app/accounts/{account}", server.url());
    let asked = http.get(&url).bearer_auth(token.trim()).send().await?;
    let status: Status = serde_json::from_slice(&asked.bytes().await?)?;
    let reset = |generation| {
        let body = serde_json::to_vec(&Reset { generation });
        let request = http.post(format!("{url}/reset")).bearer_auth(token.trim());
        let request = request.header("content-type", "application/json");
        body.map(|body| request.body(body).send())
    };
    let refused = reset(status.generation + 1)?.await?;
    observed.outer(refused.status().as_u16(), &refused.bytes().await?);
    vault.done(["account", "show", "app", account])?;
    vault.done(["tenant", "list"])?;
    vault
        .done(["tenant", "rotate-token", "app", "--revoke", "999"])
        .ok();
    // A tenant has few tokens: this round's goes again. The first is the vault's own.
    let made = (round + 2).to_string();
    vault.done(["tenant", "rotate-token", "app", "--revoke", &made])?;
    Ok(())
}

/// The tests' own device, whose every secret is known.
struct Known<'a> {
    server: &'a ServerProcess,
    calls: Calls,
    observed: &'a mut Observed,
    requests: usize,
}

impl Known<'_> {
    async fn everything(&mut self, not_wrapped: bool) -> anyhow::Result<()> {
        let scope = self.calls.scope().clone();
        self.refused_for_lack_of_a_record(&scope).await?;
        let device = Device::new(&scope);
        self.observed.secrets.key("K", device.key());
        let (mut finish, evaluated) = self.prepare(&device, PASSWORD).await?;
        if not_wrapped {
            finish.wrapped_key = unwrapped(&device);
        }
        self.post("registration/finish", &finish, 201).await?;
        self.post("registration/finish", &finish, 201).await?;
        self.steal(&evaluated)?;
        self.wrong(&scope).await?;
        if !not_wrapped {
            for _ in 0..LOGINS {
                self.right(&device).await?;
            }
        }
        self.replace(&device).await?;
        let wrong_proof = Device::new(&scope).deletion(2);
        self.post("deletion", &wrong_proof, 403).await?;
        // One attempt stays open. Live secrets are in the memory; after this none is.
        let guess = Guess::new(&scope, WRONG_PASSWORD);
        self.start(&guess).await?;
        if not_wrapped {
            return Ok(());
        }
        self.post("deletion", &device.deletion(2), 200)
            .await
            .map(drop)
    }

    async fn refused_for_lack_of_a_record(&mut self, scope: &AccountScope) -> anyhow::Result<()> {
        let guess = Guess::new(scope, WRONG_PASSWORD);
        self.post("retrieval/start", &guess.message, 404).await?;
        let deletion = Device::new(scope).deletion(1);
        self.post("deletion", &deletion, 404).await.map(drop)
    }

    async fn prepare(
        &mut self,
        device: &Device,
        password: &str,
    ) -> anyhow::Result<(RegistrationFinish, Evaluation)> {
        let started = device.register(password);
        let request = started.message.registration_request;
        let names = &mut self.observed.names;
        names.bytes("a blinded password", &request.0);
        let answer = self
            .post("registration/start", &started.message, 200)
            .await?;
        let answer: RegistrationStarted = serde_json::from_slice(&answer)?;
        let evaluated = device.evaluated(&started, &answer);
        let finish = evaluated.message;
        let secrets = &mut self.observed.secrets;
        secrets.bytes("an export key", &evaluated.export_key);
        let names = &mut self.observed.names;
        names.bytes("a registration's ticket", &finish.registration_ticket.0);
        names.bytes("a record", &finish.registration_record.0);
        names.bytes("a wrapped key", &finish.wrapped_key.0);
        names.bytes("a management key", &finish.management_key.0);
        let evaluation = Evaluation {
            blinded: request,
            answer: answer.registration_response,
        };
        Ok((finish, evaluation))
    }

    /// The vault's secrets of the live record, whose registration had this evaluation.
    fn steal(&mut self, evaluation: &Evaluation) -> anyhow::Result<()> {
        let credential = Credential::of(self.server, self.calls.scope().account.as_str())?;
        credential.explains(evaluation)?;
        self.observed.credential(&credential);
        Ok(())
    }

    async fn start(&mut self, guess: &Guess) -> anyhow::Result<RetrievalStarted> {
        let answer = self.post("retrieval/start", &guess.message, 200).await?;
        let started: RetrievalStarted = serde_json::from_slice(&answer)?;
        let names = &mut self.observed.names;
        names.bytes("KE1", &guess.message.credential_request.0);
        names.bytes("KE2", &started.credential_response.0);
        names.bytes("a retrieval's ticket", &started.retrieval_ticket.0);
        Ok(started)
    }

    async fn wrong(&mut self, scope: &AccountScope) -> anyhow::Result<()> {
        let started = self.start(&Guess::new(scope, WRONG_PASSWORD)).await?;
        let message = false_finish(&started.retrieval_ticket);
        self.post("retrieval/finish", &message, 403).await?;
        self.post("retrieval/finish", &message, 409).await?;
        let started = self.start(&Guess::new(scope, WRONG_PASSWORD)).await?;
        let message = abandon(&started.retrieval_ticket);
        self.post("retrieval/abandon", &message, 200)
            .await
            .map(drop)
    }

    async fn right(&mut self, device: &Device) -> anyhow::Result<()> {
        let guess = Guess::new(device.scope(), PASSWORD);
        let started = self.start(&guess).await?;
        let login = guess.evaluated(&started).ok().context("the password")?;
        let finalization = login.message.credential_finalization;
        self.observed.names.bytes("KE3", &finalization.0);
        let erased = &mut self.observed.erased;
        erased.bytes("a session key", &login.session_key);
        let answer = self.post("retrieval/finish", &login.message, 200).await?;
        let released: RetrievalFinished = serde_json::from_slice(&answer)?;
        let names = &mut self.observed.names;
        names.bytes("a released key", &released.released_key.0);
        let key = login.open(&released).ok().context("what was released")?;
        ensure!(key.is_same(device.key()), "another K was released");
        Ok(())
    }

    async fn replace(&mut self, device: &Device) -> anyhow::Result<()> {
        let (finish, evaluation) = self.prepare(device, OTHER_PASSWORD).await?;
        self.post("registration/finish", &finish, 409).await?;
        let forged = Device::new(device.scope()).proven(&finish, 1);
        self.post("registration/finish", &forged, 403).await?;
        let proven = device.proven(&finish, 1);
        let proof = proven.replace_proof.context("a proof")?;
        self.observed.names.bytes("a proof", &proof.0);
        self.post("registration/finish", &proven, 201).await?;
        self.steal(&evaluation)
    }

    async fn post<M: Serialize>(
        &mut self,
        endpoint: &str,
        message: &M,
        expected: u16,
    ) -> anyhow::Result<Vec<u8>> {
        let path = format!("{}/{endpoint}", self.calls.scope().path());
        let inner = InnerMessage::json("POST", &path, &serde_json::to_vec(message)?);
        let answer = self.calls.send(&inner).await?;
        self.observed.inner(&answer);
        self.requests += 1;
        let (status, content) = (answer.status, answer.content);
        let is_expected = status == expected;
        ensure!(is_expected, "{endpoint}: {status} {content:?}");
        Ok(content)
    }
}

/// K where its wrapping should be.
fn unwrapped(device: &Device) -> WrappedKey {
    let mut bytes = [0; 60];
    bytes[12..44].copy_from_slice(device.key().expose_secret());
    Binary(bytes)
}
