use std::net::SocketAddr;

use axum::routing::get;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::net::tls::tests::Files;

const LONG: Duration = Duration::from_secs(600);
/// Long enough to be noticed, short enough to be waited for.
const SHORT: Duration = Duration::from_millis(50);

/// No timeout that a test could meet by chance.
const PATIENT: Bounds = Bounds {
    connections: 100,
    handshake: LONG,
    head: LONG,
    request: LONG,
    idle: LONG,
    grace: LONG,
};

struct Running {
    files: Files,
    certificate: Arc<ReloadingCertificate>,
    address: SocketAddr,
    handlers: Handlers,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// `/` answers at once; `/slow` says that it was entered and answers when it gets a permit.
#[derive(Clone)]
struct Handlers {
    entered: Arc<Notify>,
    release: Arc<Semaphore>,
}

impl Handlers {
    fn router(&self) -> Router {
        let Self { entered, release } = self.clone();
        let slow = async move || {
            entered.notify_one();
            release.acquire().await.unwrap().forget();
            "slow"
        };
        Router::new()
            .route("/", get(async || "quick"))
            .route("/slow", get(slow))
    }
}

impl Running {
    async fn start(bounds: Bounds) -> Self {
        let files = Files::new();
        let certificate = crate::net::tls::load(&files.config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handlers = Handlers {
            entered: Arc::default(),
            release: Arc::new(Semaphore::new(0)),
        };
        let stop = CancellationToken::new();
        let router = handlers.router();
        let server = Server::new(Arc::clone(&certificate), router, bounds, stop.clone());
        Self {
            files,
            certificate,
            address,
            handlers,
            stop,
            serving: tokio::spawn(server.run(listener)),
        }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls_with(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, self.tcp().await).await
    }

    /// A connection that speaks HTTP/1.1.
    async fn tls(&self) -> TlsStream<TcpStream> {
        self.tls_with(self.client()).await.unwrap()
    }

    async fn http2(&self) -> SendRequest<Empty<Bytes>> {
        let mut config = self.client();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let io = TokioIo::new(self.tls_with(config).await.unwrap());
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Trusts the certificate that is on the disk now.
    fn client(&self) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS13], aws_lc_rs::default_provider())
    }

    fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        provider: rustls::crypto::CryptoProvider,
    ) -> ClientConfig {
        use rustls::pki_types::pem::PemObject;
        let mut roots = RootCertStore::empty();
        let path = &self.files.config.certificate_file;
        let pem = std::fs::read(path).unwrap();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    stream.write_all(&request(path)).await.unwrap();
    answer(stream).await
}

