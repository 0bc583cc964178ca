//! A request that does not arrive.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vault_tests::process_server::ServerOptions;

use crate::support::{start, tls_connection};

/// Fails when `collect` waits without a limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_answered_with_408() -> anyhow::Result<()> {
    let settings = "[limits]\nrequest_timeout_seconds = 1";
    let server = start(ServerOptions {
        settings,
        ..ServerOptions::default()
    })?;
    let mut connection = tls_connection(&server, "http/1.1").await?;
    let head = format!(
        "POST /v1/ohttp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Vault-Account: alice\r\nContent-Type: message/ohttp-req\r\nContent-Length: 100\r\n\r\nx",
        server.token()
    );
    connection.write_all(head.as_bytes()).await?;
    let mut answer = vec![0; 12];
    connection.read_exact(&mut answer).await?;
    assert_eq!(String::from_utf8(answer)?, "HTTP/1.1 408");
    Ok(())
}
