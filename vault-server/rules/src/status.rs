//! Reading an account's status (PROTOCOL.md section 6). It costs no attempt.

use vault_protocol::{Policy, StretchingProfile, Timestamp};

use crate::account::{Account, RecordSlot};
use crate::clock::CommandTime;
use crate::command::Rule;
use crate::event::Journal;
use crate::tombstone::Tombstone;

/// Changes nothing by itself.
#[derive(Debug)]
pub struct ReadStatus {
    /// An attempt or a wait that is over by then is not shown any more.
    pub time: CommandTime,
}

/// An account as its owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 0 before the first completed registration.
    pub generation: u64,
    /// Whether there is a record, and what is left of its budgets.
    pub state: AccountState,
}

/// The `state` of the wire, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// `absent`: no registration was ever completed.
    Absent,
    /// `active`, or `waiting` if there is a `retry_at`.
    Live {
        /// The smaller of both budgets.
        attempts_remaining: u64,
        /// When the next attempt may start; `None` is now.
        retry_at: Option<Timestamp>,
        /// The device's number for how it stretches the password.
        stretching_profile: StretchingProfile,
        /// The record's own policy; the tenant's may have changed since.
        policy: Policy,
    },
    /// `destroyed`: the record is gone, and no registration was completed since.
    Destroyed(Tombstone),
}

impl Rule for ReadStatus {
    type Outcome = Status;

    fn time(&self) -> CommandTime {
        self.time
    }

    fn decide(self, account: &mut Account, _: &mut Journal) -> Status {
        account.status(self.time)
    }
}

impl Account {
    pub(crate) fn status(&self, time: CommandTime) -> Status {
        let state = match &self.slot {
            RecordSlot::Never => AccountState::Absent,
            RecordSlot::Live(record) => AccountState::Live {
                attempts_remaining: record.attempts.remaining(&record.policy),
                retry_at: record.attempts.retry_at(&record.policy, time),
                stretching_profile: record.stretching_profile,
                policy: record.policy.clone(),
            },
            RecordSlot::Destroyed(tombstone) => AccountState::Destroyed(*tombstone),
        };
        Status {
            generation: self.generation(),
            state,
        }
    }
}
