//! The messages that the app's backend lets through, and its own answers.

use rand::rngs::OsRng;
use reqwest::StatusCode;
use vault_client::BackupKey;
use vault_client::error::{Error, NoAnswer, Refusal};
use vault_protocol::Problem;
use vault_protocol::inner_http::decode_response;
use vault_tests::device::InnerMessage;
use vault_tests::process::calls::Calls;
use vault_tests::process::client;
use vault_tests::process::one_call::OneCall as _;
use vault_tests::process::server::ServerOptions;

use crate::support::{PASSWORD, app_password, backend, direct, password, relayed, start};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_turned_away() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let backend = backend(&server)?;
    for (user, password) in [
        ("alice", "wrong"),
        ("mallory", "mallory's password at the app"),
        ("alice", ""),
    ] {
        assert!(backend.login(user, password).await.is_err(), "{user}");
    }
    let http = reqwest::Client::builder().tls_certs_only([]).build()?;
    for (method, path) in [("GET", "/v1/vault"), ("POST", "/v1/ohttp")] {
        let request = http.request(method.parse()?, format!("{}{path}", backend.url()));
        for request in [request.try_clone(), Some(request.bearer_auth("no-session"))]
            .into_iter()
            .flatten()
        {
            assert_eq!(
                request.send().await?.status(),
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
        }
    }
    Ok(())
}

/// Fails if the backend takes the account from the device's `Vault-Account`, or passes that on.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_reaches_its_own_account_alone() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let backend = backend(&server)?;
    let key = BackupKey::generate(&mut OsRng);
    let mut owner = relayed(&server, &backend, "alice").await?;
    owner.enable(password(PASSWORD)?, &key).await?;

    let session_of_bob = backend.login("bob", &app_password("bob")).await?;
    let mut thief = client::relayed(&server, &backend, &session_of_bob, "alice")?;
    let stolen = thief.retrieve(password(PASSWORD)?).await;
    let refused = matches!(stolen, Err(Error::Refused(Refusal::AccountMismatch)));
    assert!(refused, "{stolen:?}");

    let calls = Calls::connect(&server, "alice").await?;
    let (sealed, answer_key) = calls.seal(&InnerMessage::request("GET", &calls.scope().path()));
    let sealed = sealed.build()?;
    let sealed = sealed
        .body()
        .and_then(|body| body.as_bytes())
        .unwrap_or_default();
    let http = reqwest::Client::builder().tls_certs_only([]).build()?;
    let request = http
        .post(format!("{}/v1/ohttp", backend.url()))
        .bearer_auth(&session_of_bob);
    let request = request
        .header("content-type", "message/ohttp-req")
        .body(sealed.to_vec());
    let answer = request.header("vault-account", "alice").send().await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let inner = decode_response(&answer_key.decapsulate(&answer.bytes().await?)?)?;
    assert_eq!(inner.status, Problem::AccountMismatch.status());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vaults_refusals_come_back_as_they_are() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let backend = backend(&server)?;
    let session = backend.login("alice", &app_password("alice")).await?;
    let http = reqwest::Client::builder().tls_certs_only([]).build()?;
    // No vault has had 256 keys.
    let post = |content_type: &str, length: usize| {
        let request = http
            .post(format!("{}/v1/ohttp", backend.url()))
            .bearer_auth(&session);
        request
            .header("content-type", content_type.to_owned())
            .body(vec![0xff; length])
            .send()
    };
    let unknown_key = post("message/ohttp-req", 64).await?;
    assert_eq!(unknown_key.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        unknown_key.headers()["content-type"],
        "application/problem+json"
    );
    assert!(
        unknown_key
            .text()
            .await?
            .contains("http-problem-types#ohttp-key")
    );
    assert_eq!(
        post("text/plain", 64).await?.status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        post("message/ohttp-req", 17 * 1024).await?.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );

    server
        .vault()
        .done(["tenant", "rotate-token", "app", "--revoke", "1"])?;
    let revoked = relayed(&server, &backend, "alice").await?.status().await;
    assert!(
        matches!(revoked, Err(Error::Refused(Refusal::Unauthenticated))),
        "{revoked:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_vault_the_backend_says_so_and_serves_again_when_it_is_back()
-> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let backend = backend(&server)?;
    let key = BackupKey::generate(&mut OsRng);
    let mut phone = relayed(&server, &backend, "alice").await?;
    phone.enable(password(PASSWORD)?, &key).await?;

    server.kill()?;
    let unreachable = phone.status().await;
    assert!(
        matches!(unreachable, Err(Error::Network(NoAnswer::Status(502)))),
        "{unreachable:?}"
    );
    let unreachable = direct(&server, "alice")?.status().await;
    assert!(
        matches!(unreachable, Err(Error::Network(NoAnswer::Unreachable(_)))),
        "{unreachable:?}"
    );

    server.restart()?;
    assert!(phone.retrieve(password(PASSWORD)?).await?.key.is_same(&key));
    Ok(())
}
