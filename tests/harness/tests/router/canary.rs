//! No name and no secret gets out: not into the logs at the lowest level, not into an error's
//! body, not into the data folder, not into the anchor.
//!
//! Fails, for example, when a span has the request's path, `Debug` of a message is derived over
//! plain bytes, a problem echoes what was sent, or the ledger stores a leaf without sealing it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use vault_protocol::binary::from_base64url;
use vault_protocol::messages::{
    RegistrationFinish, Reset, RetrievalFinish, RetrievalFinished, RetrievalStarted,
};
use vault_protocol::{AccountScope, Binary, Ticket};
use vault_tests::canaries::Canaries;
use vault_tests::device::{Device, Guess, abandon, false_finish};
use vault_tests::in_process::{Answered, TestVault};

use crate::support::{evaluated, finish, finish_registration, policy, start};

const ACCOUNT: &str = "canary-account-7f3a";
const PASSWORD: &str = "canary-password-91bc";
const OTHER_PASSWORD: &str = "canary-password-22de";
const WRONG_PASSWORD: &str = "canary-password-0e5f";

/// Everything this process has logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The canaries, and everything in which they are looked for.
#[derive(Default)]
struct Observed {
    hidden: Canaries,
    error_bodies: Vec<u8>,
}

impl Observed {
    fn registration(&mut self, message: &RegistrationFinish) {
        self.hidden
            .bytes("the registration's ticket", &message.registration_ticket.0);
        self.hidden
            .bytes("the record", &message.registration_record.0);
        self.hidden.bytes("the wrapped key", &message.wrapped_key.0);
        self.hidden
            .bytes("the management key", &message.management_key.0);
    }

    fn start(&mut self, guess: &Guess, answer: &RetrievalStarted) {
        self.hidden
            .bytes("KE1", &guess.message.credential_request.0);
        self.hidden.bytes("KE2", &answer.credential_response.0);
        self.hidden
            .bytes("the retrieval's ticket", &answer.retrieval_ticket.0);
    }

    /// Remembers an answer; an error's body must not tell anything.
    fn answered(&mut self, answer: Answered, expected: u16) -> Answered {
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
        if !answer.status.is_success() {
            self.error_bodies.extend_from_slice(&answer.body);
        }
        answer
    }

    fn assert_hidden(&self, place: &str, bytes: &[u8]) {
        let found = self.hidden.found_in(bytes);
        assert!(found.is_empty(), "in {place}: {}", found.join(", "));
    }
}

#[tokio::test]
async fn no_name_and_no_secret_gets_out() {
    let log = Log::default();
    // Of the whole process: the ledger's writer has a thread of its own.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut vault = TestVault::start(policy(4, 8)).await;
    let mut observed = Observed::default();
    hide_what_is_always_there(&vault, &mut observed);
    let scope = vault.account(ACCOUNT);

    let device = register(&vault, &scope, &mut observed).await;
    retrieve(&vault, &device, &mut observed).await;
    replace(&vault, &device, &mut observed).await;
    be_refused(&vault, &scope, &mut observed).await;
    let while_running = files(&vault.data_folder());
    vault.restart(vault.now()).await;
    be_wrong_until_destroyed(&vault, &scope, &mut observed).await;
    vault.sweep().await;
    vault.stop();

    let text = log.0.lock().unwrap().clone();
    let is_full = String::from_utf8_lossy(&text).contains("answered status=200");
    assert!(is_full, "nothing was logged");
    observed.assert_hidden("the log", &text);
    observed.assert_hidden("an error's body", &observed.error_bodies);
    observed.assert_hidden("the data folder of the running vault", &while_running);
    observed.assert_hidden("the data folder", &files(&vault.data_folder()));
    observed.assert_hidden("the anchor", &fs::read(vault.anchor()).unwrap());
}

fn hide_what_is_always_there(vault: &TestVault, observed: &mut Observed) {
    observed.hidden.text("the account", ACCOUNT);
    for password in [PASSWORD, OTHER_PASSWORD, WRONG_PASSWORD] {
        observed.hidden.text("a password", password);
    }
    let app = &vault.app;
    for token in [&app.use_token, &app.status_token, &app.reset_token] {
        let (_, secret) = token.rsplit_once("app_").unwrap();
        observed.hidden.text("a token", secret);
        let bytes = from_base64url(secret).unwrap();
        observed.hidden.bytes("a token's bytes", &bytes);
    }
    observed
        .hidden
        .bytes("the master key", vault.keyring().master_key());
}

async fn register(vault: &TestVault, scope: &AccountScope, observed: &mut Observed) -> Device {
    let device = Device::new(scope);
    observed.hidden.key("K", device.key());
    let finish = prepare(vault, &device, PASSWORD, observed).await;
    let finished = finish_registration(vault, scope, &finish).await;
    observed.answered(finished, 201);
    device
}

