//! Ending a record on request, and looking at it (PROTOCOL.md section 6).

use vault_protocol::management;
use vault_protocol::messages::DestructionReason;

use crate::account::{Account, Slot};
use crate::command::{Delete, Reset, Status as StatusCommand, Sweep};
use crate::event::{EventKind, Journal};
use crate::outcome::{Decision, Refusal, Status, Step, step};

/// The record of this generation is destroyed, now or since earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The account's generation.
    pub generation: u64,
}

impl Delete {
    /// Destroys the record for who holds its K. Where there is none, drops what was begun: a device
    /// that switches the password off must not have it switched on by a finish that was held back.
    /// That takes no proof, for there is no key to check one with; whom the app vouches for can do
    /// as much with four starts.
    pub fn apply(self, account: Account) -> Step<Decision<Removed>> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    fn decide(self, account: &mut Account, journal: &mut Journal) -> Decision<Removed> {
        let generation = account.generation();
        let record = match &account.slot {
            Slot::Never => {
                account.pending.clear();
                return Decision::Refused(Refusal::NotRegistered);
            }
            // What is asked for has happened; there is no key left to check a proof with.
            Slot::Destroyed(_) => {
                account.pending.clear();
                return Decision::Granted(Removed { generation });
            }
            Slot::Live(record) => record,
        };
        let key = &record.management_key.0;
        if !management::verify_deletion(key, &self.scope, generation, &self.proof.0) {
            return Decision::Refused(Refusal::Forbidden);
        }
        journal.record(generation, EventKind::Deleted);
        account.destroy(DestructionReason::Deleted, journal);
        Decision::Granted(Removed { generation })
    }
}

impl Reset {
    /// Destroys the record of exactly the generation named: the app saw that one, and must not hit
    /// a registration it knows nothing of.
    pub fn apply(self, account: Account) -> Step<Decision<Removed>> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    fn decide(self, account: &mut Account, journal: &mut Journal) -> Decision<Removed> {
        let generation = account.generation();
        match &account.slot {
            Slot::Never => return Decision::Refused(Refusal::NotRegistered),
            Slot::Live(_) if generation != self.generation => {
                return Decision::Refused(Refusal::AlreadyRegistered { generation });
            }
            Slot::Destroyed(tombstone) if generation != self.generation => {
                return Decision::Refused(Refusal::Destroyed(*tombstone));
            }
            Slot::Live(_) => {
                journal.record(generation, EventKind::Reset);
                account.destroy(DestructionReason::Reset, journal);
            }
            Slot::Destroyed(_) => {}
        }
        Decision::Granted(Removed { generation })
    }
}

impl StatusCommand {
    /// Tells how the account stands.
    pub fn apply(self, account: Account) -> Step<Status> {
        step(account, self.clock, |account, _| account.status(self.clock))
    }
}

impl Sweep {
    /// Does only what is due.
    pub fn apply(self, account: Account) -> Step<()> {
        step(account, self.clock, |_, _| ())
    }
}
