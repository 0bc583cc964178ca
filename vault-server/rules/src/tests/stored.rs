//! The stored form: pinned bytes, and what is refused.

use base16ct::lower;
use proptest::prelude::*;

use super::*;
use crate::counting::{OpenAttempt, RememberedSuccess};
use crate::versioned::StoredError as Error;

const FIXTURES: [(&str, &str); 4] = [
    (
        "absent",
        include_str!("../../tests/fixtures/account-v1-absent.hex"),
    ),
    (
        "pending",
        include_str!("../../tests/fixtures/account-v1-pending.hex"),
    ),
    (
        "live",
        include_str!("../../tests/fixtures/account-v1-live.hex"),
    ),
    (
        "destroyed",
        include_str!("../../tests/fixtures/account-v1-destroyed.hex"),
    ),
];
const EVENTS: &str = include_str!("../../tests/fixtures/events-v1.hex");

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    lower::decode_vec(digits).unwrap()
}

/// What the fixtures were made from.
fn account(name: &str) -> Account {
    let mut vault = Vault::new();
    match name {
        "absent" => {}
        "pending" => {
            vault.start_registration(1, policy(2, 3, &[60]));
        }
        "live" => {
            vault.register(1, patient());
            for guess in 1..=4 {
                vault.pass(1);
                vault.charge(guess);
            }
            vault.succeed(2);
            vault.succeed(1);
            vault.fail(3);
            vault.start_registration(2, Policy::default());
        }
        _ => {
            vault.register(1, patient());
            granted(vault.reset(1));
        }
    }
    vault.account
}

fn all_events() -> Vec<Event> {
    let at = Timestamp::from_millis(START);
    let attempt = 300;
    let failed = |cause| EventKind::Failed { attempt, cause };
    let destroyed = |reason| EventKind::Destroyed { reason };
    let kinds = [
        EventKind::Registered,
        EventKind::Replaced,
        EventKind::Charged { attempt },
        EventKind::Succeeded { attempt },
        failed(FailureCause::WrongPassword),
        failed(FailureCause::Abandoned),
        failed(FailureCause::Expired),
        EventKind::Waiting {
            until: at.plus_seconds(60),
        },
        EventKind::Exhausted,
        destroyed(DestructionReason::Exhausted),
        destroyed(DestructionReason::Deleted),
        destroyed(DestructionReason::Reset),
        EventKind::Deleted,
        EventKind::Reset,
    ];
    kinds
        .into_iter()
        .map(|kind| Event {
            at,
            generation: 2,
            kind,
        })
        .collect()
}

#[test]
fn no_bytes_and_bytes_of_another_version_are_refused() {
    assert_eq!(Account::decode(&[]).unwrap_err(), Error::Empty);
    for version in [0, 2, 255] {
        let mut bytes = account("live").encode();
        bytes[0] = version;
        assert_eq!(
            Account::decode(&bytes).unwrap_err(),
            Error::Version {
                found: version,
                known: 1
            }
        );
    }
}

/// Fails when `decode` does not compare with what `encode` writes.
#[test]
fn truncated_and_longer_states_are_refused() {
    for (name, _) in FIXTURES {
        let mut bytes = account(name).encode().to_vec();
        for length in 1..bytes.len() {
            assert!(
                Account::decode(&bytes[..length]).is_err(),
                "{name} {length}"
            );
        }
        bytes.push(0);
        assert_eq!(
            Account::decode(&bytes).unwrap_err(),
            Error::Malformed,
            "{name}"
        );
    }
}

/// Fails when `decode` does not compare with what `encode` writes.
#[test]
fn a_longer_form_of_an_integer_is_refused() {
    // The generation of a tombstone, 1, as one byte and as two.
    let bytes = account("destroyed").encode();
    assert_eq!(bytes[..3], [1, 2, 1]);
    let longer = [&[1, 2, 0x81, 0][..], &bytes[3..]].concat();
    assert_eq!(Account::decode(&longer).unwrap_err(), Error::Malformed);
}

/// Each of these would break arithmetic or a rule. Fails when its line in `check` is removed.
#[test]
fn states_that_no_command_leads_to_are_refused() {
    let edits: [fn(&mut LiveRecord); 23] = [
        |record| record.generation = 0,
        |record| record.generation = 1 << 53,
        |record| record.policy = policy(1, 100, &[]),
        |record| record.policy = policy(1, 1, &[]),
        |record| {
            record.policy = policy(2, 2, &[0]);
            record.attempts.succeeded = 1;
            record.attempts.remembered.pop();
        },
        |record| {
            record.attempts.charged = 1 << 53;
            record.attempts.last_success = 1 << 53;
            record.attempts.succeeded = (1 << 53) - 4;
        },
        |record| record.attempts.charged = 3,
        |record| record.attempts.last_success = 5,
        |record| record.attempts.last_success = 1,
        |record| record.attempts.last_success = 4,
        |record| record.attempts.succeeded = 3,
        |record| record.attempts.succeeded = 1,
        |record| {
            record.attempts.succeeded = 0;
            record.attempts.last_success_at = None;
            record.attempts.remembered.clear();
        },
        |record| record.attempts.last_success_at = None,
        |record| record.attempts.latest_charge_at = None,
        |record| record.attempts.open[0].number = 0,
        |record| record.attempts.open[0].number = 5,
        |record| {
            let request_digest = Binary([0; 32]);
            let charged_at = Timestamp::from_millis(0);
            let open = |number| OpenAttempt {
                number,
                request_digest,
                charged_at,
            };
            record.attempts.open = vec![open(4), open(3)];
        },
        |record| {
            let request_digest = Binary([0; 32]);
            let charged_at = Timestamp::from_millis(0);
            let open = |number| OpenAttempt {
                number,
                request_digest,
                charged_at,
            };
            record.attempts.open = vec![open(4), open(4)];
        },
        |record| {
            let request_digest = Binary([0; 32]);
            let charged_at = Timestamp::from_millis(0);
            let open = |number| OpenAttempt {
                number,
                request_digest,
                charged_at,
            };
            record.attempts.remembered.clear();
            record.attempts.open = vec![open(1), open(3), open(4)];
        },
        |record| record.attempts.remembered[0].number = 1,
        |record| record.attempts.remembered[0].number = 0,
        |record| record.attempts.remembered[0].number = 3,
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut account = account("live");
        let RecordSlot::Live(record) = &mut account.slot else {
            panic!("the fixture is live")
        };
        edit(record);
        let refused = Account::decode(&account.encode()).unwrap_err();
        assert!(
            matches!(refused, Error::Contradiction(_)),
            "edit {index}: {refused}"
        );
    }
}

