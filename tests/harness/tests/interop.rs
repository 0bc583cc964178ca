//! A stock JavaScript client (`interop/`, packages from npm alone) against the real vault, and the
//! two languages' clients against each other's records.
//!
//! Needs node and `npm ci` in `tests/interop`. Without them the tests say that they are skipped, or
//! fail if VAULT_TESTS_REQUIRE_TOOLS=1.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vault_tests::process::one_call::OneCall as _;

use anyhow::{Context, bail, ensure};
use rand::rngs::OsRng;
use serde_json::{Value, json};
use vault_client::{BackupKey, Password};
use vault_tests::paths::repository;
use vault_tests::process::client::direct;
use vault_tests::process::server::{ServerOptions, ServerProcess};
use vault_tests::programs::Programs;

const PASSWORD: &str = "correct horse battery staple";

/// As a macOS keyboard may give it: decomposed, with a no-break space, with an emoji.
const TYPED_DECOMPOSED: &str = "Pa\u{308}sswo\u{308}rter\u{a0}\u{1f511}";
const TYPED_COMPOSED: &str = "P\u{e4}ssw\u{f6}rter \u{1f511}";

/// The JavaScript client, if this machine has node and its packages.
fn javascript() -> Option<PathBuf> {
    let folder = repository().join("tests/interop");
    let node = Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let missing = match node.is_ok_and(|status| status.success()) {
        true if folder.join("node_modules").is_dir() => return Some(folder),
        true => "tests/interop/node_modules (run `npm ci` there)",
        false => "node",
    };
    let required = std::env::var_os("VAULT_TESTS_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!required, "{missing} is missing");
    skipped(missing);
    None
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(missing: &str) {
    eprintln!("skipped: {missing} is missing");
}

fn start() -> anyhow::Result<ServerProcess> {
    ServerProcess::start(
        &Programs::of(env!("CARGO_BIN_EXE_programs")),
        ServerOptions::default(),
    )
}

/// One job of `interop/client.js`: its result, or its complaint.
fn run(folder: &Path, server: &ServerProcess, account: &str, more: Value) -> anyhow::Result<Value> {
    let mut job = json!({
        "base": server.url(),
        "tenant": "app",
        "account": account,
        "headers": {
            "authorization": format!("Bearer {}", server.token()),
            "vault-account": account,
        },
        "fingerprint": server.fingerprint(),
        "kem": "x-wing",
        "password": PASSWORD,
    });
    let more = more.as_object().cloned().context("an object")?;
    job.as_object_mut().context("an object")?.extend(more);
    let mut node = Command::new("node")
        .arg("client.js")
        .current_dir(folder)
        .env("NODE_EXTRA_CA_CERTS", server.vault().file("ca.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    node.stdin
        .take()
        .context("a pipe")?
        .write_all(job.to_string().as_bytes())?;
    let output = node.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn digits(key: &BackupKey) -> String {
    base16ct::lower::encode_string(key.expose_secret())
}

fn register(
    folder: &Path,
    server: &ServerProcess,
    account: &str,
    more: Value,
) -> anyhow::Result<BackupKey> {
    let key = BackupKey::generate(&mut OsRng);
    let mut job = json!({ "job": "register", "key": digits(&key) });
    let more = more.as_object().cloned().context("an object")?;
    job.as_object_mut().context("an object")?.extend(more);
    let registered = run(folder, server, account, job)?;
    ensure!(registered["generation"] == 1, "{registered}");
    Ok(key)
}

#[test]
fn javascript_does_not_talk_to_a_vault_that_is_not_pinned() -> anyhow::Result<()> {
    let Some(folder) = javascript() else {
        return Ok(());
    };
    let (server, other) = (start()?, start()?);
    let job = json!({ "job": "retrieve", "fingerprint": other.fingerprint() });
    let refused = run(&folder, &server, "alice", job).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|error| error.contains("this is not the pinned vault")));
    Ok(())
}

#[test]
fn javascript_registers_and_retrieves_with_either_kind_of_key() -> anyhow::Result<()> {
    let Some(folder) = javascript() else {
        return Ok(());
    };
    let server = start()?;
    for kem in ["x-wing", "x25519"] {
        let key = register(&folder, &server, kem, json!({ "kem": kem }))?;
        let wrong = json!({ "job": "retrieve", "kem": kem, "password": "not the password" });
        let wrong = run(&folder, &server, kem, wrong)?;
        assert_eq!(
            wrong,
            json!({ "wrong_password": true, "attempts_remaining": 9 })
        );
        let right = run(
            &folder,
            &server,
            kem,
            json!({ "job": "retrieve", "kem": kem }),
        )?;
        assert_eq!(right, json!({ "key": digits(&key), "generation": 1 }));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_registered_by_rust_is_retrieved_by_javascript() -> anyhow::Result<()> {
    let Some(folder) = javascript() else {
        return Ok(());
    };
    let server = start()?;
    let key = BackupKey::generate(&mut OsRng);
    direct(&server, "alice")?
        .enable(Password::prepare(TYPED_COMPOSED)?, &key)
        .await?;
    let job = json!({ "job": "retrieve", "password": TYPED_DECOMPOSED });
    let retrieved = run(&folder, &server, "alice", job)?;
    assert_eq!(retrieved, json!({ "key": digits(&key), "generation": 1 }));
    Ok(())
}

/// And managed by Rust: both derive the same management key from K.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_registered_by_javascript_is_retrieved_and_managed_by_rust() -> anyhow::Result<()> {
    let Some(folder) = javascript() else {
        return Ok(());
    };
    let server = start()?;
    let key = register(
        &folder,
        &server,
        "alice",
        json!({ "password": TYPED_DECOMPOSED }),
    )?;
    let mut phone = direct(&server, "alice")?;
    let retrieved = phone.retrieve(Password::prepare(TYPED_COMPOSED)?).await?;
    assert!(retrieved.key.is_same(&key));
    phone
        .change_password(Password::prepare(PASSWORD)?, &key)
        .await?;
    let retrieved = run(&folder, &server, "alice", json!({ "job": "retrieve" }))?;
    assert_eq!(retrieved, json!({ "key": digits(&key), "generation": 2 }));
    Ok(())
}
