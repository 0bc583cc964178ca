//! Retrieval tickets (PROTOCOL.md section 7): the state between KE2 and KE3, sealed and handed to
//! the device, so that the vault does not have to keep it. A ticket says nothing about whether it
//! may be used; the account's state does.

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vault_protocol::binary::Ticket;
use vault_protocol::ids::VaultId;
use vault_protocol::labelled::Labelled;
use vault_protocol::sealing;
use vault_protocol::time::Timestamp;
use vault_rules::{ATTEMPT_SECONDS, CommandTime};
use zeroize::Zeroizing;

use super::opaque::LoginState;
use crate::stored::codec::Versioned;
use crate::stored::keys;
use crate::stored::leaf::{Leaf, Stored};
use crate::stored::rotation::KeyLife;

/// How long a key is kept after its last use for sealing, in seconds: 24 hours. Far longer than
/// any attempt stays open in one run.
pub(crate) const KEPT_SECONDS: u64 = 24 * 60 * 60;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;

/// The content of a ticket.
#[derive(Serialize, Deserialize)]
pub struct Contents {
    /// The only account that the ticket is good for.
    pub account_key: [u8; 32],
    /// Of the record that the attempt was charged to.
    pub generation: u64,
    /// The number of the attempt.
    pub attempt: u64,
    /// To verify KE3 with.
    pub login_state: LoginState,
}

/// The keys that seal and open tickets, oldest first; the last one seals.
#[derive(Default, Serialize, Deserialize)]
pub struct TicketKeys {
    keys: Vec<TicketKey>,
}

#[derive(Serialize, Deserialize)]
struct TicketKey {
    id: u32,
    /// Boxed: a list that grows or gives up its first would leave copies.
    secret: Box<Zeroizing<[u8; 32]>>,
    /// A key is in use while it seals.
    life: KeyLife,
}

impl TicketKeys {
    /// Where they are stored.
    pub(crate) const LEAF: Leaf<Self> = Leaf::fixed(keys::ticket_keys);

    /// Brings the keys up to date: a new one when the last has sealed for `period_seconds`, none
    /// that has not sealed for 24 hours. Returns whether anything changed. Times that lie in the
    /// future (the clock was set back between runs) count as now.
    ///
    /// A run forgets no key in its first 15 minutes: for so long the attempts that were open when
    /// the vault stopped are open again, however long the outage was.
    pub fn rotate<R: RngCore + CryptoRng>(
        &mut self,
        time: CommandTime,
        period_seconds: u64,
        rng: &mut R,
    ) -> bool {
        let now = time.now;
        let mut clamped = false;
        for key in &mut self.keys {
            clamped |= key.life.clamp_to(now);
        }
        let before = self.keys.len();
        if time.running_since.plus_seconds(ATTEMPT_SECONDS) <= now {
            self.keys
                .retain(|key| !key.life.is_expired(now, KEPT_SECONDS));
        }
        let expired = self.keys.len() < before;
        let due = self
            .keys
            .last()
            .is_none_or(|key| key.life.is_due_for_rotation(now, period_seconds));
        if due {
            self.replace_sealing_key(now, rng);
        }
        clamped || expired || due
    }

    /// Seals a ticket.
    ///
    /// # Panics
    /// If the keys were never rotated: the service does that before it answers anything.
    pub fn seal<R: RngCore + CryptoRng>(
        &self,
        vault: &VaultId,
        contents: &Contents,
        rng: &mut R,
    ) -> Ticket {
        let key = self.keys.last().expect("rotated before the first use");
        let header = header(key.id);
        let data = associated_data(vault, &header);
        let sealed = sealing::seal(&key.secret, &data, &contents.encode(), rng);
        Ticket([header.as_slice(), sealed.as_slice()].concat())
    }

