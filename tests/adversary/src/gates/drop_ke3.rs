//! Guessing without ever sending KE3. KE2 alone tells whether a guess was right, so a guess without a
//! finish must not be free.

use vault_protocol::messages::AccountState;
use vault_protocol::{Policy, Problem};
use vault_tests::device::Guess;
use vault_tests::in_process::TestVault;
use vault_tests::process::calls::Calls;
use vault_tests::process::server::ServerOptions;

use crate::gate::{AttackReport, Control, Gate, GateContext, holds};
use crate::shared_patches::COUNTED_AT_THE_FINISH;

/// The gate.
pub const GATE: Gate = Gate {
    name: "drop KE3",
    property: "with no finish ever sent, exactly `limit` evaluations a generation, then destroyed; \
               the default policy's waits are kept",
    run: |context| Box::pin(run(context)),
    controls: &[Control::Patch(&COUNTED_AT_THE_FINISH)],
};

const ATTEMPT_SECONDS: u64 = 15 * 60;
const PASSWORD: &str = "correct horse battery staple";

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let limits: &[usize] =
        context.scaled(&[1, 3, 10], &[1, 2, 3, 5, 10, 32], &[1, 2, 3, 5, 10, 32]);
    let mut guesses = 0;
    for limit in limits {
        guesses += against_a_process(&context, *limit).await?;
        guesses += until_destroyed(*limit).await?;
    }
    guesses += with_the_default_waits().await?;
    Ok(AttackReport::new(guesses, "guesses without a finish"))
}

/// Twice as many guesses as the limit; nothing is finished, and nothing can expire meanwhile.
async fn against_a_process(context: &GateContext, limit: usize) -> anyhow::Result<usize> {
    let server = context.start(ServerOptions::default().without_waits(limit))?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    let mut evaluated = 0;
    for number in 0..2 * limit {
        let guess = Guess::new(calls.scope(), &format!("guess {number}"));
        match calls.start(&guess).await? {
            Ok(_) => evaluated += 1,
            Err(Problem::Waiting { .. }) => {}
            Err(other) => anyhow::bail!("a guess was answered with {other:?}"),
        }
    }
    holds(evaluated == limit, || {
        format!("{evaluated} evaluations with limit {limit}")
    })?;
    Ok(2 * limit)
}

/// The same, at a time that passes: when the last attempt has expired, the record is gone, and the
/// next generation has its own budget.
async fn until_destroyed(limit: usize) -> anyhow::Result<usize> {
    let policy = Policy::new(limit as u64, 100.max(limit as u64), vec![0; limit - 1])?;
    let vault = TestVault::start(policy).await;
    let scope = vault.account("alice");
    for generation in 1..=3 {
        vault.register(&scope, PASSWORD).await;
        let mut evaluated = 0;
        while let Ok(_started) = vault.guess(&scope, "wrong").await {
            evaluated += 1;
            holds(evaluated <= limit, || {
                format!("more than {limit} evaluations")
            })?;
        }
        holds(evaluated == limit, || {
            format!("{evaluated} evaluations with limit {limit}")
        })?;
        let waiting = vault.status(&scope).await.state;
        holds(waiting == AccountState::Waiting, || {
            format!("{waiting:?} while an attempt is open")
        })?;
        vault.advance_seconds(ATTEMPT_SECONDS);
        let status = vault.status(&scope).await;
        holds(status.state == AccountState::Destroyed, || {
            format!("{:?} after the last attempt expired", status.state)
        })?;
        holds(status.generation == generation, || {
            "a generation is missing".to_owned()
        })?;
        let refused = vault.guess(&scope, PASSWORD).await;
        let is_destroyed = matches!(refused, Err(Problem::Destroyed { .. }));
        holds(is_destroyed, || {
            format!("{refused:?} after the destruction")
        })?;
    }
    Ok(3 * (limit + 2))
}

/// Asks a second before each wait is over, and when it is.
async fn with_the_default_waits() -> anyhow::Result<usize> {
    let policy = Policy::default();
    let vault = TestVault::start(policy.clone()).await;
    let scope = vault.account("alice");
    vault.register(&scope, PASSWORD).await;
    let mut guesses = 0;
    for failures in 1..=policy.limit() {
        let guessed = vault.guess(&scope, "wrong").await;
        holds(guessed.is_ok(), || format!("guess {failures}: {guessed:?}"))?;
        guesses += 1;
        let wait = policy.wait_after(failures);
        if wait > 0 {
            vault.advance_seconds(wait - 1);
            let early = vault.guess(&scope, "wrong").await;
            let is_kept = matches!(early, Err(Problem::Waiting { .. }));
            holds(is_kept, || {
                format!("wait {failures} is not kept: {early:?}")
            })?;
            vault.advance_seconds(1);
            guesses += 1;
        }
    }
    vault.advance_seconds(ATTEMPT_SECONDS);
    let state = vault.status(&scope).await.state;
    holds(state == AccountState::Destroyed, || {
        format!("{state:?} at the end")
    })?;
    Ok(guesses)
}
