//! Preparing a password (PROTOCOL.md section 3).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;
use unicode_general_category::{GeneralCategory, get_general_category};
use vault_protocol::password::{InvalidPassword, Password};

use crate::support::{list, number_of_hex, text, to_hex, vectors};

#[test]
fn unusable_passwords_are_refused_for_the_published_reason() {
    for vector in list(&vectors("password.json")["refused"]) {
        let refusal = Password::prepare(text(&vector["typed"])).unwrap_err();
        let reason = match refusal {
            InvalidPassword::Empty => "empty",
            InvalidPassword::TooLong => "too-long",
            InvalidPassword::ControlCharacter => "control-character",
        };
        assert_eq!(reason, text(&vector["reason"]), "{}", vector["about"]);
    }
}

#[test]
fn lone_surrogates_cannot_become_text() {
    for vector in list(&vectors("password.json")["refused_utf16"]) {
        let units: Vec<u16> = list(&vector["typed_utf16"])
            .iter()
            .map(|unit| u16::try_from(number_of_hex(unit)).unwrap())
            .collect();
        assert!(String::from_utf16(&units).is_err(), "{units:x?}");
    }
}

// Made to fail by removing `.map(plain_space)` or `.nfc()` from `Password::prepare`.
#[test]
fn passwords_are_prepared_to_the_published_bytes() {
    for vector in list(&vectors("password.json")["prepared"]) {
        let prepared = Password::prepare(text(&vector["typed"])).unwrap();
        let bytes = to_hex(prepared.expose_secret().as_bytes());
        assert_eq!(bytes, text(&vector["prepared_hex"]), "{}", vector["about"]);
    }
}

#[test]
fn preparing_twice_changes_nothing() {
    for vector in list(&vectors("password.json")["prepared"]) {
        let once = Password::prepare(text(&vector["typed"])).unwrap();
        let twice = Password::prepare(once.expose_secret()).unwrap();
        assert_eq!(once.expose_secret(), twice.expose_secret());
    }
}

// A device with other tables would prepare another password from the same keys. Unicode promises
// that Cc never changes, and has left Zs alone since 6.3; this fails if our tables ever differ.
#[test]
fn exactly_the_published_characters_are_refused_and_mapped() {
    let file = vectors("password.json");
    let spaces = list(&file["space_separators"]).iter().map(number_of_hex);
    let controls = list(&file["control_characters"]).iter().flat_map(range);
    let (spaces, controls): (BTreeSet<_>, BTreeSet<_>) = (spaces.collect(), controls.collect());
    let of_category = |category| {
        let of_it = ('\0'..=char::MAX).filter(|c| get_general_category(*c) == category);
        of_it.map(u32::from).collect::<BTreeSet<_>>()
    };
    assert_eq!(of_category(GeneralCategory::Control), controls);
    assert_eq!(of_category(GeneralCategory::SpaceSeparator), spaces);

    let prepare = |code| {
        let character = char::from_u32(code).unwrap();
        Password::prepare(&format!("a{character}b"))
    };
    for code in controls {
        let refusal = prepare(code).unwrap_err();
        assert_eq!(refusal, InvalidPassword::ControlCharacter, "{code:x}");
    }
    for code in spaces {
        assert_eq!(prepare(code).unwrap().expose_secret(), "a b", "{code:x}");
    }
}

fn range(value: &Value) -> RangeInclusive<u32> {
    let (first, last) = text(value).split_once('-').expect("a range");
    let number = |digits| u32::from_str_radix(digits, 16).expect("a hexadecimal number");
    number(first)..=number(last)
}

// Not a rule of the protocol: it sends an update of the tables to the comment in password.rs.
#[test]
fn the_unicode_versions_are_the_ones_that_password_rs_names() {
    assert_eq!(unicode_normalization::UNICODE_VERSION, (18, 0, 0));
    assert_eq!(unicode_general_category::UNICODE_VERSION, (16, 0, 0));
}
