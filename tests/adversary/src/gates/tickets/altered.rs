//! Bits of tickets, and tickets in the place of others.

use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RetrievalAbandoned, RetrievalFinish,
    RetrievalFinished,
};
use vault_protocol::{Binary, Problem, Ticket};
use vault_tests::device::{Device, abandon};
use vault_tests::in_process::TENANT;

use crate::expect::{granted, refused, same};
use crate::gate::GateContext;
use crate::target::{Said, Target};

const EXPIRED: Problem = Problem::TicketExpired;

/// Both; how many tickets were tried.
pub async fn run(context: &GateContext, target: &Target) -> anyhow::Result<usize> {
    Ok(flipped(context, target).await? + crossed(target).await?)
}

/// Every bit of an open attempt's ticket; the ticket itself is good all the while.
async fn flipped(context: &GateContext, target: &Target) -> anyhow::Result<usize> {
    let alice = target.account("alice", TENANT);
    target.register(&alice).await?;
    let login = target.log_in(&alice).await?;
    let before = target.status(&alice).await?.attempts_remaining;
    let bits = 8 * login.message.retrieval_ticket.0.len();
    let step = context.scaled(29, 1, 1);
    for bit in (0..bits).step_by(step) {
        let mut ticket = login.message.retrieval_ticket.clone();
        ticket.0[bit / 8] ^= 1 << (bit % 8);
        let what = format!("a ticket whose bit {bit} is flipped");
        if bit % 2 == 0 {
            let message = abandon(&ticket);
            let said: Said<RetrievalAbandoned> =
                target.ask(&alice, "retrieval/abandon", &message).await?;
            refused(said, &EXPIRED, &what)?;
        } else {
            let message = RetrievalFinish {
                retrieval_ticket: ticket,
                ..login.message.clone()
            };
            let said: Said<RetrievalFinished> =
                target.ask(&alice, "retrieval/finish", &message).await?;
            refused(said, &EXPIRED, &what)?;
        }
    }
    let after = target.status(&alice).await?.attempts_remaining;
    same(&after, &before, "attempts left")?;
    let said: Said<RetrievalFinished> = target
        .ask(&alice, "retrieval/finish", &login.message)
        .await?;
    granted(said, "the finish with the ticket itself")?;
    Ok(bits / step)
}

/// A registration's ticket for an attempt, and a piece of an attempt's for a registration.
async fn crossed(target: &Target) -> anyhow::Result<usize> {
    let bob = target.account("bob", TENANT);
    let device = target.register(&bob).await?;
    let login = target.log_in(&bob).await?;
    let pending = target.prepare(&device).await?.message;
    let as_retrieval = Ticket(pending.registration_ticket.0.to_vec());
    let message = RetrievalFinish {
        retrieval_ticket: as_retrieval.clone(),
        ..login.message.clone()
    };
    let said: Said<RetrievalFinished> = target.ask(&bob, "retrieval/finish", &message).await?;
    refused(said, &EXPIRED, "a registration's ticket at a finish")?;
    let message = abandon(&as_retrieval);
    let said: Said<RetrievalAbandoned> = target.ask(&bob, "retrieval/abandon", &message).await?;
    refused(said, &EXPIRED, "a registration's ticket at an abandonment")?;
    let ticket = &login.message.retrieval_ticket.0;
    let pieces: Vec<_> = ticket.windows(32).step_by(16).collect();
    for piece in &pieces {
        let message = with_ticket(&device, &pending, piece)?;
        let said: Said<RegistrationFinished> =
            target.ask(&bob, "registration/finish", &message).await?;
        refused(said, &EXPIRED, "an attempt's ticket at a registration")?;
    }
    Ok(2 + pieces.len())
}

fn with_ticket(
    device: &Device,
    pending: &RegistrationFinish,
    ticket: &[u8],
) -> anyhow::Result<RegistrationFinish> {
    let message = RegistrationFinish {
        registration_ticket: Binary::try_from(ticket)?,
        ..pending.clone()
    };
    Ok(device.proven(&message, 1))
}
