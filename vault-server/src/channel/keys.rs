//! The private keys of the sealed channel (PROTOCOL.md section 5). They are replaced on a schedule
//! and kept for an overlap, so that they can be forgotten: recorded traffic cannot be opened with
//! them afterwards.

use ohttp::KeyConfig;
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config};
use vault_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::stored::codec::Versioned;
use crate::stored::keys;
use crate::stored::leaf::Leaf;
use crate::stored::rotation::KeyLife;

/// Key pairs, oldest first; the last one is published, the others still open messages.
#[derive(Default, Serialize, Deserialize)]
pub struct ChannelKeys {
    pairs: Vec<Pair>,
}

/// One X-Wing and one X25519 key of the same age. The library cannot export private keys, so
/// the seeds that they derive from are stored.
#[derive(Serialize, Deserialize)]
struct Pair {
    /// Of the X-Wing key; the X25519 key has the next one. Even, so both fit into a byte.
    id: u8,
    // Boxed: a list that grows or gives up its first would leave copies.
    x_wing_seed: Box<Zeroizing<[u8; 32]>>,
    x25519_seed: Box<Zeroizing<[u8; 32]>>,
    /// A pair is in use while it is published.
    life: KeyLife,
}

impl ChannelKeys {
    /// Where they are stored.
    pub const LEAF: Leaf<Self> = Leaf::fixed(keys::ohttp_keys);

    /// Brings the keys up to date: a new pair when the last one has been published for
    /// `period_seconds`; none that was replaced longer than `overlap_seconds` ago. Returns whether
    /// anything changed. Times in the future (the clock was set back between runs) count as now.
    pub fn rotate<R: RngCore + CryptoRng>(
        &mut self,
        now: Timestamp,
        period_seconds: u64,
        overlap_seconds: u64,
        rng: &mut R,
    ) -> bool {
        let mut clamped = false;
        for pair in &mut self.pairs {
            clamped |= pair.life.clamp_to(now);
        }
        let before = self.pairs.len();
        self.pairs
            .retain(|pair| !pair.life.is_expired(now, overlap_seconds));
        let expired = self.pairs.len() < before;
        let due = self
            .pairs
            .last()
            .is_none_or(|pair| pair.life.is_due_for_rotation(now, period_seconds));
        if due {
            self.publish_new_pair(now, rng);
        }
        clamped || expired || due
    }

    /// When [`Self::rotate`] next has something to do.
    pub fn next_change(&self, period_seconds: u64, overlap_seconds: u64) -> Option<Timestamp> {
        let changes = self
            .pairs
            .iter()
            .map(|pair| pair.life.next_change(period_seconds, overlap_seconds));
        changes.min()
    }

    /// The two published configurations, X-Wing first.
    ///
    /// # Panics
    /// If the keys were never rotated: the service does that before it answers anything.
    pub fn published(&self) -> [KeyConfig; 2] {
        self.pairs
            .last()
            .expect("rotated before the first use")
            .configs()
    }

    /// Every configuration that still opens messages.
    pub fn all(&self) -> Vec<KeyConfig> {
        self.pairs.iter().flat_map(Pair::configs).collect()
    }

    fn publish_new_pair<R: RngCore + CryptoRng>(&mut self, now: Timestamp, rng: &mut R) {
        let id = self.pairs.last().map_or(0, |pair| pair.id.wrapping_add(2));
        // 128 pairs later an id comes again; the one that had it must not be asked.
        self.pairs.retain(|pair| pair.id != id);
        if let Some(last) = self.pairs.last_mut() {
            last.life.end(now);
        }
        let mut draw = || {
            let mut seed = Box::new(Zeroizing::new([0; 32]));
            rng.fill_bytes(seed.as_mut_slice());
            seed
        };
        let (x_wing_seed, x25519_seed) = (draw(), draw());
        self.pairs.push(Pair {
            id,
            x_wing_seed,
            x25519_seed,
            life: KeyLife::begin(now),
        });
    }
}

impl Versioned for ChannelKeys {
    /// Ids are even, as they were given: behind 255 there is no next one.
    fn is_sound(&self) -> bool {
        let are_even = self.pairs.iter().all(|pair| pair.id.is_multiple_of(2));
        let are_successive = KeyLife::are_successive(self.pairs.iter().map(|pair| pair.life));
        are_even && are_successive
    }
}

