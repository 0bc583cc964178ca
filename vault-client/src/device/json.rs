//! The state as bytes: JSON, with its version. Version 1 is the command line's own, from before the
//! library had a state.

use std::io::Write as _;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{DeviceError, InvalidState};
use super::place::Place;
use super::state::{DeviceState, Known, Record};

/// The longest state, in bytes: far more than a device has to keep.
pub const MAX_LEN: usize = 64 * 1024;

const VERSION: u64 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    key: Option<Zeroizing<String>>,
    used: bool,
    place: Option<Place>,
    record: Record,
    elsewhere: Vec<Place>,
}

/// Read first: a later version may have any other field.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl DeviceState {
    /// The bytes to store, at most [`MAX_LEN`]. A process that can read them has the key.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let stored = Stored {
            version: VERSION,
            key: self.key.as_ref().map(|key| key.digits()),
            used: self.known.is_used,
            place: self.known.place.clone(),
            record: self.known.record.clone(),
            elsewhere: self.known.elsewhere.clone(),
        };
        // Cannot grow, so that no copy of the key is left behind.
        let mut text = Zeroizing::new(vec![0; MAX_LEN]);
        let mut free = text.as_mut_slice();
        serde_json::to_writer_pretty(&mut free, &stored).map_err(|_| DeviceError::TooLong)?;
        free.write_all(b"\n").map_err(|_| DeviceError::TooLong)?;
        let len = MAX_LEN - free.len();
        text.truncate(len);
        Ok(text)
    }

    /// Reads stored bytes.
    pub fn from_json(text: &[u8]) -> Result<Self, InvalidState> {
        // The JSON library's own words could repeat the digits.
        let damaged = |_| InvalidState::Damaged;
        if text.len() > MAX_LEN {
            return Err(InvalidState::Damaged);
        }
        let Versioned { version } = serde_json::from_slice(text).map_err(damaged)?;
        if version > VERSION {
            return Err(InvalidState::Newer { version });
        }
        if version < VERSION {
            return Err(InvalidState::Older { version });
        }
        let stored: Stored = serde_json::from_slice(text).map_err(damaged)?;
        let key = stored.key.map(|digits| digits.parse());
        let state = Self {
            key: key.transpose().map_err(|_| InvalidState::Damaged)?,
            known: Known {
                is_used: stored.used,
                place: stored.place,
                record: stored.record,
                elsewhere: stored.elsewhere,
            },
        };
        if !state.is_sound() {
            return Err(InvalidState::Damaged);
        }
        Ok(state)
    }

    /// A record has a place and a key; without a key there is a place at most.
    fn is_sound(&self) -> bool {
        let has_place = self.place().is_some() || *self.record() == Record::None;
        let has_key = self.key().is_some() || !(self.is_used() || self.may_be_registered());
        has_place && has_key
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, memory, place, reference};
    use super::*;
    use serde_json::{Value, json};

    const FIXTURE: &str = include_str!("../../tests/data/device/device-v2.json");

    fn state() -> DeviceState {
        let mut at = place("alice", &[1]);
        at.memory = memory("v", 7);
        let registered = Some((at.clone(), reference(&at, 3)));
        DeviceState::adopt(key(7), true, registered, vec![place("alice", &[2])])
    }

    fn text(state: &DeviceState) -> String {
        String::from_utf8(state.to_json().unwrap().to_vec()).unwrap()
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<DeviceState, InvalidState> {
        let mut value: Value = serde_json::from_str(FIXTURE).unwrap();
        change(&mut value);
        DeviceState::from_json(value.to_string().as_bytes())
    }

    /// The format is a promise to later versions.
    #[test]
    fn a_state_of_version_2_is_read_and_written() {
        let read = DeviceState::from_json(FIXTURE.as_bytes()).unwrap();
        assert!(read.key().unwrap().is_same(&key(7)));
        assert_eq!(read.known, state().known);
        assert_eq!(text(&read), FIXTURE);
        let empty = text(&DeviceState::new());
        assert_eq!(
            text(&DeviceState::from_json(empty.as_bytes()).unwrap()),
            empty
        );
    }

    // Fails if one of the nested types lacks `deny_unknown_fields`.
    #[test]
    fn an_unknown_field_is_refused_at_every_depth() {
        for depth in [
            "",
            "/record/registered",
            "/place",
            "/place/memory",
            "/place/memory/seen",
            "/elsewhere/0",
        ] {
            let read = changed(|value| value.pointer_mut(depth).unwrap()["other"] = 1.into());
            assert_eq!(read.unwrap_err(), InvalidState::Damaged, "{depth}");
        }
        for pending in ["registering", "deleting"] {
            let record = |other: &str| json!({pending: {"former": null, other: 1}});
            let read = changed(|value| value["record"] = record("other"));
            assert_eq!(read.unwrap_err(), InvalidState::Damaged);
            assert!(changed(|value| value["record"] = json!({pending: {"former": null}})).is_ok());
        }
    }

    #[test]
    fn what_is_no_state_is_told_apart_from_a_newer_one() {
        let version = |version: u64| changed(|value| value["version"] = version.into());
        let (newer, older) = (version(3).unwrap_err(), version(1).unwrap_err());
        assert_eq!(newer, InvalidState::Newer { version: 3 });
        assert_eq!(older, InvalidState::Older { version: 1 });
        let anything = DeviceState::from_json(br#"{"version":4,"anything":[]}"#);
        assert!(matches!(anything, Err(InvalidState::Newer { version: 4 })));
        for text in ["", "{}", r#"{"version":2}"#] {
            let read = DeviceState::from_json(text.as_bytes());
            assert_eq!(read.unwrap_err(), InvalidState::Damaged);
        }
        // A key that is used, or may be registered, is there; and so is the place of a record.
        let damages: [fn(&mut Value); 6] = [
            |value| value["key"] = "12".into(),
            |value| value["key"] = Value::Null,
            |value| value["place"] = Value::Null,
            |value| value["record"] = "other".into(),
            |value| drop(value.as_object_mut().unwrap().remove("elsewhere")),
            |value| {
                value["key"] = Value::Null;
                value["used"] = false.into();
                value["record"] = "none".into();
            },
        ];
        for damage in damages {
            assert_eq!(changed(damage).unwrap_err(), InvalidState::Damaged);
        }
    }

    // Fails if `to_json` has room for any length: the key could not be read again.
    #[test]
    fn what_would_not_be_read_again_is_not_written() {
        let mut state = state();
        let mut long = |len| {
            let address = "t".repeat(len);
            state.known.place.as_mut().unwrap().address = address;
            state.to_json()
        };
        assert!(matches!(long(MAX_LEN), Err(DeviceError::TooLong)));
        let room = MAX_LEN - long(0).unwrap().len();
        assert!(matches!(long(room + 1), Err(DeviceError::TooLong)));
        let longest = long(room).unwrap();
        assert_eq!(longest.len(), MAX_LEN);
        assert!(DeviceState::from_json(&longest).is_ok());
        let mut longer = longest.to_vec();
        longer.push(b' ');
        let refused = DeviceState::from_json(&longer);
        assert!(matches!(refused, Err(InvalidState::Damaged)));
    }
}
