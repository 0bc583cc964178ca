//! Commands as values: written, read, printed, dispatched.

use super::*;
use crate::command::Outcome;

fn all(vault: &Vault) -> Vec<Command> {
    let clock = vault.clock;
    vec![
        Command::StartRegistration(StartRegistration {
            clock,
            credential_identifier: CredentialIdentifier::from_bytes(&[0xab; 32]),
            registration_ticket: Binary([0xab; 32]),
            policy: patient(),
        }),
        Command::FinishRegistration(FinishRegistration {
            registration_ticket: Binary([0xab; 32]),
            registration_record: RegistrationRecord::from_bytes(&[0xab; 192]),
            wrapped_key: WrappedKey::from_bytes(&[0xab; 60]),
            ..vault.finish_of(2)
        }),
        Command::StartRetrieval(StartRetrieval {
            clock,
            request_digest: Binary([0xab; 32]),
        }),
        Command::FinishRetrieval(FinishRetrieval {
            clock,
            generation: 1,
            attempt: 1,
            verified: true,
        }),
        Command::AbandonRetrieval(AbandonRetrieval {
            clock,
            generation: 1,
            attempt: 1,
        }),
        Command::Status(StatusCommand { clock }),
        Command::Sweep(Sweep { clock }),
        Command::Delete(Delete {
            clock,
            scope: scope(),
            proof: Binary([0xab; 64]),
        }),
        Command::Reset(Reset {
            clock,
            generation: 2,
        }),
    ]
}

#[test]
fn no_secret_and_no_account_is_printed_by_debug() {
    let mut vault = Vault::new();
    for command in all(&vault) {
        let printed = format!("{command:?}");
        let clue = ["171", "ab, ", "alice"]
            .into_iter()
            .find(|clue| printed.contains(clue));
        assert_eq!(clue, None, "{printed}");
        vault.step(|account| {
            let step = apply(account, command);
            let printed = format!("{step:?}");
            assert!(!printed.contains("171"), "{printed}");
            step
        });
    }
}

#[test]
fn debug_tells_how_an_account_stands_and_nothing_else() {
    let mut vault = Vault::new();
    let enrolment = vault.start_registration(1, patient());
    let account = |generation, state, pending| {
        format!(
            "Account {{ generation: {generation}, state: \"{state}\", pending: {pending}, .. }}"
        )
    };
    assert_eq!(format!("{:?}", vault.account), account(0, "absent", 1));
    assert_eq!(
        format!("{enrolment:?}"),
        "Enrolment { generation: 0, expires_at: Timestamp(1800000900000), .. }"
    );
    granted(vault.send(vault.finish_of(1)));
    assert_eq!(format!("{:?}", vault.account), account(1, "live", 0));
    granted(vault.reset(1));
    assert_eq!(format!("{:?}", vault.account), account(1, "destroyed", 0));
}

/// Replicas apply what was written.
#[test]
fn commands_that_were_written_and_read_have_the_same_effect() {
    let mut direct = Vault::new();
    let mut replica = Vault::new();
    let commands = all(&direct).into_iter().zip(all(&replica));
    for (command, original) in commands {
        let written = postcard::to_allocvec(&original).unwrap();
        let read: Command = postcard::from_bytes(&written).unwrap();
        direct.step(|account| apply(account, command));
        replica.step(|account| apply(account, read));
        assert_eq!(*direct.account.encode(), *replica.account.encode());
        assert_eq!(direct.events, replica.events);
    }
    assert_eq!(direct.account.generation(), 1);
    assert_eq!(direct.counters(), (1, 1, 1));
}

#[test]
fn each_command_has_its_own_outcome() {
    let mut vault = Vault::new();
    let outcomes: Vec<Outcome> = all(&vault)
        .into_iter()
        .map(|c| vault.step(|account| apply(account, c)))
        .collect();
    assert!(matches!(
        outcomes[..],
        [
            Outcome::StartRegistration(_),
            Outcome::FinishRegistration(Decision::Granted(_)),
            Outcome::StartRetrieval(Decision::Granted(_)),
            Outcome::FinishRetrieval(Decision::Granted(_)),
            Outcome::AbandonRetrieval(Decision::Granted(_)),
            Outcome::Status(_),
            Outcome::Sweep,
            Outcome::Delete(Decision::Refused(Refusal::Forbidden)),
            Outcome::Reset(Decision::Refused(Refusal::AlreadyRegistered {
                generation: 1
            })),
        ]
    ));
}

/// The only part of a command that can be missing. Fails when `optional_binary` reads it as such.
#[test]
fn a_proof_that_was_written_and_read_is_still_one() {
    let mut vault = Vault::registered(patient());
    vault.start_registration(2, patient());
    let finish = Command::FinishRegistration(vault.with_proof(vault.finish_of(2), 1));
    let written = postcard::to_allocvec(&finish).unwrap();
    let read: Command = postcard::from_bytes(&written).unwrap();
    vault.step(|account| apply(account, read));
    assert_eq!(vault.account.generation(), 2);
}
