//! The HTTP transport against real sockets: what it sends, and what it does not put up with.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use vault_client::AccountId;
use vault_client::error::NoAnswer;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, MAX_ANSWER_LEN};
use vault_client::outer::OuterProblem;
use vault_client::transport::Transport;

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn relay(base: &str, options: &HttpOptions) -> HttpTransport {
    let token = BearerToken::new("session").unwrap();
    HttpTransport::through_relay(base, &token, options).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn echo(headers: HeaderMap, body: axum::body::Bytes) -> String {
    format!(
        "{}|{}|{}|{}|{}",
        header(&headers, "authorization"),
        header(&headers, "vault-account"),
        header(&headers, "content-type"),
        header(&headers, "accept"),
        body.len()
    )
}

fn echoing() -> Router {
    Router::new()
        .route("/v1/vault", get(echo))
        .route("/v1/ohttp", post(echo))
}

async fn posted(transport: &HttpTransport) -> String {
    let answer = transport.post_sealed(vec![1; 2048]).await.unwrap();
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.content).unwrap()
}

#[tokio::test]
async fn a_relay_gets_the_session_alone() {
    let transport = relay(&serve(echoing()).await, &HttpOptions::default());
    assert_eq!(
        posted(&transport).await,
        "Bearer session||message/ohttp-req|message/ohttp-res|2048"
    );
    let statement = transport.statement().await.unwrap();
    assert!(statement.content.starts_with(b"Bearer session||"));
}

#[tokio::test]
async fn a_vault_gets_the_tenants_token_and_the_account() {
    let base = serve(echoing()).await;
    let token = BearerToken::new("tenant").unwrap();
    let account = AccountId::new("alice+1@example:x~").unwrap();
    let options = HttpOptions::default();
    let transport = HttpTransport::direct(&base, &token, &account, &options).unwrap();
    assert_eq!(
        posted(&transport).await,
        "Bearer tenant|alice+1@example:x~|message/ohttp-req|message/ohttp-res|2048"
    );
}

// Fails without `redirect(Redirects::none())`.
#[tokio::test]
async fn redirects_are_not_followed() {
    let followed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&followed);
    let elsewhere = serve(Router::new().fallback(move || async move {
        counter.fetch_add(1, Ordering::SeqCst);
    }))
    .await;
    let to = move || async move { Redirect::temporary(&elsewhere) };
    let base = serve(Router::new().fallback(to)).await;
    let answer = relay(&base, &HttpOptions::default())
        .post_sealed(vec![1])
        .await
        .unwrap();
    assert_eq!(answer.status, 307);
    assert!(matches!(
        answer.into_content(),
        Err(OuterProblem::Refused(_))
    ));
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_of_any_length_is_read_up_to_the_cap_only() {
    let sized = |length: usize| async move {
        let router = Router::new().fallback(move || async move { vec![0_u8; length] });
        relay(&serve(router).await, &HttpOptions::default())
            .post_sealed(vec![1])
            .await
    };
    let most = sized(MAX_ANSWER_LEN).await.unwrap();
    assert_eq!(most.content.len(), MAX_ANSWER_LEN);
    assert!(matches!(
        sized(MAX_ANSWER_LEN + 1).await,
        Err(NoAnswer::TooLarge)
    ));
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_lost_answer() {
    let router = Router::new().fallback(|| async { std::future::pending::<StatusCode>().await });
    let options = HttpOptions {
        total_timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    };
    let answer = relay(&serve(router).await, &options)
        .post_sealed(vec![1])
        .await;
    assert!(matches!(answer, Err(NoAnswer::Lost(_))));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_lost_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
        stream.write_all(head).await.unwrap();
    });
    let answer = relay(&base, &HttpOptions::default())
        .post_sealed(vec![1])
        .await;
    assert!(matches!(answer, Err(NoAnswer::Lost(_))));
}

#[tokio::test]
async fn where_no_server_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = relay(&base, &HttpOptions::default())
        .post_sealed(vec![1])
        .await;
    let Err(NoAnswer::Unreachable(source)) = answer else {
        panic!("{answer:?}");
    };
    // The address may name a tenant; it is not repeated.
    assert!(!source.to_string().contains("127.0.0.1"));
}

/// A server with a certificate of its own authority, for one connection: its address, and the
/// certificate in PEM.
async fn serve_tls() -> (SocketAddr, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let pem = made.cert.pem().into_bytes();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else {
            return;
        };
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    (address, pem)
}

// Fails if `roots` is ignored (the right one does not connect) or if the certificate is not
// checked (`tls_danger_accept_invalid_certs`: the other one connects).
#[tokio::test]
async fn only_a_server_of_the_named_authority_is_talked_to() {
    let (_, foreign) = serve_tls().await;
    let (address, pem) = serve_tls().await;
    let base = format!("https://{address}");
    let with_roots = |pem: Vec<u8>| HttpOptions {
        roots: Some(pem),
        ..HttpOptions::default()
    };
    let trusted = relay(&base, &with_roots(pem)).post_sealed(vec![1]).await;
    assert_eq!(trusted.unwrap().content, b"ok");

    let (address, _) = serve_tls().await;
    let base = format!("https://{address}");
    let refused = relay(&base, &with_roots(foreign))
        .post_sealed(vec![1])
        .await;
    assert!(matches!(refused, Err(NoAnswer::Unreachable(_))));
}
