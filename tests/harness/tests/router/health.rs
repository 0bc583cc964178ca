//! `GET /healthz` and `GET /readyz`.

use http::StatusCode;
use vault_protocol::Problem;
use vault_tests::device::Guess;
use vault_tests::in_process::TestVault;

use crate::support::{RIGHT, start, vault_of_alice, without_waits};

#[tokio::test]
async fn a_running_vault_is_healthy_and_ready_and_asks_for_no_token() {
    let vault = TestVault::start(without_waits()).await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = vault.get(path, None).await;
        assert_eq!(
            (answer.status, answer.text()),
            (StatusCode::OK, text.to_owned())
        );
    }
}

/// Fails when readiness does not ask the ledger.
#[tokio::test]
async fn a_vault_that_cannot_commit_is_not_ready_and_answers_nothing_else() {
    let (vault, alice, _) = vault_of_alice().await;
    vault.lose_the_ledger();
    assert_eq!(vault.get("/healthz", None).await.status, StatusCode::OK);
    let ready = vault.get("/readyz", None).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
    assert_eq!(refused.problem(), Problem::Unavailable);
    assert_eq!(refused.retry_after(), Some(1));
}
