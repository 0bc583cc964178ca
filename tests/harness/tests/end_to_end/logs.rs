//! A vault's log. The gate `secrets` searches it for secrets.

use vault_tests::process::server::ServerOptions;

use crate::support::start;

/// Fails if the answer's id is not the one of the log line, or the route's pattern is not logged.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_the_request_id_of_its_log_line() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let url = format!("{}/v1/tenants/app/accounts/alice", server.url());
    let answer = vault_tests::process::calls::client(&server)?
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
