//! Which cells of the matrix are tried, and all at once.

use tokio::task::JoinSet;

use crate::gate::GateContext;

/// Of all combinations, the ones that are tried; the short version steps through them. A step that is
/// coprime to the number of values of each dimension meets each value.
pub(super) fn chosen<T>(
    context: &GateContext,
    step: usize,
    all: impl Iterator<Item = T>,
) -> Vec<T> {
    all.step_by(context.scaled(step, 1, 1)).collect()
}

/// Accounts have nothing to do with each other: the vault commits what they do together.
pub(super) async fn all_at_once<T: Send + 'static>(
    trials: impl Iterator<Item = impl Future<Output = anyhow::Result<T>> + Send + 'static>,
) -> anyhow::Result<Vec<T>> {
    let mut running: JoinSet<_> = trials.collect();
    let mut ended = Vec::new();
    while let Some(trial) = running.join_next().await {
        ended.push(trial??);
    }
    Ok(ended)
}
