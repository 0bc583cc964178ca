//! Requests and answers (PROTOCOL.md section 6): each is written as the published JSON, and read
//! from it. Requests with unknown or repeated fields are refused; unknown fields of answers are
//! ignored (section 2).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};
use vault_protocol::messages::{
    AccountState, Deletion, DestructionReason, RegistrationFinish, RegistrationFinished,
    RegistrationStart, RegistrationStarted, Removed, Reset, RetrievalAbandon, RetrievalAbandoned,
    RetrievalFinish, RetrievalFinished, RetrievalStart, RetrievalStarted, Status,
};
use vault_protocol::{Binary, Policy, StretchingProfile, Ticket, Timestamp};

use crate::support::{bytes, hex, list, number, text, to_hex, vectors};

/// The published fields of one message, as values of this crate.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn binary<const N: usize>(&self, name: &str) -> Binary<N> {
        Binary(bytes(&self.0[name]))
    }

    fn ticket(&self) -> Ticket {
        Ticket(hex(&self.0["retrieval_ticket"]))
    }

    fn number(&self, name: &str) -> u64 {
        number(&self.0[name])
    }

    fn time(&self, name: &str) -> Timestamp {
        Timestamp::from_rfc3339(text(&self.0[name])).expect("a time")
    }

    fn maybe_time(&self, name: &str) -> Option<Timestamp> {
        self.0.get(name).map(|_| self.time(name))
    }

    fn profile(&self) -> Option<StretchingProfile> {
        let profile = self.0.get("stretching_profile").map(number)?;
        Some(StretchingProfile(
            u16::try_from(profile).expect("two bytes"),
        ))
    }

    fn policy(&self) -> Policy {
        let policy = &self.0["policy"];
        let waits = list(&policy["waits"]).iter().map(number).collect();
        let (limit, total) = (number(&policy["limit"]), number(&policy["total_limit"]));
        Policy::new(limit, total, waits).expect("a valid policy")
    }

    fn state(&self) -> AccountState {
        match text(&self.0["state"]) {
            "absent" => AccountState::Absent,
            "active" => AccountState::Active,
            "waiting" => AccountState::Waiting,
            "destroyed" => AccountState::Destroyed,
            other => panic!("{other} is no state of ours"),
        }
    }

    fn reason(&self) -> Option<DestructionReason> {
        self.0.get("reason").map(|reason| match text(reason) {
            "exhausted" => DestructionReason::Exhausted,
            "deleted" => DestructionReason::Deleted,
            "reset" => DestructionReason::Reset,
            other => panic!("{other} is no reason of ours"),
        })
    }

    fn finish(&self) -> RegistrationFinish {
        RegistrationFinish {
            registration_ticket: self.binary("registration_ticket"),
            registration_record: self.binary("registration_record"),
            wrapped_key: self.binary("wrapped_key"),
            stretching_profile: self.profile().expect("a profile"),
            management_key: self.binary("management_key"),
            replace_proof: self
                .0
                .get("replace_proof")
                .map(|proof| Binary(bytes(proof))),
        }
    }
}

fn write(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages can be written")
}

fn written_request(message: &str, fields: &Fields) -> String {
    match message {
        "registration/start" => write(&RegistrationStart {
            registration_request: fields.binary("registration_request"),
        }),
        "registration/finish" => write(&fields.finish()),
        "retrieval/start" => write(&RetrievalStart {
            credential_request: fields.binary("credential_request"),
        }),
        "retrieval/finish" => write(&RetrievalFinish {
            retrieval_ticket: fields.ticket(),
            credential_finalization: fields.binary("credential_finalization"),
        }),
        "retrieval/abandon" => write(&RetrievalAbandon {
            retrieval_ticket: fields.ticket(),
        }),
        "deletion" => write(&Deletion {
            proof: fields.binary("proof"),
        }),
        "reset" => write(&Reset {
            generation: fields.number("generation"),
        }),
        other => panic!("{other} is no request of ours"),
    }
}