/// Reads one answer, whose body is five or four letters long.
async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    let mut text = String::new();
    while !(text.ends_with("\r\n\r\nquick") || text.ends_with("\r\n\r\nslow")) {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

/// What arrives until the server closes; with or without TLS's farewell does not matter here.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

/// An HTTP/2 request, sent when this returns; its answer is a task.
fn send(
    sender: &SendRequest<Empty<Bytes>>,
    path: &str,
) -> JoinHandle<hyper::Result<Response<Incoming>>> {
    let request = Request::get(format!("https://localhost{path}"));
    let request = request.body(Empty::new()).unwrap();
    let mut sender = sender.clone();
    tokio::spawn(async move {
        sender.ready().await?;
        sender.send_request(request).await
    })
}

async fn body(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// Fails when `server_config` has TLS 1.2 among its versions and takes the provider's own suites.
#[tokio::test]
async fn a_client_of_tls_1_2_is_refused() {
    let running = Running::start(PATIENT).await;
    let config = running.client_of(&[&rustls::version::TLS12], aws_lc_rs::default_provider());
    let error = running.tls_with(config).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

/// Fails when X25519MLKEM768 is not the first of `kx_groups`.
#[tokio::test]
async fn the_key_exchange_is_post_quantum_where_the_client_can() {
    let running = Running::start(PATIENT).await;
    let stream = running.tls().await;
    let connection = stream.get_ref().1;
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, kx_group::X25519MLKEM768.name());
    assert_eq!(
        connection.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
}

#[tokio::test]
async fn a_client_with_x25519_alone_is_served() {
    let running = Running::start(PATIENT).await;
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let config = running.client_of(&[&rustls::version::TLS13], provider);
    let mut stream = running.tls_with(config).await.unwrap();
    assert!(ask(&mut stream, "/").await.starts_with("HTTP/1.1 200"));
}

/// Fails without the timeout around the handshake: nothing would ever arrive.
#[tokio::test]
async fn a_handshake_that_is_not_finished_in_time_is_dropped() {
    let bounds = Bounds {
        handshake: SHORT,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut silent = running.tcp().await;
    let mut halfway = running.tcp().await;
    halfway.write_all(&[22, 3, 1, 2]).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut halfway).await, "");
}

/// Fails without `header_read_timeout`.
#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_is_dropped() {
    let bounds = Bounds {
        head: SHORT,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut silent = running.tls().await;
    let mut halfway = running.tls().await;
    halfway.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert!(!rest(&mut silent).await.contains("200 OK"));
    assert!(!rest(&mut halfway).await.contains("200 OK"));
}

/// Fails without `is_idle_for`: HTTP/2 has no timeout for a connection that asks nothing. Fails
/// also without the limit to patience: this one never answers that it has heard.
#[tokio::test]
async fn an_http2_connection_that_asks_nothing_is_closed() {
    let bounds = Bounds {
        idle: SHORT,
        head: SHORT,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut config = running.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut silent = running.tls_with(config).await.unwrap();
    silent.read_to_end(&mut Vec::new()).await.ok();
}

#[tokio::test]
async fn a_head_longer_than_the_limit_is_refused() {
    let running = Running::start(PATIENT).await;
    let mut stream = running.tls().await;
    let long = "x".repeat(MAX_HEAD_LEN as usize);
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// Fails when `resolve` keeps the pair of the start.
#[tokio::test]
async fn new_connections_get_a_reloaded_certificate_and_open_ones_go_on() {
    let running = Running::start(PATIENT).await;
    let mut open = running.tls().await;
    let new = running.files.replace_pair();
    assert!(running.certificate.reload());
    // This client trusts the new certificate alone.
    let stream = running.tls().await;
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), [new]);
    assert!(ask(&mut open, "/").await.ends_with("quick"));
}

#[tokio::test]
async fn a_key_that_does_not_match_keeps_the_certificate_in_service() {
    let running = Running::start(PATIENT).await;
    running
        .files
        .replace_key(&rcgen::KeyPair::generate().unwrap());
    assert!(!running.certificate.reload_if_changed());
    let mut stream = running.tls().await;
    assert!(ask(&mut stream, "/").await.ends_with("quick"));
}

#[tokio::test]
async fn http2_requests_share_a_connection() {
    let running = Running::start(PATIENT).await;
    let sender = running.http2().await;
    let slow = send(&sender, "/slow");
    running.handlers.entered.notified().await;
    let quick = send(&sender, "/").await.unwrap().unwrap();
    assert_eq!(quick.status(), StatusCode::OK);
    running.handlers.release.add_permits(1);
    assert_eq!(body(slow.await.unwrap().unwrap()).await, "slow");
}

/// Fails when the connections are cut at once instead of being drained.
#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_accepts_nothing_more() {
    let running = Running::start(PATIENT).await;
    let mut http1 = running.tls().await;
    let mut idle = running.tls().await;
    assert!(ask(&mut idle, "/").await.ends_with("quick"));
    http1.write_all(&request("/slow")).await.unwrap();
    running.handlers.entered.notified().await;
    let sender = running.http2().await;
    let http2 = send(&sender, "/slow");
    running.handlers.entered.notified().await;

    running.stop.cancel();
    // It was idle, so it is closed although the others are not answered yet.
    assert_eq!(rest(&mut idle).await, "");
    running.handlers.release.add_permits(2);
    assert!(answer(&mut http1).await.ends_with("slow"));
    assert_eq!(body(http2.await.unwrap().unwrap()).await, "slow");
    drop(sender);
    running.serving.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

/// Fails without the timeout in `drain`: the server would never return.
#[tokio::test]
async fn stopping_cuts_what_is_not_answered_within_the_grace_time() {
    let bounds = Bounds {
        grace: SHORT,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut stream = running.tls().await;
    stream.write_all(&request("/slow")).await.unwrap();
    running.handlers.entered.notified().await;
    running.stop.cancel();
    running.serving.await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

/// Fails when the cap is not applied: the idle connection would stay open.
#[tokio::test]
async fn over_the_cap_a_newcomer_takes_the_place_of_an_idle_connection() {
    let bounds = Bounds {
        connections: 2,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut working = running.tls().await;
    working.write_all(&request("/slow")).await.unwrap();
    running.handlers.entered.notified().await;
    let mut idle = running.tls().await;
    assert!(ask(&mut idle, "/").await.ends_with("quick"));

    let mut newcomer = running.tls().await;
    assert!(ask(&mut newcomer, "/").await.ends_with("quick"));
    assert_eq!(rest(&mut idle).await, "");
    running.handlers.release.add_permits(1);
    assert!(answer(&mut working).await.ends_with("slow"));
}

/// Fails when `place` does not wait for a permit.
#[tokio::test]
async fn over_the_cap_nobody_is_served_while_every_connection_has_a_request_in_flight() {
    let bounds = Bounds {
        connections: 1,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut working = running.tls().await;
    working.write_all(&request("/slow")).await.unwrap();
    running.handlers.entered.notified().await;

    let mut newcomer = pin!(async {
        let mut newcomer = running.tls().await;
        ask(&mut newcomer, "/").await
    });
    let too_early = timeout(SHORT, newcomer.as_mut()).await;
    assert!(too_early.is_err(), "served beyond the cap");
    running.handlers.release.add_permits(1);
    let (answered, served) = tokio::join!(answer(&mut working), newcomer);
    assert!(answered.ends_with("slow"), "{answered}");
    assert!(served.ends_with("quick"), "{served}");
}

/// Fails when newcomers wait for a place instead of taking one.
#[tokio::test]
async fn connections_that_do_nothing_keep_nobody_out() {
    let bounds = Bounds {
        connections: 3,
        ..PATIENT
    };
    let running = Running::start(bounds).await;
    let mut idlers = Vec::new();
    for _ in 0..10 {
        idlers.push(running.tcp().await);
    }
    let mut stream = running.tls().await;
    assert!(ask(&mut stream, "/").await.ends_with("quick"));
}

/// HTTP/2's preface and empty settings: a peer that says this and then nothing more.
const HTTP2_PREFACE: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const GOAWAY: u8 = 7;

async fn silent_http2(running: &Running) -> TlsStream<TcpStream> {
    let mut config = running.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = running.tls_with(config).await.unwrap();
    stream.write_all(HTTP2_PREFACE).await.unwrap();
    stream
}

/// Reads frames until the server says that it ends the connection, and never confirms it.
async fn is_told_to_go_away(stream: &mut TlsStream<TcpStream>) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [0, high, low, kind, ..] = head else {
            panic!("a frame of over 64 KiB");
        };
        let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        stream.read_exact(&mut payload).await.unwrap();
        if kind == GOAWAY {
            return;
        }
    }
}

/// Fails when `may_be_cut` does not resolve for an idle connection whose place is needed.
#[tokio::test]
async fn a_connection_that_is_closed_for_idleness_keeps_no_newcomer_waiting() {
    let running = Running::start(Bounds {
        connections: 1,
        idle: SHORT,
        ..PATIENT
    })
    .await;
    let mut silent = silent_http2(&running).await;
    is_told_to_go_away(&mut silent).await;
    let mut newcomer = running.tls().await;
    assert!(ask(&mut newcomer, "/").await.ends_with("quick"));
}

/// Fails when `may_be_cut` does not resolve for a connection whose requests are answered.
#[tokio::test]
async fn a_silent_peer_whose_request_is_answered_keeps_no_newcomer_waiting() {
    let running = Running::start(Bounds {
        connections: 1,
        ..PATIENT
    })
    .await;
    let mut silent = silent_http2(&running).await;
    // GET https://x/slow on stream 1, in HPACK (RFC 7541): indexed fields, and two literals.
    let fields = b"\x82\x87\x04\x05/slow\x01\x01x";
    let head = [0, 0, fields.len() as u8, 1, 5, 0, 0, 0, 1];
    silent
        .write_all(&[&head, fields.as_slice()].concat())
        .await
        .unwrap();
    running.handlers.entered.notified().await;
    let newcomer = async {
        let mut newcomer = running.tls().await;
        ask(&mut newcomer, "/").await
    };
    let answering = async {
        is_told_to_go_away(&mut silent).await;
        running.handlers.release.add_permits(1);
    };
    let (answer, ()) = tokio::join!(newcomer, answering);
    assert!(answer.ends_with("quick"));
}
