//! Slow work: shows that something happens, and stops on Ctrl-C.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use vault_backup::{BackupError, Progress};

use crate::error::CliError;
use crate::output::Screen;

/// Runs something that waits for the vault. `None` after Ctrl-C, which ends the waiting.
pub(crate) async fn online<T>(
    screen: Screen,
    label: &'static str,
    work: impl Future<Output = T>,
) -> Option<T> {
    let spinner = spinner(screen, label);
    let result = tokio::select! {
        result = work => Some(result),
        _ = ctrl_c() => None,
    };
    spinner.finish_and_clear();
    result
}

/// Runs something that reads and writes files. Ctrl-C asks it to stop, and waits until it has
/// cleaned up after itself.
pub(crate) async fn on_files<T: Send + 'static>(
    screen: Screen,
    label: &'static str,
    work: impl FnOnce(&mut Meter) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, CliError> {
    // Listens from here on: no moment is left in which Ctrl-C would kill the work half-done.
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut meter = Meter {
        bar: bar(screen, label),
        cancelled: Arc::clone(&cancelled),
    };
    let mut running = tokio::task::spawn_blocking(move || {
        let result = work(&mut meter);
        meter.bar.finish_and_clear();
        result
    });
    loop {
        tokio::select! {
            result = &mut running => return Ok(result.context("the work has panicked")??),
            _ = interrupts.recv() => cancelled.store(true, Ordering::Relaxed),
        }
    }
}

/// Shows how far a backup or a restore has come, and carries Ctrl-C to it.
pub(crate) struct Meter {
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

/// Hidden for a program; and nothing is drawn where standard error is no terminal.
fn target(screen: Screen) -> ProgressDrawTarget {
    if screen.is_json() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    }
}

fn spinner(screen: Screen, label: &'static str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target(screen))
        .with_style(ProgressStyle::default_spinner())
        .with_message(label);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn bar(screen: Screen, label: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg} [{wide_bar:.cyan}] {binary_bytes}/{binary_total_bytes}, {eta}",
    )
    .expect("the template has only known keys");
    ProgressBar::with_draw_target(Some(0), target(screen))
        .with_style(style)
        .with_message(label)
}