fn written_answer(message: &str, fields: &Fields) -> String {
    let generation = fields.0["generation"].as_u64().expect("in every answer");
    match message {
        "registration/start" => write(&RegistrationStarted {
            registration_response: fields.binary("registration_response"),
            registration_ticket: fields.binary("registration_ticket"),
            policy: fields.policy(),
            generation,
            expires_at: fields.time("expires_at"),
        }),
        "registration/finish" => write(&RegistrationFinished {
            generation,
            policy: fields.policy(),
        }),
        "retrieval/start" => write(&RetrievalStarted {
            credential_response: fields.binary("credential_response"),
            retrieval_ticket: fields.ticket(),
            attempts_remaining: fields.number("attempts_remaining"),
            generation,
        }),
        "retrieval/finish" => write(&RetrievalFinished {
            released_key: fields.binary("released_key"),
            failures_since_success: fields.number("failures_since_success"),
            failures_in_generation: fields.number("failures_in_generation"),
            last_success_at: fields.maybe_time("last_success_at"),
            generation,
        }),
        "retrieval/abandon" => write(&RetrievalAbandoned {
            attempts_remaining: fields.number("attempts_remaining"),
            retry_at: fields.maybe_time("retry_at"),
            state: fields.state(),
            generation,
        }),
        "deletion" | "reset" => write(&Removed { generation }),
        "status" => write(&Status {
            state: fields.state(),
            generation,
            attempts_remaining: fields.number("attempts_remaining"),
            retry_at: fields.maybe_time("retry_at"),
            destroyed_at: fields.maybe_time("destroyed_at"),
            reason: fields.reason(),
            stretching_profile: fields.profile(),
            policy: fields.policy(),
        }),
        other => panic!("{other} is no answer of ours"),
    }
}

/// Reads the JSON as this message and writes what was read. Since no two values are written alike,
/// getting the same JSON back means that the very value was read.
fn read(message: &str, kind: &str, json: &str) -> Result<String, Error> {
    match (message, kind) {
        ("registration/start", "request") => reread::<RegistrationStart>(json),
        ("registration/start", "answer") => reread::<RegistrationStarted>(json),
        ("registration/finish", "request") => reread::<RegistrationFinish>(json),
        ("registration/finish", "answer") => reread::<RegistrationFinished>(json),
        ("retrieval/start", "request") => reread::<RetrievalStart>(json),
        ("retrieval/start", "answer") => reread::<RetrievalStarted>(json),
        ("retrieval/finish", "request") => reread::<RetrievalFinish>(json),
        ("retrieval/finish", "answer") => reread::<RetrievalFinished>(json),
        ("retrieval/abandon", "request") => reread::<RetrievalAbandon>(json),
        ("retrieval/abandon", "answer") => reread::<RetrievalAbandoned>(json),
        ("deletion", "request") => reread::<Deletion>(json),
        ("reset", "request") => reread::<Reset>(json),
        ("deletion" | "reset", "answer") => reread::<Removed>(json),
        ("status", "answer") => reread::<Status>(json),
        other => panic!("{other:?} is no message of ours"),
    }
}

fn reread<T: DeserializeOwned + Serialize>(json: &str) -> Result<String, Error> {
    serde_json::from_str::<T>(json).map(|message| write(&message))
}

/// Message, kind, JSON and fields of every vector.
fn for_each(check: impl Fn(&str, &str, &str, &Value)) {
    for vector in list(&vectors("messages.json")["messages"]) {
        let part = |name: &str| text(&vector[name]);
        check(
            part("message"),
            part("kind"),
            part("json"),
            &vector["fields"],
        );
    }
}

#[test]
fn malformed_requests_are_refused() {
    for vector in list(&vectors("messages.json")["refused"]) {
        let read = read(text(&vector["message"]), "request", text(&vector["json"]));
        assert!(read.is_err(), "{}", vector["reason"]);
    }
}

