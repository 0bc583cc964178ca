//! What was begun under a record that gave way: logins, guesses, repetitions. None of it may touch the
//! record that came, and that one begins with its whole budget.

use vault_protocol::Problem;
use vault_protocol::messages::{AccountState, RetrievalAbandoned, RetrievalFinished};
use vault_tests::device::{Device, Guess, abandon, false_finish};
use vault_tests::process::calls::{Calls, Said};
use vault_tests::process::server::ServerProcess;

use super::steps::{
    LIMIT, connections, finish, is_not_the_password, is_the_record_of, log_in, prepare, replace,
};
use crate::expect::{granted, refused, same};
use crate::gate::{GateContext, holds};

const FIRST: &str = "the first password";
const SECOND: &str = "the second password";

/// All of it, as often as the scale says.
pub async fn run(context: &GateContext, server: &ServerProcess) -> anyhow::Result<usize> {
    let rounds = context.scaled(2, 20, 500);
    for round in 0..rounds {
        let calls = Calls::connect(server, &format!("begun-{round}")).await?;
        what_was_begun_is_over(&calls).await?;
        let calls = Calls::connect(server, &format!("repeated-{round}")).await?;
        repetitions(&calls).await?;
        finish_and_replacement_at_once(server, &format!("met-{round}")).await?;
    }
    Ok(3 * rounds)
}

/// Tickets and requests of generation 1 in generation 2.
async fn what_was_begun_is_over(calls: &Calls) -> anyhow::Result<()> {
    let owner = calls.register(FIRST).await?;
    let login = log_in(calls, FIRST).await?;
    let guess = Guess::new(calls.scope(), FIRST);
    let before = granted(calls.start(&guess).await?, "a start")?;
    replace(calls, &owner, 1, SECOND).await?;
    budget_is(calls, LIMIT, "a new record's budget").await?;

    let tickets = [&login.message.retrieval_ticket, &before.retrieval_ticket];
    for ticket in tickets {
        let said: Said<RetrievalAbandoned> =
            calls.post("retrieval/abandon", &abandon(ticket)).await?;
        refused(said, &Problem::TicketExpired, "abandoning an old attempt")?;
        for message in [&login.message, &false_finish(ticket)] {
            let said: Said<RetrievalFinished> = calls.post("retrieval/finish", message).await?;
            refused(said, &Problem::TicketExpired, "finishing an old attempt")?;
        }
    }
    budget_is(calls, LIMIT, "the budget after old tickets").await?;

    let again = granted(calls.start(&guess).await?, "the same request again")?;
    same(&again.generation, &2, "its generation")?;
    let left = (LIMIT - 1) as u64;
    same(
        &again.attempts_remaining,
        &left,
        "attempts left: it is another guess",
    )?;
    holds(guess.evaluated(&again).is_err(), || {
        "the former record is evaluated".to_owned()
    })?;
    is_not_the_password(calls, FIRST).await?;
    is_the_record_of(calls, &owner, SECOND).await
}

/// A finish that is repeated is the same one; after a replacement it is nothing any more.
async fn repetitions(calls: &Calls) -> anyhow::Result<()> {
    let device = Device::new(calls.scope());
    let first = prepare(calls, &device, FIRST).await?.message;
    for left in [LIMIT, LIMIT - 1, LIMIT - 2] {
        let finished = granted(finish(calls, &first).await?, "a repeated finish")?;
        same(&finished.generation, &1, "a repeated finish's generation")?;
        budget_is(calls, left, "the budget after a repeated finish").await?;
        let guess = Guess::new(calls.scope(), "not the password");
        granted(calls.start(&guess).await?, "a guess")?;
    }
    replace(calls, &device, 1, SECOND).await?;
    for again in [first.clone(), device.proven(&first, 2)] {
        let said = finish(calls, &again).await?;
        refused(
            said,
            &Problem::TicketExpired,
            "the first finish, repeated later",
        )?;
    }
    is_the_record_of(calls, &device, SECOND).await
}

/// The login gets the key of the record that it was for, or is told that it is too late.
async fn finish_and_replacement_at_once(
    server: &ServerProcess,
    account: &str,
) -> anyhow::Result<()> {
    let calls = connections(server, account, 2).await?;
    let owner = calls[0].register(FIRST).await?;
    let login = log_in(&calls[0], FIRST).await?;
    let prepared = prepare(&calls[1], &owner, SECOND).await?;
    let proven = owner.proven(&prepared.message, 1);
    let (finished, replaced) = tokio::join!(
        calls[0].post::<_, RetrievalFinished>("retrieval/finish", &login.message),
        finish(&calls[1], &proven),
    );
    let replaced = granted(replaced?, "the replacement")?;
    same(&replaced.generation, &2, "its generation")?;
    match finished? {
        Ok(released) => {
            let key = login.open(&released);
            let is_same = key.is_ok_and(|key| key.is_same(owner.key()));
            holds(is_same, || "another key was released".to_owned())?;
        }
        said => refused(said, &Problem::TicketExpired, "a finish that came too late")?,
    }
    budget_is(&calls[0], LIMIT, "a new record's budget").await?;
    is_the_record_of(&calls[0], &owner, SECOND).await
}

async fn budget_is(calls: &Calls, left: usize, what: &str) -> anyhow::Result<()> {
    let status = calls.status().await?;
    let seen = (status.state, status.attempts_remaining);
    Ok(same(&seen, &(AccountState::Active, left as u64), what)?)
}
