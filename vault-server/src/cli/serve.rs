//! `serve`: everything is opened and checked before anything listens; a storage error ends the
//! process, a signal ends it in order.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use vault_ledger::Ledger;

use super::{anchor, keyring_secret};
use crate::admin::socket::AdminSocket;
use crate::config::Config;
use crate::keyring::Keyring;
use crate::net::listener::Server;
use crate::net::tls::{self, ReloadingCertificate};
use crate::process::clock::Clock;
use crate::process::file_limit;
use crate::process::hardening::Warning;
use crate::server::{Vault, VaultOptions, ledger};
use crate::telemetry::logs;

/// How often the certificate's files are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(10);
/// How long a stop waits for tasks that still run when everything in flight was answered.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

pub(crate) fn run(
    config: &Config,
    warnings: &[Warning],
    accept_damage: bool,
) -> anyhow::Result<ExitCode> {
    logs::init(&config.log)?;
    let runtime = runtime()?;
    outlive_hangups(&runtime)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Err(too_few) = file_limit::provide_for(config.limits.max_connections.into()) {
        tracing::warn!("{too_few}");
    }
    let keyring = keyring_secret::keyring(config)?;
    let mut options = ledger::options(config);
    options.accept_damage = accept_damage;
    let ledger = Ledger::open(options, ledger::identity(&keyring))?;
    for path in anchor::on_the_data_volume(config) {
        let path = path.display();
        tracing::warn!(%path, "the anchor {}", anchor::ON_THE_DATA_VOLUME);
    }
    let on_hangup = OnHangup::Reload;
    let ready = async |_: &Vault, _| Ok(());
    let served = serve_until_stopped(runtime, config, keyring, ledger.clone(), on_hangup, ready);
    tracing::info!("closing");
    ledger.close()?;
    served
}

/// The meaning of SIGHUP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnHangup {
    /// Read the certificate again: a service has no terminal.
    Reload,
    /// Stop: the terminal was closed.
    Stop,
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// A reload that comes while we start would end the process; the start reads the certificate
/// anyway. Once waited for, a signal never does that again.
fn outlive_hangups(runtime: &Runtime) -> io::Result<()> {
    let _inside = runtime.enter();
    signal(SignalKind::hangup()).map(drop)
}

/// Serves, and ends the runtime. `ready` runs when the address is bound, before the first
/// connection is accepted.
pub(crate) fn serve_until_stopped(
    runtime: Runtime,
    config: &Config,
    keyring: Keyring,
    ledger: Ledger,
    on_hangup: OnHangup,
    ready: impl AsyncFnOnce(&Vault, SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let served = runtime.block_on(serve(config, keyring, ledger, on_hangup, ready));
    // Dropped, it would wait for a certificate that cannot be read for as long as that takes.
    runtime.shutdown_timeout(LEFT_BEHIND);
    served
}

async fn serve(
    config: &Config,
    keyring: Keyring,
    ledger: Ledger,
    on_hangup: OnHangup,
    ready: impl AsyncFnOnce(&Vault, SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    // Before the certificate is read: a later reload is not missed.
    let hangup = signal(SignalKind::hangup())?;
    let certificate = tls::load(&config.tls)?;
    // Before the server can be seen to serve: a signal that it does not wait for would end it.
    let stop_signal = stop_signal(on_hangup)?;
    tokio::pin!(stop_signal);
    let options = VaultOptions::new(config);
    let start = Vault::start(ledger.clone(), keyring, Clock::system(), options);
    let vault = tokio::select! {
        // The sweep of a start can take a while.
        _ = &mut stop_signal => return Ok(ExitCode::SUCCESS),
        started = start => started.context(
            "the vault's own leaves cannot be read or written: run `vault-server check`",
        )?,
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: choose another listen", config.listen))?;
    let admin_socket = AdminSocket::bind(&config.admin_socket, &config.data_folder)
        .with_context(|| format!("cannot listen on {}", config.admin_socket.display()))?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    ready(&vault, listener.local_addr()?).await?;

    let stop = CancellationToken::new();
    let router = vault.router();
    let bounds = (&config.limits).into();
    let server = Server::new(Arc::clone(&certificate), router, bounds, stop.clone());
    let server = server.run(listener);
    let administration = admin_socket.serve(vault.admin.clone(), stop.clone());
    let serving = async { tokio::join!(server, administration) };
    tokio::pin!(serving);
    let mut exit_code = ExitCode::SUCCESS;
    tokio::select! {
        biased;
        () = ledger.failed() => return Ok(storage_failed()),
        name = &mut stop_signal => tracing::info!(signal = name, "stopping: answering what is in flight"),
        ended = vault.maintenance.run() => {
            tracing::error!(reason = %ended, "maintenance has ended: stopping, see `vault-server check`");
            exit_code = ExitCode::FAILURE;
        }
        () = reload(certificate, hangup) => {}
        _ = &mut serving => return Ok(exit_code),
    }
    stop.cancel();
    tokio::select! {
        biased;
        () = ledger.failed() => Ok(storage_failed()),
        _ = &mut serving => Ok(exit_code),
    }
}

/// Nothing further is answered: the next start decides from the disk.
fn storage_failed() -> ExitCode {
    tracing::error!("storage failed: stopping; the next start decides from the disk");
    ExitCode::FAILURE
}

/// Resolves at SIGTERM or SIGINT, and at SIGHUP if that means to stop.
fn stop_signal(on_hangup: OnHangup) -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv(), if on_hangup == OnHangup::Stop => "SIGHUP",
        }
    })
}

/// Files are read on a thread of their own: a volume that hangs must not stop the accept loop.
async fn reload(certificate: Arc<ReloadingCertificate>, mut hangup: Signal) {
    let mut poll = tokio::time::interval(CERTIFICATE_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let read: fn(&ReloadingCertificate) -> bool = tokio::select! {
            Some(()) = hangup.recv() => ReloadingCertificate::reload,
            _ = poll.tick() => ReloadingCertificate::reload_if_changed,
        };
        let certificate = Arc::clone(&certificate);
        // A panic is logged by its hook; the former certificate stays in use.
        let _ = tokio::task::spawn_blocking(move || read(&certificate)).await;
    }
}
