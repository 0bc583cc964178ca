//! Deleting the records of this device's key, wherever there may be one.

use serde_json::{Value, json};

use super::super::connection::Connection;
use super::super::device::{Device, StateFile};
use super::super::failure::{Failure, Sent};
use super::super::output::Screen;
use super::super::work::{self, Deleted};
use super::learnt;

/// What became of the record at one place.
pub struct Ended {
    place: Connection,
    /// `None`: nobody knows, and the user goes on without.
    deleted: Option<Deleted>,
}

/// Asks for the deletion at every place that `device` knows of, and takes the places out that are
/// done. With `leaves` it goes on where that fails; without, what failed stays known, and so does
/// the key.
pub async fn delete_records(
    file: &mut StateFile,
    device: &mut Device,
    leaves: bool,
    screen: Screen,
) -> Result<Vec<Ended>, Failure> {
    let mut ended = Vec::new();
    let mut failed = None;
    for place in device.places.clone() {
        let deleted = match delete_record(file, device, &place, screen).await {
            Ok(deleted) => Some(deleted),
            Err(failure) if is_about_this_device(&failure) => return Err(failure),
            Err(failure) if leaves => {
                screen.warn(&format!("{}: {}", place.place(), failure.message()));
                None
            }
            // The other places are asked all the same: one vault that is gone stands in nobody's way.
            Err(failure) => {
                screen.warn(&format!(
                    "whether a record is left at {} is not known; if it cannot be deleted there any more, vault-client disable --leave-records goes on without",
                    place.place(),
                ));
                failed.get_or_insert(failure);
                continue;
            }
        };
        ended.push(Ended { place, deleted });
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(ended),
    }
}

/// Which places `device` has to ask, for the question beforehand.
pub fn places(device: &Device) -> String {
    let places: Vec<String> = device.places.iter().map(Connection::place).collect();
    places.join(", ")
}

/// What became of the records, one line each.
pub fn words(ended: &[Ended]) -> String {
    let lines: Vec<String> = ended.iter().map(Ended::words).collect();
    lines.join("\n")
}

/// The same for programs.
pub fn json(ended: &[Ended]) -> Value {
    ended.iter().map(Ended::json).collect()
}

/// Whether anything was deleted.
pub fn is_any_deleted(ended: &[Ended]) -> bool {
    ended
        .iter()
        .any(|ended| ended.deleted == Some(Deleted::Record))
}

impl Ended {
    fn words(&self) -> String {
        let place = self.place.place();
        match self.deleted {
            Some(Deleted::Record) => format!("The record at {place} is deleted."),
            Some(Deleted::Nothing) => format!("There was no record at {place}."),
            Some(Deleted::NothingOfThisKey) => format!(
                "The record at {place} belongs to another key than this device's: it stays as it is, and its password does not open this key."
            ),
            None => format!(
                "The record at {place} may still be there, and then its password opens the key."
            ),
        }
    }

    fn json(&self) -> Value {
        json!({
            "tenant": self.place.tenant(),
            "account": self.place.account(),
            "record": match self.deleted {
                Some(Deleted::Record) => "deleted",
                Some(Deleted::Nothing) => "none",
                Some(Deleted::NothingOfThisKey) => "of-another-key",
                None => "left",
            },
        })
    }
}

async fn delete_record(
    file: &mut StateFile,
    device: &mut Device,
    place: &Connection,
    screen: Screen,
) -> Result<Deleted, Failure> {
    let mut connection = place.clone();
    let mut client = connection.client(screen)?;
    let work = work::delete(&mut client, &device.key);
    let result = work::sending(screen, "Deleting the record …", Sent::Deletion, work).await;
    let deleted = learnt(result, &client, &mut connection, file);
    device.learn(&connection);
    let deleted = deleted?;
    device.remove_place(&connection);
    file.store(device)?;
    Ok(deleted)
}

/// Ctrl-C, or a state that cannot be stored: no reason to go to the next place.
fn is_about_this_device(failure: &Failure) -> bool {
    matches!(failure, Failure::Unknown(_, None) | Failure::State(_))
}
