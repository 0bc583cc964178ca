//! When a call is sent again, and how it ends: decided here and nowhere else. There is no clock and
//! no waiting in it, and the pauses are data.
//!
//! | a sending | a question | a guess or a change |
//! |---|---|---|
//! | the connection was lost, or the answer was not sealed | twice more at once | twice more at once, then after each pause |
//! | the vault or the relay has too much to do, no connection | ends | after each pause |
//! | the relay refuses, or the statement is refused | ends | ends |
//!
//! Once a guess or a change may have arrived, only a sealed answer tells the outcome. Until then
//! the call ends with [`Error::UnknownOutcome`] or [`Error::Unavailable`].

use std::slice;
use std::time::Duration;

use vault_protocol::Timestamp;

use crate::call::InnerCall;
use crate::error::{Error, NoAnswer};

/// How often a call whose answer was lost is sent again at once.
pub const MAX_REPEATS: u32 = 2;

/// The pauses before a guess or a change is sent again.
pub const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// How long the same credential request is sent, in seconds. The vault's attempt ends after 15
/// minutes (PROTOCOL.md section 7); sent after that, the request would be charged as another one.
const RESEND_SECONDS: u64 = 10 * 60;

/// One sending that brought no answer.
pub(super) enum Failed {
    /// The vault does not have the key that the message was sealed to.
    UnknownKey,
    /// The message may have arrived.
    Lost(NoAnswer),
    /// A refusal outside the seal. The message may have arrived all the same.
    Refused(NoAnswer, Error),
    /// Sealed, but no outcome: the vault cannot answer now, or the relay named another account.
    Undecided(Error),
    /// It was not even sent.
    Stopped(Error),
    /// It was not sent again: the vault could charge it as another attempt by now.
    Stale,
}

/// All sendings of one call.
pub(super) struct Sending {
    has_effect: bool,
    is_guess: bool,
    pauses: slice::Iter<'static, Duration>,
    sent_at: Option<Timestamp>,
    sendings: u32,
    /// Since the last pause.
    repeats: u32,
    has_fetched_keys: bool,
    /// Why the outcome of an earlier sending is unknown.
    unknown: Option<Error>,
    was_busy: bool,
}

impl Sending {
    /// For a call that charges nothing, however late it arrives.
    pub(super) fn new(call: &InnerCall, pauses: &'static [Duration]) -> Self {
        let has_effect = call.has_effect();
        let pauses = if has_effect { pauses } else { &[] };
        Self {
            has_effect,
            is_guess: false,
            pauses: pauses.iter(),
            sent_at: None,
            sendings: 0,
            repeats: 0,
            has_fetched_keys: false,
            unknown: None,
            was_busy: false,
        }
    }

    /// For a credential request, which may have been sent before.
    pub(super) fn of_guess(
        call: &InnerCall,
        pauses: &'static [Duration],
        sent_at: Option<Timestamp>,
    ) -> Self {
        Self {
            is_guess: true,
            sent_at,
            ..Self::new(call, pauses)
        }
    }

    /// For a call that is sent once.
    pub(super) fn once(call: &InnerCall) -> Self {
        Self {
            repeats: MAX_REPEATS,
            has_fetched_keys: true,
            ..Self::new(call, &[])
        }
    }

    /// Whether the call may be sent now. Asked directly before each sending, the first included.
    pub(super) fn allows(&mut self, now: Timestamp) -> bool {
        let sent_at = *self.sent_at.get_or_insert(now);
        self.sendings += 1;
        !self.is_guess || !is_stale(sent_at, now)
    }

    /// When it was first sent.
    pub(super) fn sent_at(&self) -> Option<Timestamp> {
        self.sent_at
    }

    /// Whether it was sent more than once: the last answer need not be that to the first sending.
    pub(super) fn is_repeated(&self) -> bool {
        self.sendings > 1
    }

