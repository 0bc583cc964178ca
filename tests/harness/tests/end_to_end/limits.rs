//! A request that does not arrive.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vault_tests::process::calls::Calls;
use vault_tests::process::server::ServerOptions;

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

/// A shell's soft limit, and fewer than the connections that are configured.
const FEW_FILES: &[&str] = &["sh", "-c", "ulimit -S -n 64; exec \"$@\"", "sh"];
const FEW_FILES_AT_MOST: &[&str] = &["sh", "-c", "ulimit -n 512; exec \"$@\"", "sh"];

/// Fails without `descriptors::provide_for` in `serve`: the 65th file cannot be opened then.
#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_on_open_files_does_not_limit_connections() -> anyhow::Result<()> {
    let server = start(ServerOptions {
        launcher: FEW_FILES,
        ..ServerOptions::default()
    })?;
    let mut connections = Vec::new();
    for _ in 0..128 {
        connections.push(tls_connection(&server, "http/1.1").await?);
    }
    let calls = Calls::connect(&server, "alice").await?;
    calls.register("correct horse battery staple").await?;
    Ok(())
}

#[test]
fn a_hard_limit_on_open_files_that_is_too_low_is_said_in_the_log() -> anyhow::Result<()> {
    let server = start(ServerOptions {
        launcher: FEW_FILES_AT_MOST,
        ..ServerOptions::default()
    })?;
    let warning = "open files are limited to 512, 1088 are needed for limits.max_connections";
    assert!(server.log().contains(warning), "{}", server.log());
    Ok(())
}