async fn prepare(
    vault: &TestVault,
    device: &Device,
    password: &str,
    observed: &mut Observed,
) -> RegistrationFinish {
    let started = device.register(password);
    observed.hidden.bytes(
        "the blinded password",
        &started.message.registration_request.0,
    );
    let scope = device.scope();
    let answer = vault
        .post(scope, "registration/start", &started.message)
        .await;
    let prepared = device.evaluated(&started, &answer.read(StatusCode::OK));
    observed
        .hidden
        .bytes("the export key", &prepared.export_key);
    observed.registration(&prepared.message);
    prepared.message
}

async fn retrieve(vault: &TestVault, device: &Device, observed: &mut Observed) {
    let guess = Guess::new(device.scope(), PASSWORD);
    let answer = evaluated(vault, &guess).await;
    observed.start(&guess, &answer);
    let login = guess.evaluated(&answer).unwrap();
    observed.hidden.bytes("the session key", &login.session_key);
    observed
        .hidden
        .bytes("KE3", &login.message.credential_finalization.0);
    let released = finish(vault, device.scope(), &login.message).await;
    let released: RetrievalFinished = released.read(StatusCode::OK);
    observed
        .hidden
        .bytes("the released key", &released.released_key.0);
    assert!(login.open(&released).unwrap().is_same(device.key()));
}

async fn replace(vault: &TestVault, device: &Device, observed: &mut Observed) {
    let scope = device.scope();
    let finish = prepare(vault, device, OTHER_PASSWORD, observed).await;
    let without_proof = finish_registration(vault, scope, &finish).await;
    observed.answered(without_proof, 409);
    let forged = Device::new(scope).proven(&finish, 1);
    let refused = finish_registration(vault, scope, &forged).await;
    observed.answered(refused, 403);
    let proven = device.proven(&finish, 1);
    observed
        .hidden
        .bytes("a proof", &proven.replace_proof.unwrap().0);
    let finished = finish_registration(vault, scope, &proven).await;
    observed.answered(finished, 201);
}

/// Everything that is refused before or after the message was opened.
async fn be_refused(vault: &TestVault, scope: &AccountScope, observed: &mut Observed) {
    let guess = Guess::new(scope, WRONG_PASSWORD).message;
    let body = serde_json::to_string(&guess).unwrap();
    let path = format!("{}/retrieval/start", scope.path());
    for broken in [&body[..60], &body.replace("credential", PASSWORD), "[]"] {
        let answer = vault.sealed_call(ACCOUNT, "POST", &path, broken.as_bytes());
        observed.answered(answer.await.opened(), 400);
    }
    let mismatch = vault
        .sealed_call("another", "POST", &path, body.as_bytes())
        .await;
    observed.answered(mismatch.opened(), 400);
    let unknown = format!("{path}/{PASSWORD}");
    let unknown = vault.sealed_call(ACCOUNT, "POST", &unknown, b"{}");
    observed.answered(unknown.await.opened(), 404);
    let foreign = RetrievalFinish {
        retrieval_ticket: Ticket(b"canary".repeat(40)),
        credential_finalization: Binary([1; 64]),
    };
    let refused = finish(vault, scope, &foreign).await;
    observed.answered(refused, 409);
    let tampered = vault.relay(&vault.app, ACCOUNT, vec![0; 2000]).await;
    observed.answered(tampered, 400);
    let outside = vault.get(&scope.path(), Some(&vault.app.use_token)).await;
    observed.answered(outside, 403);
    let encoded = format!("{}/%41", scope.path());
    let outside = vault.get(&encoded, None).await;
    observed.answered(outside, 400);
    let reset = serde_json::to_vec(&Reset { generation: 1 }).unwrap();
    let path = format!("{}/reset", scope.path());
    let refused = vault.post_outside(&path, Some(&vault.app.reset_token), reset);
    observed.answered(refused.await, 409);
    let wrong_proof = Device::new(scope).deletion(2);
    observed.answered(vault.post(scope, "deletion", &wrong_proof).await, 403);
}

async fn be_wrong_until_destroyed(
    vault: &TestVault,
    scope: &AccountScope,
    observed: &mut Observed,
) {
    for (number, expected) in [(1, 403), (2, 403), (3, 403), (4, 410)] {
        let guess = Guess::new(scope, WRONG_PASSWORD);
        let answer = evaluated(vault, &guess).await;
        observed.start(&guess, &answer);
        if number == 1 {
            let message = abandon(&answer.retrieval_ticket);
            let abandoned = vault.post(scope, "retrieval/abandon", &message).await;
            observed.answered(abandoned, 200);
            continue;
        }
        let message = false_finish(&answer.retrieval_ticket);
        let refused = finish(vault, scope, &message).await;
        observed.answered(refused, expected);
    }
    let refused = start(vault, &Guess::new(scope, PASSWORD)).await;
    observed.answered(refused, 410);
    let status = vault
        .get(&scope.path(), Some(&vault.app.status_token))
        .await;
    observed.answered(status, 200);
}

/// The content of every file of a folder.
fn files(folder: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        content.extend_from_slice(&fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(content.len() > 4096, "no database");
    content
}
