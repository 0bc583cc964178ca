//! Which messages a relay disturbs, and how.

use vault_protocol::messages::{DestructionReason, RegistrationFinished};
use vault_protocol::{Policy, Problem, Timestamp};

use super::proxy::Mischief;
use crate::gate::GateContext;

/// The device's call while the relay is at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Enable,
    Retrieve,
    Guess,
    ChangePassword,
    Disable,
}

pub const CALLS: [Call; 5] = [
    Call::Enable,
    Call::Retrieve,
    Call::Guess,
    Call::ChangePassword,
    Call::Disable,
];

/// A call, and the mischief to one of its messages.
#[derive(Clone, Debug)]
pub struct Plan {
    pub call: Call,
    pub after: usize,
    pub mischief: Mischief,
    /// To every message from there on.
    pub lasting: bool,
}

/// At full length every mischief at every place, once and lasting; usually one of the two by turns;
/// in the short version every mischief at one place, and of what the relay can say every third thing.
/// What forges an outcome of a guess comes first: it is tried at every scale.
pub fn plans(context: &GateContext, places: &[(Call, usize)]) -> anyhow::Result<Vec<Plan>> {
    let (everywhere, both) = context.scaled((false, false), (true, false), (true, true));
    let mut plans = Vec::new();
    for (number, mischief) in every_mischief()?.iter().enumerate() {
        // By strides, so that one after the other they come to calls of all kinds; 11 divides no
        // number of places that there is likely to be.
        let is_short = !mischief.is_said() || number % 3 == 0;
        let only = is_short.then_some(number * 11 % places.len());
        for (place, &(call, after)) in places.iter().enumerate() {
            let plan = |lasting| Plan {
                call,
                after,
                mischief: mischief.clone(),
                lasting,
            };
            let is_lasting = (number / 2 + place) % 2 == 1;
            let usual = plan(is_lasting);
            if everywhere || only == Some(place) || usual.forges_an_outcome() {
                plans.push(usual);
            }
            if both {
                plans.push(plan(!is_lasting));
            }
        }
    }
    plans.sort_by_key(|plan| !plan.forges_an_outcome());
    Ok(plans)
}

fn every_mischief() -> anyhow::Result<Vec<Mischief>> {
    let mut all = vec![
        Mischief::LoseRequest,
        Mischief::LoseAnswer,
        Mischief::Late,
        Mischief::TwiceFirst,
        Mischief::TwiceSecond,
        Mischief::Earlier(1),
        Mischief::Earlier(2),
        Mischief::EarlierAnswer(1),
        Mischief::EarlierAnswer(2),
        Mischief::OtherAccount,
        Mischief::OtherTenant,
        Mischief::BrokenRequest,
        Mischief::BrokenAnswer,
        Mischief::ShortAnswer,
    ];
    for problem in every_problem() {
        let body = serde_json::to_vec(&problem.details())?;
        all.push(Mischief::Says(problem.status(), body.clone()));
        all.push(Mischief::SaysAfter(problem.status(), body));
    }
    let success = serde_json::to_vec(&RegistrationFinished {
        generation: 1,
        policy: Policy::default(),
    })?;
    for status in [200, 201, 302, 404, 502] {
        all.push(Mischief::Says(status, success.clone()));
        all.push(Mischief::SaysAfter(status, success.clone()));
    }
    Ok(all)
}

fn every_problem() -> Vec<Problem> {
    let (destroyed_at, retry_at) = (Timestamp::from_millis(0), Timestamp::from_millis(1));
    vec![
        Problem::malformed(),
        Problem::AccountMismatch,
        Problem::OhttpKey,
        Problem::Unauthenticated,
        Problem::Forbidden,
        Problem::WrongPassword {
            attempts_remaining: 0,
            retry_at: Some(retry_at),
        },
        Problem::NotRegistered,
        Problem::AlreadyRegistered { generation: 1 },
        Problem::TicketExpired,
        Problem::Destroyed {
            destroyed_at,
            reason: DestructionReason::Exhausted,
            generation: 1,
        },
        Problem::TooLarge,
        Problem::Waiting { retry_at },
        Problem::Overloaded,
        Problem::Unavailable,
    ]
}

impl Plan {
    fn forges_an_outcome(&self) -> bool {
        self.call == Call::Retrieve && matches!(&self.mischief, Mischief::Says(410, _))
    }
}