    /// Opens a ticket; `None` if it is not ours, or its key is forgotten.
    pub fn open(&self, vault: &VaultId, ticket: &Ticket) -> Option<Contents> {
        let (header, sealed) = ticket.0.split_first_chunk::<HEADER_LEN>()?;
        let key = self
            .keys
            .iter()
            .find(|key| *header == self::header(key.id))?;
        let data = associated_data(vault, header);
        let plaintext = sealing::open(&key.secret, &data, sealed).ok()?;
        Contents::decode(&plaintext).ok()
    }

    fn replace_sealing_key<R: RngCore + CryptoRng>(&mut self, now: Timestamp, rng: &mut R) {
        let id = self.keys.last().map_or(1, |key| key.id.wrapping_add(1));
        if let Some(last) = self.keys.last_mut() {
            last.life.end(now);
        }
        let mut secret = Box::new(Zeroizing::new([0; 32]));
        rng.fill_bytes(secret.as_mut_slice());
        self.keys.push(TicketKey {
            id,
            secret,
            life: KeyLife::begin(now),
        });
    }
}

impl Versioned for TicketKeys {
    fn is_sound(&self) -> bool {
        KeyLife::are_successive(self.keys.iter().map(|key| key.life))
    }
}

impl Versioned for Contents {}

fn header(key_id: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = key_id.to_be_bytes();
    [VERSION, a, b, c, d]
}

