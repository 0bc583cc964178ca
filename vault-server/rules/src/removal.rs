//! Ending a record on request: by its owner or by the app (PROTOCOL.md section 6).

use vault_protocol::messages::DestructionReason;
use vault_protocol::{AccountScope, Binary, management};

use crate::account::{Account, RecordSlot};
use crate::clock::CommandTime;
use crate::command::Rule;
use crate::event::{EventKind, Journal};
use crate::outcome::{Decision, Refusal};

/// `deletion`: the owner's.
#[derive(Debug)]
pub struct Delete {
    /// A record that time has destroyed by then needs no proof any more.
    pub time: CommandTime,
    /// The account that the proof has to name.
    pub scope: AccountScope,
    /// An Ed25519 signature by the record's management key.
    pub proof: Binary<64>,
}

/// `reset`: the app's, for a user without K.
#[derive(Debug)]
pub struct Reset {
    /// The time that the tombstone gets.
    pub time: CommandTime,
    /// The generation whose record is to be destroyed, and no other.
    pub generation: u64,
}

/// The record of this generation is destroyed, now or since earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The tombstone keeps it.
    pub generation: u64,
}

impl Rule for Delete {
    type Outcome = Decision<Removed>;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// Destroys the record for the holder of its K. Where there is no record, drops registrations
    /// that were begun: after a device has switched the password off, a finish that was held back
    /// must not switch it on. That takes no proof, because there is no key to check one with. An
    /// attacker with a login could do as much by four starts.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome {
        let generation = account.generation();
        let record = match &account.slot {
            RecordSlot::Never => {
                account.pending.clear();
                return Decision::Refused(Refusal::NotRegistered);
            }
            // The record is gone already; there is no key left to check a proof with.
            RecordSlot::Destroyed(_) => {
                account.pending.clear();
                return Decision::Granted(Removed { generation });
            }
            RecordSlot::Live(record) => record,
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

impl Rule for Reset {
    type Outcome = Decision<Removed>;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// Destroys the record of exactly the generation named: the app saw that one, and must not hit
    /// a registration it knows nothing of.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome {
        let generation = account.generation();
        match &account.slot {
            RecordSlot::Never => return Decision::Refused(Refusal::NotRegistered),
            RecordSlot::Live(_) if generation != self.generation => {
                return Decision::Refused(Refusal::AlreadyRegistered { generation });
            }
            RecordSlot::Destroyed(tombstone) if generation != self.generation => {
                return Decision::Refused(Refusal::Destroyed(*tombstone));
            }
            RecordSlot::Live(_) => {
                journal.record(generation, EventKind::Reset);
                account.destroy(DestructionReason::Reset, journal);
            }
            RecordSlot::Destroyed(_) => {}
        }
        Decision::Granted(Removed { generation })
    }
}
