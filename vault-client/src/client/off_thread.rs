//! Stretching takes a good part of a second: not on the threads that serve everything else.

use crate::error::NoAnswer;

/// Runs `work` on a thread where it may block.
pub(super) async fn off_thread<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, NoAnswer> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(cancelled) => Err(NoAnswer::Lost(cancelled.into())),
        },
    }
}
