//! Registering (PROTOCOL.md section 6).

use super::*;

/// Fails when `FinishRegistration::decide` falls back to `account.pending.last()`.
#[test]
fn a_finish_with_an_unknown_ticket_is_refused() {
    let mut vault = Vault::new();
    vault.start_registration(1, patient());
    assert_eq!(
        refused(vault.send(vault.finish_of(2))),
        Refusal::TicketExpired
    );
    assert!(!vault.changed);
    assert!(vault.events.is_empty());
}

/// Fails when `apply_expiry` does not look at `pending`, or with `>=` in place of `>` there.
#[test]
fn a_finish_after_fifteen_minutes_is_refused_and_drops_the_registration() {
    let mut vault = Vault::new();
    let started = vault.start_registration(1, patient());
    assert_eq!(started.expires_at(), vault.now_plus(15 * MINUTE));
    vault.time.now = started.expires_at();
    assert_eq!(
        refused(vault.send(vault.finish_of(1))),
        Refusal::TicketExpired
    );
    assert!(vault.account.is_removable());
}

#[test]
fn a_finish_within_fifteen_minutes_is_granted() {
    let mut vault = Vault::new();
    let started = vault.start_registration(1, patient());
    vault.time.now = Timestamp::from_millis(started.expires_at().millis() - 1);
    assert_eq!(granted(vault.send(vault.finish_of(1))).generation, 1);
}

/// Fails when the check for `MAX_PENDING` in `StartRegistration::decide` is removed (the stored
/// state is then refused), or removes another than the first.
#[test]
fn a_fifth_pending_registration_drops_the_oldest() {
    let mut vault = Vault::new();
    for number in 1..=5 {
        vault.start_registration(number, patient());
    }
    assert_eq!(vault.account.pending.len(), 4);
    assert_eq!(
        refused(vault.send(vault.finish_of(1))),
        Refusal::TicketExpired
    );
    assert_eq!(granted(vault.send(vault.finish_of(2))).generation, 1);
}

/// Fails when `complete` does not clear `pending`.
#[test]
fn of_two_devices_that_register_at_once_one_wins_and_the_other_is_told() {
    let mut vault = Vault::new();
    vault.start_registration(1, patient());
    vault.start_registration(2, patient());
    assert_eq!(granted(vault.send(vault.finish_of(2))).generation, 1);
    assert!(vault.account.pending.is_empty());
    assert_eq!(
        refused(vault.send(vault.finish_of(1))),
        Refusal::TicketExpired
    );
    assert_eq!(vault.live().management_key, signer(2).management_key());
}

/// Fails when `refusal_to_replace` returns `None` for a missing proof.
#[test]
fn a_live_record_in_any_state_is_not_replaced_without_a_proof() {
    for (state, mut vault) in live_vaults() {
        vault.start_registration(2, patient());
        let refusal = refused(vault.send(vault.finish_of(2)));
        assert_eq!(
            refusal,
            Refusal::AlreadyRegistered { generation: 1 },
            "{state}"
        );
        assert!(!vault.changed, "{state}");
    }
}

/// Fails when `refusal_to_replace` does not call `verify_replacement`, or calls it with another
/// key, scope, generation or digest.
#[test]
fn a_live_record_is_not_replaced_with_a_proof_of_something_else() {
    let mut vault = Vault::registered(patient());
    vault.start_registration(2, patient());
    let finish = digest_of(&vault.finish_of(2));
    let elsewhere = AccountScope {
        account: "bob".parse().unwrap(),
        ..scope()
    };
    for proof in [
        signer(2).sign_replacement(&scope(), 1, &finish),
        signer(1).sign_replacement(&elsewhere, 1, &finish),
        signer(1).sign_replacement(&scope(), 2, &finish),
        signer(1).sign_replacement(&scope(), 1, &[0; 32]),
        signer(1).sign_deletion(&scope(), 1),
        Binary([0; 64]),
    ] {
        let finish = FinishRegistration {
            replace_proof: Some(proof),
            ..vault.finish_of(2)
        };
        assert_eq!(refused(vault.send(finish)), Refusal::Forbidden);
        assert!(!vault.changed);
        assert!(vault.events.is_empty());
    }
}

