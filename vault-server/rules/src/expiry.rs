//! Expiry: the changes that time alone makes to an account. Every command applies them before its
//! own rule (PROTOCOL.md section 7 step 3); a sweep applies nothing else.

use vault_protocol::Timestamp;

use crate::account::{Account, RecordSlot};
use crate::clock::CommandTime;
use crate::command::Rule;
use crate::event::{EventKind, FailureCause, Journal};

/// Applies expiry and nothing else.
#[derive(Debug)]
pub struct Sweep {
    /// Everything that has expired by then ends.
    pub time: CommandTime,
}

impl Rule for Sweep {
    type Outcome = ();

    fn time(&self) -> CommandTime {
        self.time
    }

    fn decide(self, _: &mut Account, _: &mut Journal) {}
}

impl Account {
    /// When the account has to be swept next: an open attempt, a remembered success or a pending
    /// registration expires, or a wait ends. `None` if time alone changes nothing any more.
    ///
    /// It depends on when the process started, so at a start every account that had something due
    /// is swept once; that also corrects times which a clock set back has left in the future.
    pub fn next_due(&self, time: CommandTime) -> Option<Timestamp> {
        let pending = self.pending.iter().map(|pending| pending.expires_at());
        let attempts = match &self.slot {
            RecordSlot::Live(record) => record.attempts.next_due(&record.policy, time),
            RecordSlot::Never | RecordSlot::Destroyed(_) => None,
        };
        pending.chain(attempts).min()
    }

    pub(crate) fn apply_expiry(&mut self, time: CommandTime, journal: &mut Journal) {
        // First: a time in the future would never be due.
        self.clamp_to(time.now);
        self.pending
            .retain(|pending| pending.expires_at() > time.now);
        if let RecordSlot::Live(record) = &mut self.slot {
            for attempt in record.attempts.expire(time) {
                let cause = FailureCause::Expired;
                journal.record(record.generation, EventKind::Failed { attempt, cause });
            }
        }
        self.destroy_if_exhausted(journal);
    }

    /// Stored times in the future become now: the clock was set back between two runs. A wait
    /// begins again, and ends; it would otherwise last as long as the clock was wrong.
    fn clamp_to(&mut self, now: Timestamp) {
        for pending in &mut self.pending {
            pending.started_at = pending.started_at.min(now);
        }
        match &mut self.slot {
            RecordSlot::Never => {}
            RecordSlot::Live(record) => {
                record
                    .attempts
                    .times_mut()
                    .for_each(|time| *time = (*time).min(now));
            }
            RecordSlot::Destroyed(tombstone) => tombstone.at = tombstone.at.min(now),
        }
    }
}
