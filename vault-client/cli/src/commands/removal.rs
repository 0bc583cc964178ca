//! Deleting the records of this device's key, wherever there may be one.

use serde_json::{Value, json};
use vault_client::device::{Deleted, DeviceError, DeviceState, Place, Record};

use crate::connection;
use crate::context::{Context, Online, open};
use crate::error::{CliError, Sent};
use crate::output::Screen;
use crate::state::StateFile;
use crate::work;

/// The end of the record at one place.
pub(super) struct Ended {
    place: Place,
    /// `None`: its end is not known, and the user goes on without.
    deleted: Option<Deleted>,
}

/// The device after its records were deleted or left.
pub(super) struct Removed {
    pub(super) file: StateFile,
    pub(super) state: DeviceState,
    pub(super) ended: Vec<Ended>,
}

/// Where a vault may have a record of the key: first the place that the device talks to.
pub(super) fn known(state: &DeviceState) -> Vec<Place> {
    let is_pending_here = *state.record() != Record::None;
    let here = state.place().filter(|_| is_pending_here);
    here.into_iter().chain(state.elsewhere()).cloned().collect()
}

/// Asks for the deletion at each of `places`. With `leaves` it goes on where that fails, and the
/// place stays named in the state; without, the record that could not be deleted stays the device's.
pub(super) async fn delete_records(
    context: &Context,
    mut file: StateFile,
    mut state: DeviceState,
    places: Vec<Place>,
    leaves: bool,
) -> Result<Removed, CliError> {
    let screen = context.screen;
    let (mut ended, mut failed) = (Vec::new(), None);
    for place in places {
        let result = match connection::transport(&place, screen) {
            Ok(transport) => {
                let mut device = open(transport, place.clone(), state, file);
                let result = delete_record(&mut device, screen).await?;
                (state, file) = device.into_parts();
                result
            }
            Err(error) => Err(error),
        };
        let deleted = match result {
            Ok(deleted) => Some(deleted),
            Err(error) if leaves => {
                let place = connection::describe(&place);
                screen.warn(&format!("{place}: {}", error.message));
                None
            }
            // The other places are asked all the same: one vault that is gone does not stand in the
            // way.
            Err(error) => {
                screen.warn(&format!(
                    "whether a record is left at {} is not known; if it cannot be deleted there any more, vault-client disable --leave-record goes on without",
                    connection::describe(&place),
                ));
                failed.get_or_insert(error);
                continue;
            }
        };
        if deleted.is_none() && is_here(&state, &place) {
            state.leave_record()?;
            file.save(&state)?;
        }
        ended.push(Ended { place, deleted });
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(Removed { file, state, ended }),
    }
}

/// Ctrl-C, and a state that cannot be stored, are no reason to go to the next place.
async fn delete_record(
    device: &mut Online,
    screen: Screen,
) -> Result<Result<Deleted, CliError>, CliError> {
    match work::online(screen, "Deleting the record …", device.disable()).await {
        None => Err(CliError::unknown(Sent::Deletion, None)),
        Some(Err(error @ (DeviceError::NotStored(_) | DeviceError::TooLong))) => Err(error.into()),
        Some(result) => Ok(result.map_err(|error| CliError::change(Sent::Deletion, error))),
    }
}

/// Whether the device's own record is, or may be, at `place`.
fn is_here(state: &DeviceState, place: &Place) -> bool {
    let is_place = state.place().is_some_and(|here| here.is_same(place));
    is_place && *state.record() != Record::None
}

/// Which places have to be asked, for the question beforehand.
pub(super) fn places(places: &[Place]) -> String {
    let places: Vec<String> = places.iter().map(connection::describe).collect();
    places.join(", ")
}

/// For people, one line a record.
pub(super) fn words(ended: &[Ended]) -> String {
    let lines: Vec<String> = ended.iter().map(Ended::words).collect();
    lines.join("\n")
}

/// For programs.
pub(super) fn json(ended: &[Ended]) -> Value {
    ended.iter().map(Ended::json).collect()
}

pub(super) fn is_any_deleted(ended: &[Ended]) -> bool {
    let mut ended = ended.iter();
    ended.any(|ended| ended.deleted == Some(Deleted::Record))
}

impl Ended {
    fn words(&self) -> String {
        let place = connection::describe(&self.place);
        match self.deleted {
            Some(Deleted::Record) => format!("The record at {place} is deleted."),
            Some(Deleted::Nothing) => format!("There was no record at {place}."),
            Some(Deleted::OfAnotherKey) => format!(
                "The record at {place} belongs to another key than this device's: it stays as it is, and its password does not open this key."
            ),
            None => format!(
                "The record at {place} may still be there, and then its password opens the key."
            ),
        }
    }

    fn json(&self) -> Value {
        json!({
            "tenant": self.place.tenant,
            "account": self.place.account,
            "record": match self.deleted {
                Some(Deleted::Record) => "deleted",
                Some(Deleted::Nothing) => "none",
                Some(Deleted::OfAnotherKey) => "of-another-key",
                None => "left",
            },
        })
    }
}
