//! Registering, replacing and repeating.

use std::collections::BTreeMap;

use vault_protocol::{Binary, Policy, StretchingProfile};
use vault_rules::{
    CredentialIdentifier, Decision, FinishRegistration, Refusal, RegistrationRecord,
    StartRegistration, WrappedKey,
};

use crate::facts::Generation;
use crate::op::Proof;
use crate::secrets::{IDENTIFIER, RECORD, TICKET, WRAPPED, bytes, digest_of, scope, signer};
use crate::world::{Pending, World};

impl World {
    pub fn start_registration(&mut self, device: usize, policy: Policy) {
        self.drawn += 1;
        let number = self.drawn;
        let command = StartRegistration {
            time: self.time,
            credential_identifier: CredentialIdentifier::from_bytes(&bytes(IDENTIFIER, number)),
            registration_ticket: Binary(bytes(TICKET, number)),
            policy: policy.clone(),
        };
        let generation = self.apply(command).generation();
        assert_eq!(generation, self.facts.generation);
        self.pending[device] = Some(Pending {
            number,
            generation,
            policy,
        });
        self.started.push(number);
    }

    pub fn finish_registration(&mut self, device: usize, proof: Proof) {
        let Some(pending) = self.pending[device].clone() else {
            return;
        };
        let mut finish = self.finish_of(pending.number);
        let owner = self.facts.live.as_ref().map_or(0, |live| live.signer);
        let by = match proof {
            Proof::None => None,
            Proof::OfAnotherKey => Some(signer(pending.number)),
            Proof::Right => Some(signer(owner)),
        };
        let (generation, digest) = (pending.generation, digest_of(&finish));
        finish.replace_proof = by.map(|by| by.sign_replacement(&scope(), generation, &digest));

        let had_begun = self.last_finish == Some((pending.number, self.facts.generation));
        let Decision::Granted(registration) = self.apply(finish) else {
            return;
        };
        if had_begun {
            assert_eq!(
                registration.generation, self.facts.generation,
                "a repetition"
            );
            return;
        }
        let is_replacement = self.facts.live.is_some();
        let is_proven = matches!(proof, Proof::Right);
        assert!(
            is_proven || !is_replacement,
            "no record is replaced without its proof"
        );
        assert!(
            is_replacement || matches!(proof, Proof::None),
            "what was to be replaced is gone"
        );
        self.begin(pending, registration.generation);
    }

    fn begin(&mut self, pending: Pending, generation: u64) {
        assert_eq!(
            generation,
            self.facts.generation + 1,
            "generations_only_grow"
        );
        assert_eq!(
            pending.generation, self.facts.generation,
            "no ticket of another one"
        );
        let Pending { number, policy, .. } = pending;
        self.forget_record();
        self.forget_pending(Some(number));
        self.facts.generation = generation;
        let attempts = BTreeMap::new();
        self.facts.live = Some(Generation {
            policy,
            signer: number,
            attempts,
        });
        self.last_finish = Some((number, generation));
    }

    pub fn same_finish(&mut self) {
        let Some((number, generation)) = self.last_finish else {
            return;
        };
        let finish = self.finish_of(number);
        match self.apply(finish) {
            Decision::Granted(registration) => {
                assert_eq!(registration.generation, generation);
                assert_eq!(generation, self.facts.generation);
            }
            Decision::Refused(refusal) => {
                assert_eq!(refusal, Refusal::TicketExpired);
                assert!(
                    !self.account.is_live(),
                    "a live record knows its own finish"
                );
            }
        }
    }

    fn finish_of(&self, number: u8) -> FinishRegistration {
        FinishRegistration {
            time: self.time,
            scope: scope(),
            registration_ticket: Binary(bytes(TICKET, number)),
            registration_record: RegistrationRecord::from_bytes(&bytes(RECORD, number)),
            wrapped_key: WrappedKey::from_bytes(&bytes(WRAPPED, number)),
            stretching_profile: StretchingProfile::ONE,
            management_key: signer(number).management_key(),
            replace_proof: None,
        }
    }
}