    /// After which pause the call is sent again; otherwise how it ends.
    pub(super) fn after(&mut self, failed: Failed) -> Result<Duration, Error> {
        let error = match failed {
            Failed::UnknownKey if !self.has_fetched_keys => {
                self.has_fetched_keys = true;
                if self.has_effect {
                    self.unknown = Some(Error::UnknownOutcome(NoAnswer::UnknownKey));
                }
                return Ok(Duration::ZERO);
            }
            Failed::Lost(reason) if self.repeats < MAX_REPEATS => {
                self.repeats += 1;
                self.unknown = Some(self.unanswered(reason));
                return Ok(Duration::ZERO);
            }
            // An earlier sending may be charged; this attempt cannot go on.
            Failed::Stale => return Err(Error::TicketExpired),
            Failed::UnknownKey => self.unanswered(NoAnswer::UnknownKey),
            Failed::Lost(reason) => self.unanswered(reason),
            Failed::Refused(reason, _) if self.has_effect => Error::UnknownOutcome(reason),
            // The vault says it, but at the relay's word.
            Failed::Undecided(Error::Refused(refusal)) if self.has_effect => {
                Error::UnknownOutcome(NoAnswer::Refused(refusal))
            }
            Failed::Refused(_, error) | Failed::Undecided(error) | Failed::Stopped(error) => error,
        };
        self.after_round(error)
    }

    fn after_round(&mut self, error: Error) -> Result<Duration, Error> {
        self.was_busy |= matches!(error, Error::Overloaded);
        let pause = error.retry().then(|| self.pauses.next().copied()).flatten();
        let is_unknown = matches!(error, Error::UnknownOutcome(_) | Error::Unavailable);
        let Some(pause) = pause else {
            return Err(if is_unknown { error } else { self.ended(error) });
        };
        if is_unknown {
            self.unknown = Some(error);
        }
        self.repeats = 0;
        self.has_fetched_keys = false;
        Ok(pause)
    }

    /// A question has no outcome to lose.
    fn unanswered(&self, reason: NoAnswer) -> Error {
        if self.has_effect {
            Error::UnknownOutcome(reason)
        } else {
            Error::Network(reason)
        }
    }

    /// Once a sending may have arrived, nothing unsealed makes its outcome known; nor does the vault,
    /// by not doing it a second time.
    fn ended(&mut self, error: Error) -> Error {
        let may_have_arrived = self.has_effect && (self.unknown.is_some() || self.was_busy);
        match (self.unknown.take(), error) {
            // An alarm, which must be heard although something else is unknown.
            (_, Error::StatementRefused(refused)) if may_have_arrived => {
                Error::UnknownOutcome(NoAnswer::StatementRefused(refused))
            }
            (_, error @ Error::StatementRefused(_)) => error,
            (Some(unknown), _) => unknown,
            // The vault was too busy for one copy of the message. There may be others.
            (None, _) if self.was_busy => Error::Overloaded,
            (None, error) => error,
        }
    }
}

