//! The accept loop: TCP, TLS, HTTP/1.1 or HTTP/2, the router; and the bounds of a connection.
//!
//! | of | bound |
//! |---|---|
//! | connections | a cap; over it a new one takes the place of the one longest without a request (see `connections`) |
//! | TLS handshake, head of an HTTP/1 request | a timeout each |
//! | nothing asked or answered | the idle timeout |
//! | head of a request | 16 KiB, 64 fields (HTTP/1) |
//! | HTTP/2 | 128 streams at once, small windows, few resets, dead peers found by pings |
//!
//! How long a request's body and its answer may take is the router's business.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::connections::{Connections, Place};
use super::tls::{ReloadingCertificate, server_config};
use crate::config::LimitsConfig;

/// A request's head has a token, an account and a few standard fields.
const MAX_HEAD_LEN: u32 = 16 * 1024;
const MAX_HEADER_FIELDS: usize = 64;

/// A backend sends all its requests over a few connections.
const MAX_STREAMS: u32 = 128;
/// Bytes that a peer may send before they are read: a few bodies for each stream.
const STREAM_WINDOW: u32 = 32 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
const SEND_BUFFER: usize = 64 * 1024;
/// Streams a peer may open and reset before it is cut off ("rapid reset", CVE-2023-44487), and
/// errors of its own making that are answered.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 128;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// For the last answer to leave: a few KiB, which a peer that reads at all has taken by then.
const FLUSH: Duration = Duration::from_secs(1);

/// After an accept that failed for want of file descriptors or memory: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The part of the configuration that bounds connections.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    connections: usize,
    handshake: Duration,
    head: Duration,
    request: Duration,
    idle: Duration,
    grace: Duration,
}

impl From<&LimitsConfig> for Bounds {
    fn from(limits: &LimitsConfig) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Self {
            connections: limits.max_connections as usize,
            handshake: seconds(limits.handshake_timeout_seconds),
            head: seconds(limits.header_timeout_seconds),
            request: seconds(limits.request_timeout_seconds),
            idle: seconds(limits.idle_timeout_seconds),
            grace: seconds(limits.shutdown_grace_seconds),
        }
    }
}

pub(crate) struct Server {
    tls: TlsAcceptor,
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
    router: Router,
    bounds: Bounds,
    connections: Arc<Connections>,
    stop: CancellationToken,
}

/// The cause for which the server ends a connection that works.
enum Reason {
    Stop,
    Idle,
    PlaceNeeded,
}

impl Server {
    pub(crate) fn new(
        certificate: Arc<ReloadingCertificate>,
        router: Router,
        bounds: Bounds,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            tls: TlsAcceptor::from(Arc::new(server_config(certificate))),
            http1: http1(&bounds),
            http2: http2(),
            router,
            bounds,
            connections: Arc::new(Connections::new(bounds.connections)),
            stop,
        })
    }

    /// Serves the router over TLS until it is told to stop; then accepts nothing more and returns
    /// when the requests in flight are answered, or the grace time is over and the rest was cut.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut tasks = JoinSet::new();
        let stopped = self.stop.clone();
        while let Some(stream) = stopped.run_until_cancelled(accept(&listener)).await {
            // The newcomer waits here until a connection leaves; meanwhile others wait in the
            // system's backlog.
            let place = Arc::clone(&self.connections).place();
            let Some(place) = stopped.run_until_cancelled(place).await else {
                break;
            };
            tasks.spawn(Arc::clone(&self).connection(stream, place));
            while tasks.try_join_next().is_some() {}
        }
        drop(listener);
        self.drain(tasks).await;
    }

    /// Waits for the connections, which end by themselves upon `stop`, then cuts them.
    async fn drain(&self, mut tasks: JoinSet<()>) {
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.bounds.grace, ended).await.is_err() {
            let connections = tasks.len();
            tracing::warn!(connections, "the grace time is over: connections were cut");
            tasks.shutdown().await;
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, place: Place) {
        // Answers are small and complete; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let handshake = timeout(self.bounds.handshake, self.tls.accept(stream));
        let accepted = tokio::select! {
            accepted = handshake => accepted,
            () = self.stop.cancelled() => return,
            () = place.is_needed() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.requests(stream, place).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn requests(&self, stream: TlsStream<TcpStream>, place: Place) {
        // By ALPN alone. Looking for HTTP/2's preface in the first bytes has no timeout.
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let http = if is_http2 { &self.http2 } else { &self.http1 };
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = place.request();
            let answer = self.router.clone().oneshot(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(in_flight);
                answer
            }
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let reason = tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            reason = self.reason_to_end(&place) => reason,
        };
        let patience = match reason {
            // `drain` has the clock.
            Reason::Stop => Duration::MAX,
            Reason::Idle => self.bounds.head,
            Reason::PlaceNeeded if place.has_requests() => self.bounds.request,
            Reason::PlaceNeeded => return,
        };
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => log_end(ended),
            // A peer that never confirms the end must not keep a newcomer waiting for its place.
            () = may_be_cut(&reason, &place) => {}
            () = sleep(patience) => {}
        }
    }

    async fn reason_to_end(&self, place: &Place) -> Reason {
        tokio::select! {
            () = self.stop.cancelled() => Reason::Stop,
            () = place.is_needed() => Reason::PlaceNeeded,
            () = place.is_idle_for(self.bounds.idle) => Reason::Idle,
        }
    }
}

/// Resolves when nothing is lost by cutting a connection that was told to end.
async fn may_be_cut(reason: &Reason, place: &Place) {
    match reason {
        Reason::Stop => std::future::pending().await,
        Reason::Idle => place.is_needed().await,
        Reason::PlaceNeeded => {
            place.is_answered().await;
            sleep(FLUSH).await;
        }
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The peer was gone before we came to it.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

fn http1(bounds: &Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(MAX_HEADER_FIELDS)
        .max_buf_size(MAX_HEAD_LEN as usize);
    builder
}

fn http2() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_LEN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS);
    builder
}

/// At debug: peers that vanish or send nonsense are ordinary.
fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
