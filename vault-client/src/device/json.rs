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
    /// What to store, at most [`MAX_LEN`] bytes. Whoever can read it has the key.
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

    /// Reads what was stored.
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
