//! Policies and problems (PROTOCOL.md sections 2 and 8).

use serde_json::Value;
use vault_protocol::messages::DestructionReason;
use vault_protocol::problem::{InvalidRequest, Problem, ProblemDetails};
use vault_protocol::{Policy, Timestamp};

use crate::support::{list, number, text, vectors};

#[test]
fn policies_out_of_bounds_are_refused() {
    for vector in list(&vectors("policy.json")["refused"]) {
        let decoded = serde_json::from_str::<Policy>(text(&vector["json"]));
        assert!(decoded.is_err(), "{}", vector["reason"]);
    }
}

#[test]
fn policies_are_the_published_bytes_both_ways() {
    for vector in list(&vectors("policy.json")["accepted"]) {
        let waits = list(&vector["waits"]).iter().map(number).collect();
        let (limit, total) = (number(&vector["limit"]), number(&vector["total_limit"]));
        let policy = Policy::new(limit, total, waits).unwrap();
        let json = text(&vector["json"]);
        assert_eq!(serde_json::to_string(&policy).unwrap(), json);
        assert_eq!(serde_json::from_str::<Policy>(json).unwrap(), policy);
    }
}

fn problem(vector: &Value) -> Problem {
    let extra = &vector["extra"];
    let time = |name: &str| Timestamp::from_rfc3339(text(&extra[name])).expect("a time");
    match text(&vector["problem"]) {
        "invalid-request" => Problem::InvalidRequest {
            kind: kind(number(&vector["status"])),
            field: extra.get("field").map(|field| text(field).to_owned()),
        },
        "account-mismatch" => Problem::AccountMismatch,
        "ohttp-key" => Problem::OhttpKey,
        "unauthenticated" => Problem::Unauthenticated,
        "forbidden" => Problem::Forbidden,
        "wrong-password" => Problem::WrongPassword {
            attempts_remaining: number(&extra["attempts_remaining"]),
            retry_at: extra.get("retry_at").map(|_| time("retry_at")),
        },
        "not-registered" => Problem::NotRegistered,
        "already-registered" => Problem::AlreadyRegistered {
            generation: number(&extra["generation"]),
        },
        "ticket-expired" => Problem::TicketExpired,
        "destroyed" => Problem::Destroyed {
            destroyed_at: time("destroyed_at"),
            reason: reason(text(&extra["reason"])),
            generation: number(&extra["generation"]),
        },
        "too-large" => Problem::TooLarge,
        "waiting" => Problem::Waiting {
            retry_at: time("retry_at"),
        },
        "overloaded" => Problem::Overloaded,
        "unavailable" => Problem::Unavailable,
        other => panic!("{other} is no problem of ours"),
    }
}

fn kind(status: u64) -> InvalidRequest {
    match status {
        400 => InvalidRequest::Malformed,
        404 => InvalidRequest::Route,
        405 => InvalidRequest::Method,
        408 => InvalidRequest::Timeout,
        415 => InvalidRequest::MediaType,
        other => panic!("{other} is no status of invalid-request"),
    }
}

fn reason(name: &str) -> DestructionReason {
    match name {
        "exhausted" => DestructionReason::Exhausted,
        "deleted" => DestructionReason::Deleted,
        "reset" => DestructionReason::Reset,
        other => panic!("{other} is no reason of ours"),
    }
}

#[test]
fn answers_that_are_no_problem_of_ours_are_not_taken_for_one() {
    for vector in list(&vectors("problems.json")["unknown"]) {
        let details: ProblemDetails = serde_json::from_str(text(&vector["json"])).unwrap();
        let taken = Problem::from_details(&details);
        assert_eq!(taken, None, "{}", vector["reason"]);
    }
}

#[test]
fn problems_are_the_published_bytes_both_ways() {
    for vector in list(&vectors("problems.json")["problems"]) {
        let (problem, json) = (problem(vector), text(&vector["json"]));
        assert_eq!(serde_json::to_string(&problem.details()).unwrap(), json);
        assert_eq!(u64::from(problem.status()), number(&vector["status"]));
        let details: ProblemDetails = serde_json::from_str(json).unwrap();
        assert_eq!(Problem::from_details(&details), Some(problem));
    }
}

#[test]
fn unknown_fields_of_a_problem_are_ignored() {
    for vector in list(&vectors("problems.json")["problems"]) {
        let json = text(&vector["json"]).replacen('{', r#"{"later":{"a":[1]},"#, 1);
        let details: ProblemDetails = serde_json::from_str(&json).unwrap();
        assert_eq!(Problem::from_details(&details), Some(problem(vector)));
    }
}