// Made to fail by removing `deny_unknown_fields` from any request in messages.rs.
#[test]
fn requests_with_an_unknown_field_are_refused_and_answers_are_not() {
    for_each(|message, kind, json, _| {
        let extended = json.replacen('{', r#"{"later":{"a":[1]},"#, 1);
        let read = read(message, kind, &extended);
        match kind {
            "request" => assert!(read.is_err(), "{message}"),
            _ => assert_eq!(read.unwrap(), json, "{message}"),
        }
    });
}

#[test]
fn messages_with_a_repeated_field_are_refused() {
    for_each(|message, kind, json, fields| {
        let whole: Value = serde_json::from_str(json).unwrap();
        for name in fields.as_object().unwrap().keys() {
            let again = format!(r#"{{"{name}":{},"#, whole[name]);
            let repeated = json.replacen('{', &again, 1);
            assert!(read(message, kind, &repeated).is_err(), "{message} {name}");
        }
    });
}

// `replace_proof` and what an answer carries only at times are the exceptions.
#[test]
fn requests_without_one_of_their_fields_are_refused() {
    for_each(|message, kind, json, fields| {
        for name in fields.as_object().unwrap().keys() {
            let mut whole: Value = serde_json::from_str(json).unwrap();
            whole.as_object_mut().unwrap().remove(name);
            let read = read(message, kind, &whole.to_string());
            if kind == "request" {
                assert_eq!(read.is_ok(), name == "replace_proof", "{message} {name}");
            }
        }
    });
}

// PROTOCOL.md section 4: opaque-ke's decoders accept trailing bytes, so the length is checked
// before. Made to fail by truncating in `Binary`'s deserialization.
#[test]
fn binary_fields_of_another_length_are_refused() {
    for_each(|message, kind, json, fields| {
        for (name, value) in fields.as_object().unwrap() {
            let Some(binary) = binary_field(name, value) else {
                continue;
            };
            for other in [&binary[1..], &[binary.as_slice(), &[0]].concat()] {
                let encoded = vault_protocol::binary::to_base64url(other);
                let mut whole: Value = serde_json::from_str(json).unwrap();
                whole[name] = encoded.into();
                let read = read(message, kind, &whole.to_string());
                assert!(read.is_err(), "{message} {name} of {} bytes", other.len());
            }
        }
    });
}

/// The bytes of a field of fixed length; all but the retrieval ticket are.
fn binary_field(name: &str, value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?;
    let is_binary = digits.len() >= 64 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    (is_binary && name != "retrieval_ticket").then(|| hex(value))
}

#[test]
fn messages_are_the_published_bytes_both_ways() {
    for_each(|message, kind, json, fields| {
        let written = match kind {
            "request" => written_request(message, &Fields(fields)),
            _ => written_answer(message, &Fields(fields)),
        };
        assert_eq!(written, json, "{message} {kind}");
        assert_eq!(read(message, kind, json).unwrap(), json, "{message} {kind}");
    });
}

#[test]
fn unknown_fields_of_an_answers_policy_are_ignored() {
    for_each(|message, kind, json, fields| {
        if kind == "answer" && fields.get("policy").is_some() {
            let extended = json.replacen(r#""policy":{"#, r#""policy":{"later":1,"#, 1);
            assert_ne!(extended, json);
            assert_eq!(read(message, kind, &extended).unwrap(), json, "{message}");
        }
    });
}

// The digest by which a repeated finish is known, and which a replacement signs, covers every
// field but the proof.
#[test]
fn a_finish_has_the_published_digest() {
    let published = &vectors("management.json")["replacement"]["finish_digest"];
    for_each(|message, kind, _, fields| {
        if (message, kind) == ("registration/finish", "request") {
            let finish = Fields(fields).finish();
            assert_eq!(to_hex(&finish.digest()), text(published));
        }
    });
}
