//! Replacements without proof, in every state of the record. To replace one that waits or is
//! exhausted would refill its budget with a stolen login.

use vault_protocol::messages::{AccountState, RegistrationFinish};
use vault_protocol::{Binary, Problem};
use vault_tests::device::{Device, Guess};
use vault_tests::process::calls::Calls;
use vault_tests::process::server::ServerOptions;

use super::at_once::copy_of;
use super::steps::{finish, is_the_record_of, prepare, replace};
use crate::expect::{granted, refused, same};
use crate::gate::GateContext;

const PASSWORD: &str = "correct horse battery staple";

/// The state of the record that is not to be replaced.
#[derive(Clone, Copy, Debug)]
enum Record {
    Active,
    /// After a wrong guess.
    Waiting,
    /// The last attempt is open.
    Exhausted,
}

/// Every proof that is none, in every state.
pub async fn run(context: &GateContext) -> anyhow::Result<usize> {
    let waiting = context.start(ServerOptions::default().with_waits(&[3600]))?;
    let short = context.start(ServerOptions::default().without_waits(1))?;
    let mut tried = 0;
    for (record, server) in [
        (Record::Active, &waiting),
        (Record::Waiting, &waiting),
        (Record::Exhausted, &short),
    ] {
        let account = format!("{record:?}").to_lowercase();
        let calls = Calls::connect(server, &account).await?;
        let owner = calls.register(PASSWORD).await?;
        if !matches!(record, Record::Active) {
            let guess = Guess::new(calls.scope(), "not the password");
            granted(calls.start(&guess).await?, "a guess")?;
        }
        tried += without_its_key_it_stays(&calls, &owner, record).await?;
        replace(&calls, &owner, 1, "another password").await?;
        let state = calls.status().await?.state;
        same(&state, &AccountState::Active, "the state of the new record")?;
        is_the_record_of(&calls, &owner, "another password").await?;
    }
    Ok(tried)
}

async fn without_its_key_it_stays(
    calls: &Calls,
    owner: &Device,
    record: Record,
) -> anyhow::Result<usize> {
    let before = serde_json::to_string(&calls.status().await?)?;
    let thief = Device::new(calls.scope());
    let prepared = prepare(calls, &thief, "the thief's password")
        .await?
        .message;
    let without = Problem::AlreadyRegistered { generation: 1 };
    refused(
        finish(calls, &prepared).await?,
        &without,
        &format!("{record:?}: without proof"),
    )?;
    let proofs = false_proofs(calls, owner, &thief, &prepared)?;
    for (what, message) in &proofs {
        refused(
            finish(calls, message).await?,
            &Problem::Forbidden,
            &format!("{record:?}: {what}"),
        )?;
    }
    let after = serde_json::to_string(&calls.status().await?)?;
    same(&after, &before, "the status after refused replacements")?;
    Ok(1 + proofs.len())
}

fn false_proofs(
    calls: &Calls,
    owner: &Device,
    thief: &Device,
    prepared: &RegistrationFinish,
) -> anyhow::Result<Vec<(&'static str, RegistrationFinish)>> {
    let mut bob = calls.scope().clone();
    bob.account = vault_protocol::AccountId::new("bob")?;
    let of_bob = Device::with_key(&bob, copy_of(owner.key())?);
    let mut another = prepared.clone();
    another.wrapped_key.0[0] ^= 1;
    let with = |proof| RegistrationFinish {
        replace_proof: proof,
        ..prepared.clone()
    };
    let altered = owner.proven(prepared, 1).replace_proof.map(|mut proof| {
        proof.0[40] ^= 1;
        proof
    });
    Ok(vec![
        ("by another key", thief.proven(prepared, 1)),
        ("for another account", of_bob.proven(prepared, 1)),
        ("for the generation before", owner.proven(prepared, 0)),
        ("for the next generation", owner.proven(prepared, 2)),
        (
            "for another finish",
            with(owner.proven(&another, 1).replace_proof),
        ),
        ("altered", with(altered)),
        ("of a deletion", with(Some(owner.deletion(1).proof))),
        ("of zeros", with(Some(Binary([0; 64])))),
    ])
}
