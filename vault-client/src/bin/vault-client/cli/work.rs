//! Slow work: shows that something happens, repeats what may be repeated, and stops on Ctrl-C.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use vault_client::Password;
use vault_client::backup::{BackupError, Progress};
use vault_client::client::VaultClient;
use vault_client::error::Error;
use vault_client::flows::{PreparedRegistration, Registered, Retrieved};
use vault_client::transport::Transport;

use super::failure::Failure;
use super::output::Screen;

/// How long to wait before a lost answer is asked for once more.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// Runs something that waits for the vault. Ctrl-C ends the waiting.
pub async fn online<T>(
    screen: Screen,
    what: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let spinner = spinner(screen, what);
    let result = tokio::select! {
        result = work => result.map_err(Failure::Vault),
        _ = ctrl_c() => Err(Failure::Interrupted),
    };
    spinner.finish_and_clear();
    result
}

/// Runs something that reads and writes files. Ctrl-C asks it to stop, and waits until it has
/// cleaned up after itself.
pub async fn on_files<T: Send + 'static>(
    screen: Screen,
    what: &'static str,
    work: impl FnOnce(&mut Meter) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, Failure> {
    // Listens from here on: no moment is left in which Ctrl-C would kill the work half-done.
    let mut interrupts =
        signal(SignalKind::interrupt()).map_err(|error| Failure::Other(error.into()))?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut meter = Meter {
        bar: bar(screen, what),
        cancelled: Arc::clone(&cancelled),
    };
    let mut running = tokio::task::spawn_blocking(move || {
        let result = work(&mut meter);
        meter.bar.finish_and_clear();
        result
    });
    loop {
        tokio::select! {
            result = &mut running => return match result {
                Ok(result) => Ok(result?),
                Err(error) => Err(Failure::Other(error.into())),
            },
            _ = interrupts.recv() => cancelled.store(true, Ordering::Relaxed),
        }
    }
}

/// Finishes a registration. After a lost answer the identical finish is repeated, which the vault
/// answers as it did the first time; what a relay says afterwards makes no outcome of it.
pub async fn commit<T: Transport>(
    client: &mut VaultClient<T>,
    prepared: &PreparedRegistration,
) -> Result<Registered, Error> {
    let mut unknown = None;
    for pause in PAUSES {
        match client.commit(prepared).await {
            Err(Error::UnknownOutcome(reason)) => unknown = Some(reason),
            Err(Error::Network(_)) => {}
            Err(Error::Refused(_) | Error::Overloaded) if unknown.is_some() => {}
            result => return result,
        }
        tokio::time::sleep(pause).await;
    }
    match (client.commit(prepared).await, unknown) {
        (Err(Error::Refused(_) | Error::Overloaded | Error::Network(_)), Some(reason)) => {
            Err(Error::UnknownOutcome(reason))
        }
        (result, _) => result,
    }
}

/// Makes one guess. After a lost answer the same attempt goes on; a second one is never begun.
pub async fn retrieve<T: Transport>(
    client: &mut VaultClient<T>,
    password: Password,
) -> Result<Retrieved, Error> {
    let mut attempt = client.begin(password).await?;
    for pause in PAUSES {
        let failed = match client.run(attempt).await {
            Ok(retrieved) => return Ok(retrieved),
            Err(failed) => failed,
        };
        match (failed.error, failed.attempt) {
            (Error::UnknownOutcome(_) | Error::Network(_), Some(same)) => attempt = same,
            (error, _) => return Err(error),
        }
        tokio::time::sleep(pause).await;
    }
    client.run(attempt).await.map_err(|failed| failed.error)
}

/// Shows how far a backup or a restore has come, and carries Ctrl-C to it.
pub struct Meter {
    bar: ProgressBar,
    cancelled: Arc<AtomicBool>,
}

impl Progress for Meter {
    fn advanced(&mut self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn cancelled(&mut self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// None for a program; and none is drawn where standard error is no terminal.
fn target(screen: Screen) -> ProgressDrawTarget {
    if screen.is_json() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    }
}

fn spinner(screen: Screen, what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target(screen))
        .with_style(ProgressStyle::default_spinner())
        .with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn bar(screen: Screen, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg} [{wide_bar:.cyan}] {binary_bytes}/{binary_total_bytes}, {eta}",
    )
    .expect("the template has only known keys");
    ProgressBar::with_draw_target(Some(0), target(screen))
        .with_style(style)
        .with_message(what)
}
