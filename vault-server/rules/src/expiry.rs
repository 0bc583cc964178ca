//! What time alone does to an account. Every command applies it before it looks at anything
//! (PROTOCOL.md section 7 step 3).

use vault_protocol::Timestamp;

use crate::account::{Account, Slot};
use crate::clock::Clock;
use crate::event::{EventKind, FailureCause, Journal};

impl Account {
    /// When the account has to be swept next: an open attempt, a remembered success or a pending
    /// registration expires, or a wait ends. `None` if time alone changes nothing any more.
    ///
    /// It depends on when the process started, so at a start every account that had something due
    /// is swept once; that also corrects times which a clock set back has left in the future.
    pub fn next_due(&self, clock: Clock) -> Option<Timestamp> {
        let pending = self.pending.iter().map(|pending| pending.expires_at());
        let attempts = match &self.slot {
            Slot::Live(record) => record.attempts.next_due(&record.policy, clock),
            Slot::Never | Slot::Destroyed(_) => None,
        };
        pending.chain(attempts).min()
    }

    pub(crate) fn apply_what_is_due(&mut self, clock: Clock, journal: &mut Journal) {
        self.bring_times_back_to(clock.now);
        self.pending
            .retain(|pending| pending.expires_at() > clock.now);
        if let Slot::Live(record) = &mut self.slot {
            for attempt in record.attempts.expire(clock) {
                let cause = FailureCause::Expired;
                journal.record(record.generation, EventKind::Failed { attempt, cause });
            }
        }
        self.destroy_if_exhausted(journal);
    }

    /// Stored times in the future become now: the clock was set back between two runs. A wait
    /// begins again, and ends; it would otherwise last as long as the clock was wrong.
    fn bring_times_back_to(&mut self, now: Timestamp) {
        for pending in &mut self.pending {
            pending.started_at = pending.started_at.min(now);
        }
        match &mut self.slot {
            Slot::Never => {}
            Slot::Live(record) => {
                record
                    .attempts
                    .times_mut()
                    .for_each(|time| *time = (*time).min(now));
            }
            Slot::Destroyed(tombstone) => tombstone.at = tombstone.at.min(now),
        }
    }
}