fn associated_data(vault: &VaultId, header: &[u8]) -> Vec<u8> {
    let label = Labelled::new("backup-key-vault/v1 ticket");
    label
        .bytes(vault.as_str().as_bytes())
        .bytes(header)
        .as_slice()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base16ct::lower;
    use rand::rngs::OsRng;

    const DAY: u64 = 24 * 60 * 60;
    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn vault() -> VaultId {
        VaultId::new("v").unwrap()
    }

    /// A moment of a run that began long ago.
    fn at(now: Timestamp) -> CommandTime {
        let running_since = Timestamp::from_millis(0);
        CommandTime { now, running_since }
    }

    fn keys() -> TicketKeys {
        let mut keys = TicketKeys::default();
        assert!(keys.rotate(at(START), DAY, &mut OsRng));
        keys
    }

    fn ticket(keys: &TicketKeys) -> Ticket {
        let login_state = LoginState(Zeroizing::new(vec![7; 192]));
        let contents = Contents {
            account_key: [1; 32],
            generation: 2,
            attempt: 3,
            login_state,
        };
        keys.seal(&vault(), &contents, &mut OsRng)
    }

    #[test]
    fn changed_truncated_and_foreign_tickets_do_not_open() {
        let keys = keys();
        let good = ticket(&keys);
        assert!(keys.open(&vault(), &good).is_some());
        for index in 0..good.0.len() {
            let mut changed = good.clone();
            changed.0[index] ^= 1;
            assert!(keys.open(&vault(), &changed).is_none());
            assert!(
                keys.open(&vault(), &Ticket(good.0[..index].to_vec()))
                    .is_none()
            );
        }
        assert!(keys.open(&VaultId::new("w").unwrap(), &good).is_none());
        assert!(self::keys().open(&vault(), &good).is_none());
    }

    #[test]
    fn a_key_opens_until_a_day_after_its_last_use_for_sealing() {
        let mut keys = keys();
        let old = ticket(&keys);
        let replaced = START.plus_seconds(DAY);
        assert!(!keys.rotate(at(START.plus_seconds(DAY - 1)), DAY, &mut OsRng));
        assert!(keys.rotate(at(replaced), DAY, &mut OsRng));
        assert!(keys.open(&vault(), &old).is_some());
        keys.rotate(
            at(replaced.plus_seconds(KEPT_SECONDS - 1)),
            10 * DAY,
            &mut OsRng,
        );
        assert!(keys.open(&vault(), &old).is_some());
        keys.rotate(
            at(replaced.plus_seconds(KEPT_SECONDS)),
            10 * DAY,
            &mut OsRng,
        );
        assert!(keys.open(&vault(), &old).is_none());
    }

    /// Fails when `rotate` does not look at `running_since`: a user who was typing a password when
    /// the vault went down would have an open attempt and a ticket that no key opens.
    #[test]
    fn after_an_outage_a_key_opens_as_long_as_what_was_open_when_it_began() {
        let mut keys = keys();
        let old = ticket(&keys);
        keys.rotate(at(START.plus_seconds(DAY)), DAY, &mut OsRng);
        let running_since = START.plus_seconds(3_650 * DAY);
        let after = |seconds| CommandTime {
            now: running_since.plus_seconds(seconds),
            running_since,
        };
        for seconds in [0, ATTEMPT_SECONDS - 1] {
            keys.rotate(after(seconds), DAY, &mut OsRng);
            assert!(keys.open(&vault(), &old).is_some());
        }
        keys.rotate(after(ATTEMPT_SECONDS), DAY, &mut OsRng);
        assert!(keys.open(&vault(), &old).is_none());
    }

    #[test]
    fn a_clock_set_back_does_not_keep_keys_for_ever() {
        let mut keys = keys();
        let earlier = Timestamp::from_millis(START.millis() - 365 * DAY * 1000);
        assert!(keys.rotate(at(earlier), DAY, &mut OsRng));
        assert!(keys.rotate(at(earlier.plus_seconds(DAY)), DAY, &mut OsRng));
    }

    // Version 1, key 1 of thirty-two 0x22, vault `v`; contents as in `ticket`, login state 0x07.
    const FIXTURE: &str = include_str!("fixtures/ticket-v1.hex");

    #[test]
    fn a_committed_ticket_still_opens() {
        let secret = Box::new(Zeroizing::new([0x22; 32]));
        let key = TicketKey {
            id: 1,
            secret,
            life: KeyLife::begin(Timestamp::from_millis(0)),
        };
        let keys = TicketKeys { keys: vec![key] };
        let bytes = lower::decode_vec(FIXTURE.trim()).unwrap();
        let contents = keys.open(&vault(), &Ticket(bytes)).unwrap();
        assert_eq!((contents.generation, contents.attempt), (2, 3));
        assert_eq!(contents.login_state.0.as_slice(), [7; 192]);
    }

    // Fails when `is_sound` does not look at the lives: such a key would never be forgotten.
    #[test]
    fn a_key_behind_which_there_is_another_was_replaced() {
        let key = |id, until| TicketKey {
            id,
            secret: Box::new(Zeroizing::new([0x22; 32])),
            life: KeyLife::of(5, until),
        };
        for (until, is_read) in [(Some(6), true), (None, false)] {
            let keys = vec![key(7, until), key(8, None)];
            let stored = TicketKeys { keys }.encode();
            assert_eq!(TicketKeys::decode(&stored).is_ok(), is_read);
        }
    }

    // Version 1: key 7 sealed from 5 to 6; key 8 seals since 6.
    const KEYS_FIXTURE: &str = concat!(
        "0102",
        "07",
        "2222222222222222222222222222222222222222222222222222222222222222",
        "050106",
        "08",
        "3333333333333333333333333333333333333333333333333333333333333333",
        "0600"
    );

    #[test]
    fn the_committed_keys_are_still_read() {
        let bytes = lower::decode_vec(KEYS_FIXTURE).unwrap();
        let keys = TicketKeys::decode(&bytes).unwrap();
        let [old, sealing] = keys.keys.as_slice() else {
            panic!("two keys");
        };
        assert_eq!((old.id, **old.secret), (7, [0x22; 32]));
        assert_eq!(old.life.times(), (5, Some(6)));
        assert_eq!((sealing.id, **sealing.secret), (8, [0x33; 32]));
        assert_eq!(sealing.life.times(), (6, None));
        assert_eq!(*keys.encode(), bytes);
    }
}
