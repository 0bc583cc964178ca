//! The client library as an app uses it, with a real vault. Every login is the last attempt: one that
//! is charged twice is lost.

use std::sync::{Arc, Mutex};
use vault_tests::process::one_call::OneCall as _;

use anyhow::Context;
use rand::rngs::OsRng;
use vault_client::{BackupKey, Password};
use vault_tests::process::lossy::{Fault, LossyClient, SharedServer, connect, lock};
use vault_tests::process::server::ServerOptions;

use crate::gate::{GateContext, Scale, Violation, holds};

const PASSWORD: &str = "correct horse battery staple";

/// How often an app tries a call that it has begun.
const PATIENCE: usize = 8;

/// Logs in once for each plan.
pub async fn run(context: &GateContext) -> anyhow::Result<u64> {
    let server = context.start(ServerOptions::default().without_waits(1))?;
    let server: SharedServer = Arc::new(Mutex::new(server));
    let key = BackupKey::generate(&mut OsRng);
    let (mut device, _) = connect(&server, "alice")?;
    device.enable(Password::prepare(PASSWORD)?, &key).await?;
    let plans = plans(context.scale());
    for plan in &plans {
        log_in(&server, plan, &key).await?;
    }
    Ok(plans.len() as u64)
}

/// Each fault at the start and at the finish; in the longer versions three in a row.
fn plans(scale: Scale) -> Vec<Vec<Fault>> {
    let faults = Fault::ALL.into_iter();
    let pairs = faults.flat_map(|first| Fault::ALL.map(|second| vec![first, second]));
    match scale {
        Scale::Short => vec![
            vec![Fault::LostAnswer, Fault::LostRequest, Fault::KilledAfter],
            vec![Fault::KilledAfter, Fault::LostAnswer, Fault::LostAnswer],
            vec![Fault::None, Fault::KilledBefore],
            vec![Fault::None, Fault::KilledAfter, Fault::LostAnswer],
        ],
        Scale::Usual => pairs.collect(),
        Scale::Full => pairs
            .flat_map(|pair| Fault::ALL.map(|third| [pair.as_slice(), &[third]].concat()))
            .collect(),
    }
}

async fn log_in(server: &SharedServer, plan: &[Fault], key: &BackupKey) -> anyhow::Result<()> {
    let (device, faults) = connect(server, "alice")?;
    let retrieved = retrieve(device, || faults.set(plan)).await;
    let retrieved = retrieved.with_context(|| {
        let log = lock(server).log();
        format!("with {plan:?}; the vault's last log:\n{log}")
    })?;
    Ok(holds(retrieved.is_same(key), || "another key".to_owned())?)
}

/// Types the password once, and tries that attempt until the key is there.
async fn retrieve(mut device: LossyClient, lose: impl FnOnce()) -> anyhow::Result<BackupKey> {
    let begun = device.begin(Password::prepare(PASSWORD)?).await;
    let mut attempt = begun.map_err(|error| Violation::new(format!("refused at once: {error}")))?;
    lose();
    for _ in 0..PATIENCE {
        let failed = match device.run(attempt).await {
            Ok(retrieved) => return Ok(retrieved.key),
            Err(failed) => failed,
        };
        let error = failed.error;
        attempt = failed
            .attempt
            .ok_or_else(|| Violation::new(format!("the right password is lost: {error}")))?;
    }
    anyhow::bail!("no answer after {PATIENCE} tries")
}
