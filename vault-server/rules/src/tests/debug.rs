//! What `Debug` prints.

use std::fmt::Debug;

use super::*;

fn assert_prints_nothing_secret(printed: &str) {
    let clue = ["171", "ab, ", "alice"]
        .into_iter()
        .find(|clue| printed.contains(clue));
    assert_eq!(clue, None, "{printed}");
}

/// Of the command, and of what it leads to.
fn run_printed<C: Command<Outcome: Debug> + Debug>(vault: &mut Vault, command: C) {
    assert_prints_nothing_secret(&format!("{command:?}"));
    let account = std::mem::replace(&mut vault.account, Account::absent());
    let step = command.apply(account);
    assert_prints_nothing_secret(&format!("{step:?}"));
    vault.account = step.account;
}

#[test]
fn no_secret_and_no_account_is_printed_by_debug() {
    let mut vault = Vault::new();
    let time = vault.time;
    run_printed(
        &mut vault,
        StartRegistration {
            time,
            credential_identifier: CredentialIdentifier::from_bytes(&[0xab; 32]),
            registration_ticket: Binary([0xab; 32]),
            policy: patient(),
        },
    );
    let finish = FinishRegistration {
        registration_ticket: Binary([0xab; 32]),
        registration_record: RegistrationRecord::from_bytes(&[0xab; 192]),
        wrapped_key: WrappedKey::from_bytes(&[0xab; 60]),
        ..vault.finish_of(2)
    };
    run_printed(&mut vault, finish);
    let (generation, attempt, verified) = (1, 1, true);
    run_printed(
        &mut vault,
        StartRetrieval {
            time,
            request_digest: Binary([0xab; 32]),
        },
    );
    run_printed(
        &mut vault,
        FinishRetrieval {
            time,
            generation,
            attempt,
            verified,
        },
    );
    run_printed(
        &mut vault,
        AbandonRetrieval {
            time,
            generation,
            attempt,
        },
    );
    run_printed(&mut vault, ReadStatus { time });
    run_printed(&mut vault, Sweep { time });
    run_printed(
        &mut vault,
        Delete {
            time,
            scope: scope(),
            proof: Binary([0xab; 64]),
        },
    );
    run_printed(&mut vault, Reset { time, generation });
}

#[test]
fn debug_tells_how_an_account_stands_and_nothing_else() {
    let mut vault = Vault::new();
    let started = vault.start_registration(1, patient());
    let account = |generation, state, pending| {
        format!(
            "Account {{ generation: {generation}, state: \"{state}\", pending: {pending}, .. }}"
        )
    };
    assert_eq!(format!("{:?}", vault.account), account(0, "absent", 1));
    assert_eq!(
        format!("{started:?}"),
        "StartedRegistration { generation: 0, expires_at: Timestamp(1800000900000), .. }"
    );
    granted(vault.send(vault.finish_of(1)));
    assert_eq!(format!("{:?}", vault.account), account(1, "live", 0));
    granted(vault.reset(1));
    assert_eq!(format!("{:?}", vault.account), account(1, "destroyed", 0));
}
