//! What a vault logs, at its most talkative.

use rand::rngs::OsRng;
use vault_client::BackupKey;
use vault_client::error::Error;
use vault_protocol::binary::to_base64url;
use vault_tests::process_server::ServerOptions;

use crate::support::{Client, direct, password, start};

const ACCOUNT: &str = "canary-account";
const PASSWORD: &str = "canary password of the owner";
const WRONG: &str = "canary password of a guesser";

async fn use_everything(phone: &mut Client, key: &BackupKey) -> anyhow::Result<()> {
    phone.enable(password(PASSWORD)?, key).await?;
    let wrong = phone.retrieve(password(WRONG)?).await;
    assert!(
        matches!(wrong, Err(Error::WrongPassword { .. })),
        "{wrong:?}"
    );
    phone.retrieve(password(PASSWORD)?).await?;
    phone.change_password(password(PASSWORD)?, key).await?;
    Ok(phone.disable(key).await?)
}

/// Fails if a span or a line has the request's path, or `quiet_libraries` lets libraries' lines
/// through.
#[tokio::test(flavor = "multi_thread")]
async fn at_level_trace_the_log_has_no_account_token_or_secret() -> anyhow::Result<()> {
    let options = ServerOptions {
        log_filter: "trace",
        ..ServerOptions::default()
    };
    let mut server = start(options)?;
    let key = BackupKey::generate(&mut OsRng);
    use_everything(&mut direct(&server, ACCOUNT)?, &key).await?;
    server
        .vault()
        .done(["tenant", "add", "other", "--scopes", "status,reset"])?;
    let other = server
        .vault()
        .done(["tenant", "rotate-token", "other", "--scopes", "status"])?;
    let path = format!("{}/v1/tenants/other/accounts/{ACCOUNT}", server.url());
    let http = vault_tests::process_calls::client(&server)?;
    assert!(
        http.get(&path)
            .bearer_auth(other.trim())
            .send()
            .await?
            .status()
            .is_success()
    );
    assert!(
        http.get(path + "%41")
            .bearer_auth(other.trim())
            .send()
            .await?
            .status()
            .is_client_error()
    );
    server.vault().done(["account", "show", "app", ACCOUNT])?;
    server.terminate()?;

    let log = server.log();
    let answered = log
        .lines()
        .filter(|line| line.contains("\"answered\""))
        .count();
    assert!(answered > 10, "the log says little:\n{log}");
    let k = key.expose_secret();
    let canaries = [
        ("account", ACCOUNT.to_owned()),
        ("password", "canary password".to_owned()),
        ("token", server.token().to_owned()),
        ("token", other.trim().to_owned()),
        ("K", k.iter().map(|byte| format!("{byte:02x}")).collect()),
        ("K", to_base64url(k)),
        ("K", format!("{k:?}")),
    ];
    for (name, canary) in canaries {
        assert!(!log.contains(&canary), "the log has the {name}");
    }
    Ok(())
}

/// Fails if the answer's id is not the one of the log line, or the route's pattern is not logged.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_the_request_id_of_its_log_line() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let url = format!("{}/v1/tenants/app/accounts/alice", server.url());
    let answer = vault_tests::process_calls::client(&server)?
        .get(url)
        .send()
        .await?;
    let id = answer.headers()["x-request-id"].to_str()?.to_owned();
    let line = server.process().line_after(0, |line| line.contains(&id))?;
    let line: serde_json::Value = serde_json::from_str(&line)?;
    assert_eq!(line["span"]["id"], id.as_str());
    assert_eq!(
        line["span"]["route"],
        "/v1/tenants/{tenant}/accounts/{account}"
    );
    assert_eq!(line["status"], 401);
    Ok(())
}
