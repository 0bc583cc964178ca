//! Slow work: shows that something happens, repeats what may be repeated, and stops on Ctrl-C.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use vault_backup::{BackupError, Progress};
use vault_client::BackupKey;
use vault_client::client::{Attempt, VaultClient};
use vault_client::error::{Error, NoAnswer};
use vault_client::flows::{PreparedRegistration, Registered, Retrieved};
use vault_client::transport::Transport;

use super::failure::{Failure, Sent};
use super::output::Screen;

/// How long to wait before a lost answer, or one that the vault could not give, is asked for again.
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

/// The same for something that, once it runs, may have had its effect at the vault.
pub async fn sending<T>(
    screen: Screen,
    what: &'static str,
    sent: Sent,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let spinner = spinner(screen, what);
    let result = tokio::select! {
        result = work => result,
        _ = ctrl_c() => Err(Failure::Unknown(sent, None)),
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
/// answers as it did the first time; only a sealed answer makes an outcome of it.
pub async fn commit<T: Transport>(
    client: &mut VaultClient<T>,
    prepared: &PreparedRegistration,
    sent: Sent,
) -> Result<Registered, Failure> {
    changing(sent, async || client.commit(prepared).await).await
}

/// Makes one guess. After a lost answer, or if the vault cannot answer now, the same attempt goes
/// on; a second one is never begun.
pub async fn guess<T: Transport>(
    client: &mut VaultClient<T>,
    mut attempt: Attempt,
) -> Result<Retrieved, Failure> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failed = match client.run(attempt).await {
            Ok(retrieved) => return Ok(retrieved),
            Err(failed) => failed,
        };
        let Some(same) = failed.attempt else {
            return Err(ended(failed.error));
        };
        match pauses.next().filter(|_| passes(&failed.error)) {
            Some(pause) => tokio::time::sleep(pause).await,
            None if same.may_be_charged() => {
                return Err(Failure::Unknown(Sent::Guess, Some(failed.error)));
            }
            None => return Err(Failure::Vault(failed.error)),
        }
        attempt = same;
    }
}

/// What became of a deletion. Of `key` there is no record in any case. None can come of what was sent
/// before, but where another key's record is deleted within the quarter of an hour of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The record is gone.
    Record,
    /// The account has none.
    Nothing,
    /// The account's record belongs to another key, which was registered since, and was left alone.
    NothingOfThisKey,
}

/// Deletes the record of `key`, with the same repeats.
pub async fn delete<T: Transport>(
    client: &mut VaultClient<T>,
    key: &BackupKey,
) -> Result<Deleted, Failure> {
    deleted(changing(Sent::Deletion, async || client.disable(key).await).await)
}

/// Makes a change that may be made again, until the vault says what became of it.
async fn changing<R>(
    sent: Sent,
    change: impl AsyncFnMut() -> Result<R, Error>,
) -> Result<R, Failure> {
    repeating(sent, &PAUSES, change).await
}

async fn repeating<R>(
    sent: Sent,
    pauses: &[Duration],
    mut change: impl AsyncFnMut() -> Result<R, Error>,
) -> Result<R, Failure> {
    let (mut unknown, mut was_busy) = (None, false);
    let mut pauses = pauses.iter().copied();
    loop {
        let error = match change().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        was_busy |= matches!(error, Error::Overloaded);
        let pause = pauses.next().filter(|_| passes(&error));
        if is_unknown(&error) {
            unknown = Some(error);
        } else if is_outcome(&error) || (unknown.is_none() && pause.is_none()) {
            // Who cannot be reached now may have been sent it before.
            let is_less = was_busy && !is_outcome(&error);
            return Err(Failure::Vault(match is_less {
                true => Error::Overloaded,
                false => error,
            }));
        }
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(Failure::Unknown(sent, unknown)),
        }
    }
}

/// A vault that says whose record there is not has said enough to go on.
fn deleted(result: Result<(), Failure>) -> Result<Deleted, Failure> {
    match result {
        Ok(()) => Ok(Deleted::Record),
        Err(Failure::Vault(Error::NotRegistered)) => Ok(Deleted::Nothing),
        Err(Failure::Vault(Error::NotThisKey)) => Ok(Deleted::NothingOfThisKey),
        Err(failure) => Err(failure),
    }
}