impl Pair {
    fn configs(&self) -> [KeyConfig; 2] {
        [
            derive_key_config(self.id, KeyKind::XWing, &self.x_wing_seed),
            derive_key_config(self.id + 1, KeyKind::X25519, &self.x25519_seed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use base16ct::lower;
    use rand::rngs::OsRng;

    use super::*;
    use crate::stored::leaf::Stored;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn ids(configs: &[KeyConfig]) -> Vec<u8> {
        configs
            .iter()
            .map(|config| config.encode().unwrap()[0])
            .collect()
    }

    #[test]
    fn a_replaced_pair_opens_messages_until_the_overlap_is_expired() {
        let mut keys = ChannelKeys::default();
        assert!(keys.rotate(START, 100, 50, &mut OsRng));
        assert!(!keys.rotate(START.plus_seconds(99), 100, 50, &mut OsRng));
        let replaced = START.plus_seconds(100);
        assert!(keys.rotate(replaced, 100, 50, &mut OsRng));
        assert_eq!(ids(&keys.published()), [2, 3]);
        assert_eq!(ids(&keys.all()), [0, 1, 2, 3]);
        assert!(!keys.rotate(replaced.plus_seconds(49), 100, 50, &mut OsRng));
        assert!(keys.rotate(replaced.plus_seconds(50), 100, 50, &mut OsRng));
        assert_eq!(ids(&keys.all()), [2, 3]);
    }

    #[test]
    fn ids_stay_distinct_when_they_come_round() {
        let mut keys = ChannelKeys::default();
        for turn in 0..300 {
            keys.rotate(START.plus_seconds(turn), 1, 1000, &mut OsRng);
        }
        let mut ids = ids(&keys.all());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), keys.all().len());
    }

    #[test]
    fn the_stored_form_gives_the_same_keys() {
        let mut keys = ChannelKeys::default();
        keys.rotate(START, 100, 50, &mut OsRng);
        let again = ChannelKeys::decode(&keys.encode()).unwrap();
        let encode = |keys: &ChannelKeys| KeyConfig::encode_list(&keys.published()).unwrap();
        assert_eq!(encode(&again), encode(&keys));
    }

    #[test]
    fn the_stored_form_is_the_committed_one() {
        let pair = Pair {
            id: 4,
            x_wing_seed: Box::new(Zeroizing::new([0x33; 32])),
            x25519_seed: Box::new(Zeroizing::new([0x44; 32])),
            life: KeyLife::of(5, Some(6)),
        };
        let keys = ChannelKeys { pairs: vec![pair] };
        assert_eq!(lower::encode_string(&keys.encode()), FIXTURE);
    }

    #[test]
    fn the_committed_keys_are_still_read() {
        let keys = ChannelKeys::decode(&from_hex(FIXTURE)).unwrap();
        let [pair] = keys.pairs.as_slice() else {
            panic!("one pair");
        };
        assert_eq!(
            (pair.id, **pair.x_wing_seed, **pair.x25519_seed),
            (4, [0x33; 32], [0x44; 32])
        );
        assert_eq!(pair.life.times(), (5, Some(6)));
        assert_eq!(lower::encode_string(&keys.encode()), FIXTURE);
    }

    // Found by fuzzing. Fails when `is_sound` does not look at the ids: `all` then counts beyond
    // 255.
    #[test]
    fn a_pair_without_room_for_its_second_id_is_unreadable() {
        for id in ["05", "ff"] {
            let stored = FIXTURE.replacen("010104", &format!("0101{id}"), 1);
            assert!(ChannelKeys::decode(&from_hex(&stored)).is_err(), "{id}");
        }
        let last = FIXTURE.replacen("010104", "0101fe", 1);
        let keys = ChannelKeys::decode(&from_hex(&last)).unwrap();
        assert_eq!(ids(&keys.all()), [254, 255]);
    }

    // Found by fuzzing. Fails when `is_sound` does not look at the lives: such a pair is never
    // forgotten, and keys are always due to be rotated.
    #[test]
    fn a_pair_behind_which_there_is_another_was_replaced() {
        let pair = |id, until| Pair {
            id,
            x_wing_seed: Box::new(Zeroizing::new([0x33; 32])),
            x25519_seed: Box::new(Zeroizing::new([0x44; 32])),
            life: KeyLife::of(5, until),
        };
        for (until, is_read) in [(Some(6), true), (None, false)] {
            let pairs = vec![pair(4, until), pair(6, None)];
            let stored = ChannelKeys { pairs }.encode();
            assert_eq!(ChannelKeys::decode(&stored).is_ok(), is_read);
        }
    }

    // Version 1: one pair of id 4, published at 5, replaced at 6.
    const FIXTURE: &str = concat!(
        "010104",
        "3333333333333333333333333333333333333333333333333333333333333333",
        "4444444444444444444444444444444444444444444444444444444444444444",
        "050106"
    );

    fn from_hex(digits: &str) -> Vec<u8> {
        lower::decode_vec(digits).unwrap()
    }
}
