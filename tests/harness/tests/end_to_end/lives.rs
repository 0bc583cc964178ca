//! Killed, told to stop, told to read its certificate again, started twice.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use vault_protocol::inner_http::decode_response;
use vault_protocol::messages::AccountState;
use vault_tests::device::{Guess, InnerMessage, false_finish};
use vault_tests::process::calls::{Calls, Said, granted};
use vault_tests::process::server::ServerOptions;

use crate::support::{PASSWORD, start, tls_connection};

/// Fails if the writer answers before `Store::commit`: the charge is gone then; and without
/// `open_with` in `StartRetrieval::decide`: the same request is charged twice then.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_survives_sigkill_and_is_not_charged_again() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    let guess = Guess::new(calls.scope(), "not the password");
    assert_eq!(granted(calls.start(&guess).await?)?.attempts_remaining, 9);
    server.kill()?;
    server.restart()?;

    let calls = Calls::connect(&server, "alice").await?;
    assert_eq!(calls.status().await?.attempts_remaining, 9);
    let same = granted(calls.start(&guess).await?)?;
    assert_eq!(
        same.attempts_remaining, 9,
        "the same request is the same attempt"
    );
    let other = Guess::new(calls.scope(), "not the password");
    assert_eq!(granted(calls.start(&other).await?)?.attempts_remaining, 8);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_survives_sigkill() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default().without_waits(1))?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    let started = granted(calls.start(&Guess::new(calls.scope(), "wrong")).await?)?;
    let finish = false_finish(&started.retrieval_ticket);
    let destroyed: Said<()> = calls.post("retrieval/finish", &finish).await?;
    assert_eq!(destroyed.err().map(|problem| problem.status()), Some(410));
    server.kill()?;
    server.restart()?;

    let calls = Calls::connect(&server, "alice").await?;
    assert_eq!(calls.status().await?.state, AccountState::Destroyed);
    assert!(
        calls
            .start(&Guess::new(calls.scope(), PASSWORD))
            .await?
            .is_err()
    );
    Ok(())
}

/// The server says `100 Continue` when it wants the body: the request is in flight then.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_answers_what_is_in_flight_and_exits_with_0() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    let (request, key) = calls.seal(&InnerMessage::request("GET", &calls.scope().path()));
    let request = request.build()?;
    let body = request
        .body()
        .and_then(|body| body.as_bytes())
        .unwrap_or_default();

    let mut connection = BufReader::new(tls_connection(&server, "http/1.1").await?);
    let mut head = format!(
        "POST /v1/ohttp HTTP/1.1\r\nhost: vault\r\ncontent-length: {}\r\nexpect: 100-continue\r\n",
        body.len()
    );
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str()?);
    }
    connection
        .write_all(format!("{head}\r\n").as_bytes())
        .await?;
    assert!(
        read_head(&mut connection)
            .await?
            .starts_with("HTTP/1.1 100 ")
    );

    let mark = server.process().mark();
    server.process().signal(rustix::process::Signal::TERM)?;
    server.logged(mark, "stopping: answering what is in flight")?;
    connection.write_all(body).await?;
    let head = read_head(&mut connection).await?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut answer = vec![0; length.unwrap_or_default().parse()?];
    connection.read_exact(&mut answer).await?;
    assert_eq!(decode_response(&key.decapsulate(&answer)?)?.status, 200);

    assert_eq!(server.process().wait()?.code(), Some(0), "{}", server.log());
    assert!(tls_connection(&server, "http/1.1").await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_server_with_idle_connections_with_0() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    assert_eq!(server.terminate()?.code(), Some(0), "{}", server.log());
    server.restart()?;
    Calls::connect(&server, "alice")
        .await?
        .retrieve(PASSWORD)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_shows_new_connections_the_new_certificate() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let former = certificate(&server).await?;
    let renewed = server.vault().renew_certificate()?;
    assert_ne!(former, renewed);
    server.reload()?;
    assert_eq!(certificate(&server).await?, renewed);
    Ok(())
}

/// Two locks see to it, the data folder's and SQLite's own. Fails without both.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_refuses_to_start() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let refusal = server.vault().refuses_to_serve()?;
    let folder = server.vault().file("data");
    let expected = format!(
        "another process has the vault in {folder:?} open; stop it first, or ask it to do this for you"
    );
    assert_eq!(refusal, expected);
    // The first one is as it was, its administration socket too.
    server.vault().done(["tenant", "list"])?;
    assert_eq!(
        Calls::connect(&server, "alice")
            .await?
            .status()
            .await?
            .state,
        AccountState::Absent
    );
    Ok(())
}

async fn certificate(
    server: &vault_tests::process::server::ServerProcess,
) -> anyhow::Result<Vec<u8>> {
    let connection = tls_connection(server, "h2").await?;
    let shown = connection
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    Ok(shown
        .map(|certificate| certificate.to_vec())
        .unwrap_or_default())
}

/// An answer's head, up to the empty line.
async fn read_head(connection: &mut (impl AsyncBufReadExt + Unpin)) -> anyhow::Result<String> {
    let mut head = String::new();
    while connection.read_line(&mut head).await? > 2 {}
    Ok(head)
}