/// Fails when the record is looked at before the ticket.
#[test]
fn an_unknown_ticket_is_told_before_a_missing_proof() {
    let mut vault = Vault::registered(patient());
    assert_eq!(
        refused(vault.send(vault.finish_of(2))),
        Refusal::TicketExpired
    );
}

/// Fails when `finish_digest` leaves a field out, or `decide` compares the ticket only.
#[test]
fn a_finish_that_differs_in_one_field_is_no_repetition() {
    let mut vault = Vault::registered(patient());
    let same = || Vault::new().finish_of(1);
    let other = || Vault::new().finish_of(2);
    for finish in [
        FinishRegistration {
            registration_ticket: other().registration_ticket,
            ..same()
        },
        FinishRegistration {
            registration_record: other().registration_record,
            ..same()
        },
        FinishRegistration {
            wrapped_key: other().wrapped_key,
            ..same()
        },
        FinishRegistration {
            stretching_profile: StretchingProfile(2),
            ..same()
        },
        FinishRegistration {
            management_key: other().management_key,
            ..same()
        },
    ] {
        assert_eq!(refused(vault.send(finish)), Refusal::TicketExpired);
        assert!(!vault.changed);
    }
}

/// Fails when a tombstone keeps the digest, or when `destroy` does not clear `pending`.
#[test]
fn a_finish_started_before_a_destruction_is_refused_after_it() {
    let destructions: [fn(&mut Vault); 3] = [
        |vault| assert_eq!(vault.charge(1), 1),
        |vault| {
            assert_eq!(
                granted(vault.delete(signer(1).sign_deletion(&scope(), 1))).generation,
                1
            )
        },
        |vault| assert_eq!(granted(vault.reset(1)).generation, 1),
    ];
    for destroy in destructions {
        let mut vault = Vault::registered(policy(1, 1, &[]));
        vault.start_registration(2, patient());
        destroy(&mut vault);
        if vault.account.is_live() {
            assert!(matches!(vault.fail(1), Refusal::Destroyed(_)));
        }
        for number in [1, 2] {
            assert_eq!(
                refused(vault.send(vault.finish_of(number))),
                Refusal::TicketExpired
            );
            assert!(!vault.changed);
        }
    }
}

#[test]
fn a_start_is_remembered_and_changes_nothing_else() {
    let mut vault = Vault::new();
    let started = vault.start_registration(1, patient());
    assert_eq!(started.generation(), 0);
    assert_eq!(*started.policy(), patient());
    assert_eq!(
        started.credential_identifier().expose_secret(),
        &[0xc0 ^ 1; 32]
    );
    assert!(vault.events.is_empty());
    assert_eq!(vault.account.generation(), 0);
    assert!(!vault.account.is_live() && !vault.account.is_removable());

    let mut vault = Vault::registered(patient());
    vault.charge(1);
    assert_eq!(
        vault.start_registration(2, policy(1, 1, &[])).generation(),
        1
    );
    assert_eq!((vault.counters(), vault.open()), ((1, 0, 0), vec![1]));
    assert_eq!(vault.live().policy, patient());
}

#[test]
fn the_first_registration_begins_generation_one() {
    let mut vault = Vault::new();
    let started = vault.start_registration(1, patient());
    let finished = granted(vault.send(vault.finish_of(1)));
    assert_eq!(
        finished,
        Registration {
            generation: 1,
            policy: patient()
        }
    );
    assert_eq!(vault.events, [EventKind::Registered]);

    let record = vault.live();
    let sent = vault.finish_of(1);
    let identifier = started.credential_identifier().expose_secret();
    assert_eq!(record.credential_identifier.expose_secret(), identifier);
    let registered = record.registration_record.expose_secret();
    assert_eq!(registered, sent.registration_record.expose_secret());
    assert_eq!(
        record.wrapped_key.expose_secret(),
        sent.wrapped_key.expose_secret()
    );
    assert_eq!(record.management_key, sent.management_key);
    assert_eq!(vault.counters(), (0, 0, 0));
    assert!(vault.account.pending.is_empty());
}