#[test]
fn more_pending_registrations_or_successes_than_are_kept_are_refused() {
    let mut pending = account("pending");
    for _ in 0..4 {
        pending.pending.push(account("pending").pending.remove(0));
    }
    assert!(matches!(
        Account::decode(&pending.encode()),
        Err(Error::Contradiction(_))
    ));

    let mut vault = Vault::registered(patient());
    for guess in 1..=9 {
        let attempt = vault.charge(guess);
        vault.succeed(attempt);
    }
    let RecordSlot::Live(record) = &mut vault.account.slot else {
        panic!("live")
    };
    let before = record.attempts.remembered[0].before;
    let charged_at = vault.time.now;
    record.attempts.remembered.push(RememberedSuccess {
        number: 1,
        charged_at,
        before,
    });
    assert!(matches!(
        Account::decode(&vault.account.encode()),
        Err(Error::Contradiction(_))
    ));

    let tombstone = vault.tombstone(0, DestructionReason::Reset);
    let account = Account {
        slot: RecordSlot::Destroyed(tombstone),
        pending: Vec::new(),
    };
    assert!(matches!(
        Account::decode(&account.encode()),
        Err(Error::Contradiction(_))
    ));
}

/// A changed stored format needs a new version byte, and still has to read these.
#[test]
fn stored_states_are_the_published_ones() {
    for (name, hex) in FIXTURES {
        let bytes = from_hex(hex);
        assert_eq!(
            lower::encode_string(&account(name).encode()),
            lower::encode_string(&bytes),
            "{name}"
        );
        assert_eq!(*Account::decode(&bytes).unwrap().encode(), bytes, "{name}");
    }
}

#[test]
fn stored_events_are_the_published_ones() {
    let fixtures: Vec<&str> = EVENTS.split_whitespace().collect();
    let events = all_events();
    let encoded: Vec<String> = events
        .iter()
        .map(|event| lower::encode_string(&event.encode()))
        .collect();
    assert_eq!(encoded, fixtures);
    for (fixture, event) in fixtures.iter().zip(events) {
        assert_eq!(Event::decode(&from_hex(fixture)), Ok(event));
    }
}

#[test]
fn truncated_and_longer_events_are_refused() {
    for event in all_events() {
        let mut bytes = event.encode();
        for length in 0..bytes.len() {
            assert!(Event::decode(&bytes[..length]).is_err());
        }
        bytes.push(0);
        assert_eq!(Event::decode(&bytes), Err(Error::Malformed));
    }
}

/// What is accepted is written again as the same bytes, and every command can be applied to it.
fn survives(bytes: &[u8]) {
    let _ = Event::decode(bytes);
    let Ok(account) = Account::decode(bytes) else {
        return;
    };
    assert_eq!(*account.encode(), bytes);
    let mut vault = Vault {
        account,
        ..Vault::new()
    };
    let generation = vault.account.generation();
    let _ = vault.start(200);
    for attempt in [1, 4, 5] {
        let _ = vault.finish(generation, attempt, true);
        let _ = vault.finish(generation, attempt, false);
    }
    vault.start_registration(9, patient());
    let _ = vault.send(vault.finish_of(9));
    let _ = vault.account.next_due(vault.time);
    vault.status();
}

#[test]
fn no_flipped_bit_makes_a_state_that_breaks() {
    for (name, _) in FIXTURES {
        let bytes = account(name).encode();
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            survives(&flipped);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_crash_the_decoder(tail in prop::collection::vec(any::<u8>(), 0..600)) {
        survives(&tail);
        survives(&[&[1], &tail[..]].concat());
        survives(&[&[1, 1], &tail[..]].concat());
    }

    #[test]
    fn no_edited_state_breaks(edits in prop::collection::vec(any::<(u16, u8)>(), 1..6)) {
        let mut bytes = account("live").encode().to_vec();
        for (position, byte) in edits {
            let position = usize::from(position) % bytes.len();
            bytes[position] = byte;
        }
        survives(&bytes);
    }
}