/// Whether a credential request that was first sent at `sent_at` may not be sent any more. A clock
/// that went back does not say how long ago that was.
fn is_stale(sent_at: Timestamp, now: Timestamp) -> bool {
    now < sent_at || now.seconds_since(sent_at) >= RESEND_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;
    use vault_protocol::statement::StatementRefused;
    use vault_protocol::{AccountId, AccountScope, TenantId, VaultId};

    fn change() -> InnerCall {
        InnerCall::post(&scope(), "registration/finish", &())
    }

    fn scope() -> AccountScope {
        AccountScope {
            vault: VaultId::new("v").unwrap(),
            tenant: TenantId::new("app").unwrap(),
            account: AccountId::new("alice").unwrap(),
        }
    }

    fn lost() -> Failed {
        Failed::Lost(NoAnswer::NotSealed)
    }

    fn unreachable() -> Failed {
        let source = NoAnswer::Unreachable("no network".into());
        Failed::Stopped(Error::Network(source))
    }

    fn busy() -> Failed {
        Failed::Undecided(Error::Overloaded)
    }

    /// How a call ends to whose sendings this happens, and its pauses.
    fn ended(call: &InnerCall, all: impl IntoIterator<Item = Failed>) -> (Vec<u64>, Error) {
        let mut sending = Sending::new(call, &PAUSES);
        let mut pauses = Vec::new();
        for failed in all {
            match sending.after(failed) {
                Ok(pause) => pauses.push(pause.as_secs()),
                Err(error) => return (pauses, error),
            }
        }
        panic!("it goes on after {pauses:?}");
    }

    #[test]
    fn a_lost_change_is_sent_again_at_once_and_after_each_pause() {
        let (pauses, error) = ended(&change(), std::iter::repeat_with(lost));
        assert_eq!(pauses, [0, 0, 1, 0, 0, 3, 0, 0, 6, 0, 0]);
        assert!(matches!(error, Error::UnknownOutcome(NoAnswer::NotSealed)));
    }

    #[test]
    fn a_lost_question_is_sent_again_at_once_and_a_busy_vault_is_not_asked_again() {
        let question = InnerCall::get(&scope());
        let (pauses, error) = ended(&question, std::iter::repeat_with(lost));
        assert_eq!(pauses, [0, 0]);
        assert!(matches!(error, Error::Network(NoAnswer::NotSealed)));
        let (pauses, error) = ended(&question, [busy()]);
        assert_eq!(pauses, [] as [u64; 0]);
        assert!(matches!(error, Error::Overloaded));
    }

    // Fails if `after_round` forgets the earlier sendings: a key of which there may be a record would
    // be dropped then.
    #[test]
    fn a_change_that_was_sent_is_not_taken_for_one_that_never_was() {
        let all = [unreachable(), busy(), unreachable(), unreachable()];
        assert!(matches!(ended(&change(), all).1, Error::Overloaded));
        let all = std::iter::repeat_with(unreachable);
        assert!(matches!(ended(&change(), all).1, Error::Network(_)));
        let unavailable = Failed::Undecided(Error::Unavailable);
        let all = [unavailable, busy(), unreachable(), unreachable()];
        assert!(matches!(ended(&change(), all).1, Error::Unavailable));
        let all = [lost(), unreachable(), unreachable(), busy(), unreachable()];
        assert!(matches!(ended(&change(), all).1, Error::UnknownOutcome(_)));
    }

    // Fails if `after` waits after a refusal, or believes that a refusal outside the seal shows that
    // nothing was changed.
    #[test]
    fn a_change_that_the_relay_refuses_ends_at_once_and_stays_unknown() {
        let refusal = Refusal::Unauthenticated;
        let outside = Failed::Refused(NoAnswer::Refused(refusal), Error::Refused(refusal));
        let sealed = Failed::Undecided(Error::Refused(Refusal::AccountMismatch));
        for failed in [outside, sealed] {
            let (pauses, error) = ended(&change(), [failed]);
            assert_eq!(pauses, [] as [u64; 0]);
            let is_unknown = matches!(error, Error::UnknownOutcome(NoAnswer::Refused(_)));
            assert!(is_unknown, "{error:?}");
        }
    }

    // Fails if `ended` gives the reason of the loss only.
    #[test]
    fn a_refused_statement_is_heard_although_an_outcome_is_unknown() {
        let alarm = || Failed::Stopped(Error::StatementRefused(StatementRefused::Replayed));
        let (_, error) = ended(&change(), [alarm()]);
        assert!(matches!(error, Error::StatementRefused(_)), "{error:?}");
        for sent in [busy(), lost()] {
            let (_, error) = ended(&change(), [sent, alarm()]);
            let is_alarm = matches!(error, Error::UnknownOutcome(NoAnswer::StatementRefused(_)));
            assert!(is_alarm, "{error:?}");
        }
    }

    // Fails if `allows` counts from the last sending.
    #[test]
    fn a_guess_is_sent_for_ten_minutes_at_most() {
        let at = |seconds| Timestamp::from_millis(1000 * seconds);
        let mut sending = Sending::of_guess(&change(), &PAUSES, None);
        assert!(sending.allows(at(100)));
        assert!(sending.allows(at(100 + RESEND_SECONDS - 1)));
        assert!(!sending.allows(at(100 + RESEND_SECONDS)));
        assert!(!sending.allows(at(99)));
    }
}