/// Fails when the policy is taken from anywhere but the pending registration.
#[test]
fn the_policy_of_the_start_is_binding() {
    let mut vault = Vault::new();
    vault.start_registration(1, policy(2, 3, &[60]));
    vault.start_registration(2, patient());
    assert_eq!(
        granted(vault.send(vault.finish_of(1))).policy,
        policy(2, 3, &[60])
    );
    assert_eq!(vault.live().policy, policy(2, 3, &[60]));
}

/// Fails when the comparison with the record's digest in `FinishRegistration::decide` is removed.
#[test]
fn the_same_finish_again_gives_the_same_answer_and_refills_nothing() {
    for (state, mut vault) in live_vaults() {
        let (counters, open) = (vault.counters(), vault.open());
        let again = granted(vault.send(vault.finish_of(1)));
        assert_eq!(again.generation, 1, "{state}");
        assert_eq!(again.policy, vault.live().policy, "{state}");
        assert!(!vault.changed && vault.events.is_empty(), "{state}");
        assert_eq!(
            (vault.counters(), vault.open()),
            (counters, open),
            "{state}"
        );
    }
}

/// Fails when `complete` keeps the attempts, or does not add 1 to the generation.
#[test]
fn a_replacement_with_a_proof_begins_the_next_generation() {
    for (state, mut vault) in live_vaults() {
        let request = vault.open().first().map(|_| 1);
        vault.start_registration(2, policy(2, 3, &[60]));
        let finish = vault.with_proof(vault.finish_of(2), 1);
        let finished = granted(vault.send(finish));
        assert_eq!(
            finished,
            Registration {
                generation: 2,
                policy: policy(2, 3, &[60])
            }
        );
        assert_eq!(
            vault.events,
            [EventKind::Replaced, EventKind::Registered],
            "{state}"
        );
        assert_eq!(
            (vault.counters(), vault.open()),
            ((0, 0, 0), vec![]),
            "{state}"
        );
        let former = [0xd0 ^ 1; 16];
        assert!(
            !vault
                .account
                .encode()
                .windows(16)
                .any(|window| window == former)
        );

        // Tickets of the former generation are of no use, and its open request is charged anew.
        assert_eq!(
            refused(vault.finish(1, 1, true)),
            Refusal::TicketExpired,
            "{state}"
        );
        assert_eq!(
            refused(vault.abandon(1, 1)),
            Refusal::TicketExpired,
            "{state}"
        );
        if let Some(request) = request {
            assert_eq!(vault.charge(request), 1, "{state}");
        }
    }
}

#[test]
fn a_replacement_repeated_without_its_proof_is_still_the_same_finish() {
    let mut vault = Vault::registered(patient());
    vault.start_registration(2, patient());
    let finish = vault.with_proof(vault.finish_of(2), 1);
    granted(vault.send(finish));
    assert_eq!(granted(vault.send(vault.finish_of(2))).generation, 2);
    assert!(!vault.changed);
}

#[test]
fn after_a_destruction_registering_needs_no_proof_and_continues_the_generations() {
    let mut vault = Vault::registered(patient());
    granted(vault.reset(1));
    assert_eq!(vault.start_registration(2, patient()).generation(), 1);
    assert_eq!(granted(vault.send(vault.finish_of(2))).generation, 2);
    assert_eq!(vault.events, [EventKind::Registered]);
    assert!(vault.account.is_live());
}

#[test]
fn a_replacement_is_refused_where_nothing_is_to_be_replaced() {
    let mut vault = Vault::new();
    vault.start_registration(1, patient());
    let finish = FinishRegistration {
        replace_proof: Some(Binary([0; 64])),
        ..vault.finish_of(1)
    };
    assert_eq!(refused(vault.send(finish)), Refusal::TicketExpired);
    assert!(!vault.changed);
    assert_eq!(granted(vault.send(vault.finish_of(1))).generation, 1);
}