/// A guess that is over. Of one that took too long nobody heard what became of it.
fn ended(error: Error) -> Failure {
    match error {
        Error::UnknownOutcome(_) | Error::TicketExpired => {
            Failure::Unknown(Sent::Guess, Some(error))
        }
        error => Failure::Vault(error),
    }
}

/// Whether it may be different in a few seconds. What somebody refuses stays refused.
fn passes(error: &Error) -> bool {
    match error {
        Error::UnknownOutcome(NoAnswer::Refused(_) | NoAnswer::StatementRefused(_)) => false,
        Error::UnknownOutcome(_) => true,
        Error::Network(_) | Error::Overloaded | Error::Unavailable => true,
        _ => false,
    }
}

/// Whether the change may have been made. A vault that is not available may have begun it.
fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::UnknownOutcome(_) | Error::Unavailable)
}

/// Whether the vault said what became of the change.
fn is_outcome(error: &Error) -> bool {
    !matches!(
        error,
        Error::UnknownOutcome(_)
            | Error::Unavailable
            | Error::Overloaded
            | Error::Network(_)
            | Error::Refused(_)
            | Error::StatementRefused(_)
            | Error::NoUsableKey(_)
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use vault_client::error::Refusal;
    use vault_protocol::statement::StatementRefused;

    // Fails if `passes` gives up a vault that is busy: a right password is lost then.
    #[test]
    fn what_passes_is_waited_for_and_what_is_refused_is_not() {
        let unknown = |reason| Error::UnknownOutcome(reason);
        for error in [
            unknown(NoAnswer::Status(502)),
            unknown(NoAnswer::Overloaded),
            Error::Network(NoAnswer::NotSealed),
            Error::Overloaded,
            Error::Unavailable,
        ] {
            assert!(passes(&error) && !is_outcome(&error), "{error:?}");
        }
        let refused = unknown(NoAnswer::Refused(Refusal::Unauthenticated));
        assert!(!passes(&refused) && is_unknown(&refused));
        let alarm = unknown(NoAnswer::StatementRefused(StatementRefused::Replayed));
        assert!(!passes(&alarm) && is_unknown(&alarm));
        let proof = Error::NotThisKey;
        assert!(!passes(&proof) && is_outcome(&proof));
    }

    // Fails if `repeating` forgets what was said before: a key of which there may be a record would be
    // put back then.
    #[tokio::test]
    async fn a_change_that_was_sent_is_not_taken_for_one_that_never_was() {
        let unreachable = || Error::Network(NoAnswer::NotSealed);
        let mut said = vec![unreachable(), Error::Overloaded, unreachable()];
        let change = async || Err(said.pop().unwrap_or_else(unreachable));
        let failure = repeating::<()>(Sent::Registration, &[Duration::ZERO; 2], change).await;
        assert!(matches!(failure, Err(Failure::Vault(Error::Overloaded))));
        let change = async || Err(unreachable());
        let failure = repeating::<()>(Sent::Registration, &[Duration::ZERO; 2], change).await;
        assert!(matches!(failure, Err(Failure::Vault(Error::Network(_)))));
        let mut said = vec![Error::NotThisKey, Error::Overloaded];
        let change = async || Err(said.pop().unwrap_or_else(unreachable));
        let failure = repeating::<()>(Sent::Registration, &[Duration::ZERO; 2], change).await;
        assert!(matches!(failure, Err(Failure::Vault(Error::NotThisKey))));
    }

    // Fails if `deleted` takes `NotThisKey` for a failure (nobody could go on from there), or for
    // `NotRegistered` (nobody would hear of the record that stays).
    #[test]
    fn a_record_of_another_key_is_an_end_of_its_own() {
        let ended = |error| deleted(Err(Failure::Vault(error)));
        assert!(matches!(
            ended(Error::NotThisKey),
            Ok(Deleted::NothingOfThisKey)
        ));
        assert!(matches!(ended(Error::NotRegistered), Ok(Deleted::Nothing)));
        assert!(matches!(
            ended(Error::Overloaded),
            Err(Failure::Vault(Error::Overloaded))
        ));
    }

    #[test]
    fn a_guess_that_took_too_long_may_have_cost_an_attempt() {
        for error in [
            Error::TicketExpired,
            Error::UnknownOutcome(NoAnswer::NotSealed),
        ] {
            assert!(matches!(
                ended(error),
                Failure::Unknown(Sent::Guess, Some(_))
            ));
        }
        assert!(matches!(ended(Error::NotRegistered), Failure::Vault(_)));
    }
}
