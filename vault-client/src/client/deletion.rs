//! Switching the password off.

use vault_protocol::BackupKey;
use vault_protocol::messages::{AccountState, Status};

use super::sending::Sending;
use super::vault_client::VaultClient;
use crate::error::{Error, NoAnswer};
use crate::flows::Deletion;
use crate::transport::Transport;

/// How often a deletion is signed for a newer record of the same key before the call ends.
const MAX_DELETIONS: usize = 3;

impl<T: Transport> VaultClient<T> {
    /// Destroys the record of `key`. A registration that was begun earlier can make none any more, not
    /// even by a finish that was held back on its way. A record that is destroyed already is fine.
    /// [`Error::NotRegistered`]: there is none, and no earlier registration can make one.
    /// [`Error::NotThisKey`] if the live record is another key's: nothing was destroyed.
    ///
    /// After [`Error::UnknownOutcome`] or [`Error::Unavailable`] call it again, on this client.
    /// [`Error::TicketExpired`] then says that the record is a newer one by now, perhaps of another
    /// device, and that it was left alone: the next call takes it. Another client knows nothing of
    /// the first call, and takes it at once.
    pub async fn disable(&mut self, key: &BackupKey) -> Result<(), Error> {
        let status = self.status_to_delete().await?;
        self.delete_record(status, key).await
    }

    /// Destroys the record that `status` shows. The proof holds for one generation: another device with
    /// the same key may have changed the password since. The record is another key's only if its
    /// generation is still the one that the refused proof was for.
    pub(super) async fn delete_record(
        &mut self,
        mut status: Status,
        key: &BackupKey,
    ) -> Result<(), Error> {
        for _ in 0..MAX_DELETIONS {
            match self.delete(status.generation, key).await {
                Err(Error::NotThisKey) => {}
                ended => return ended,
            }
            let newer = match self.status_to_delete().await {
                // No answer to this question says what became of the deletion.
                Err(error) if self.deleting.is_some() => return Err(still_unknown(error)),
                newer => newer?,
            };
            if is_live(&newer) && newer.generation == status.generation {
                self.deleting = None;
                return Err(Error::NotThisKey);
            }
            status = newer;
        }
        Err(Error::TicketExpired)
    }

    /// The status, before a deletion is signed for its generation. While the outcome of an earlier
    /// deletion is unknown, none is signed for a newer record: another device may have registered that
    /// one because the former was deleted.
    pub(super) async fn status_to_delete(&mut self) -> Result<Status, Error> {
        let status = self.status().await?;
        match self.deleting {
            Some(generation) if is_live(&status) && status.generation != generation => {
                self.deleting = None;
                Err(Error::TicketExpired)
            }
            Some(_) | None => Ok(status),
        }
    }

    /// Sent whatever the status says: where there is no record, it drops pending registrations.
    async fn delete(&mut self, generation: u64, key: &BackupKey) -> Result<(), Error> {
        let deletion = Deletion::begin(self.vault_account().await?, generation, key);
        let request = deletion.request();
        let mut sending = Sending::new(&request, self.pauses());
        // Before the call, which may be cancelled.
        let was_sent = self.deleting.replace(generation) == Some(generation);
        let answer = self.call_while(&request, &mut sending).await?;
        let ended = deletion.finished(&answer).map(|_| ());
        // Refused when it was sent again, it may have been granted the first time.
        let is_repeated = was_sent || sending.is_repeated();
        if !(is_repeated && matches!(ended, Err(Error::NotThisKey))) {
            self.deleting = None;
        }
        ended
    }
}

fn is_live(status: &Status) -> bool {
    matches!(status.state, AccountState::Active | AccountState::Waiting)
}

/// While the outcome of a deletion is unknown, an error of another call does not make it known.
fn still_unknown(error: Error) -> Error {
    match error {
        Error::Network(reason) => Error::UnknownOutcome(reason),
        Error::Refused(refusal) => Error::UnknownOutcome(NoAnswer::Refused(refusal)),
        Error::StatementRefused(refused) => {
            Error::UnknownOutcome(NoAnswer::StatementRefused(refused))
        }
        error => error,
    }
}
