//! `enable`: makes K, or keeps it, and protects it.

use anyhow::Context as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use vault_client::error::Error;
use vault_client::flows::Registered;
use vault_client::protection::{Protection as Found, Reason};
use vault_client::{BackupKey, Policy};
use vault_protocol::messages::{AccountState, DestructionReason, Status};
use zeroize::Zeroizing;

use super::super::Context;
use super::super::arguments::Enable;
use super::super::connection::Connection;
use super::super::device::{Device, Protection, StateError, StateFile};
use super::super::failure::{Failure, Sent};
use super::super::output::{Outcome, Screen, show_digits, since};
use super::super::{secrets, work};
use super::status::describe_need;
use super::{
    describe_policy, describe_reason, finish_registration, learnt, removal, store_registered,
};

pub async fn run(context: &Context, options: Enable) -> Result<Outcome, Failure> {
    let mut file = StateFile::open(&context.state)?;
    let held = file.load()?;
    let given = options.key.read(context.screen)?;
    if options.key_only {
        key_only(context, &mut file, held, given, options.yes).await
    } else {
        by_password(context, &mut file, held, given, &options).await
    }
}

async fn key_only(
    context: &Context,
    file: &mut StateFile,
    held: Option<Device>,
    given: Option<BackupKey>,
    yes: bool,
) -> Result<Outcome, Failure> {
    let screen = context.screen;
    let Chosen { mut device, .. } = the_key(held, given)?;
    let (mut text, digits) = digits_to_write_down(&device.key);
    let mut ended = Vec::new();
    if !device.places.is_empty() {
        let question = format!(
            "The record at {} will be deleted: the password will open nothing any more, only the 64 digits and this device.",
            removal::places(&device)
        );
        secrets::confirm(&question, yes, screen).await?;
        // Before the other way to the key is gone.
        screen.show(&text).context("cannot show the 64 digits")?;
        ended = removal::delete_records(file, &mut device, false, screen).await?;
        text = Zeroizing::new(removal::words(&ended));
    }
    device.protection = Protection::KeyOnly;
    file.store(&device)?;
    let json = json!({
        "mode": "key-only",
        "key_id": device.key.key_id().to_string(),
        "digits": digits,
        "record_deleted": removal::is_any_deleted(&ended),
        "records": removal::json(&ended),
    });
    Ok(Outcome { text, json })
}

fn digits_to_write_down(key: &BackupKey) -> (Zeroizing<String>, Value) {
    let (lines, digits) = show_digits(key);
    // Room for all of it: growing would leave copies of the digits behind.
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str("These 64 digits are the key to your backups. Write them down and keep them safe;\nwithout them and without this device the backups are lost.\n\n");
    text.push_str(&lines);
    text.push_str("\n\nKey id: ");
    text.push_str(&key.key_id().to_string());
    (text, digits)
}

async fn by_password(
    context: &Context,
    file: &mut StateFile,
    held: Option<Device>,
    given: Option<BackupKey>,
    options: &Enable,
) -> Result<Outcome, Failure> {
    let screen = context.screen;
    let is_drawn = given.is_none();
    let mut chosen = the_key(held, given)?;
    let stored = file.connection()?;
    let mut connection = options.connection.resolve(stored.as_ref())?;
    let mut client = connection.client(screen)?;
    let about_user = [connection.account().as_str(), connection.tenant().as_str()];
    // A weak one in a file is refused before anything is sent. Somebody who types it is told first
    // whether it has to be another one than before.
    let early = match chosen.device.protection {
        Protection::Password(_) => None,
        Protection::Unfinished | Protection::KeyOnly => {
            let is_in_file = options.password.is_in_file();
            let choose = || options.password.choose(&about_user, screen);
            is_in_file.then(choose).transpose()?
        }
    };
    let status = work::online(screen, "Asking the vault …", client.status()).await;
    let status = learnt(status, &client, &mut connection, file)?;
    let Some(sent) = needed(
        &chosen.device,
        stored.as_ref(),
        &connection,
        &status,
        screen,
    )?
    else {
        chosen.device.move_to(connection);
        file.store(&chosen.device)?;
        return Ok(already(&chosen.device));
    };
    let is_replacement = replaces_live_record(&status, chosen.is_new && is_drawn)?;
    allow_after_destroyed(&status, options.after_destroyed, screen).await?;
    let password = match early {
        Some(password) => password,
        None => {
            let about_user = [connection.account().as_str(), connection.tenant().as_str()];
            options.password.choose(&about_user, screen)?
        }
    };
    // A new K is on the disk before the vault hears of it. Of one that is there already nothing
    // changes until the new registration is done.
    if chosen.is_new {
        chosen.device.connection = Some(connection.clone());
        file.store(&chosen.device)?;
    }
    let current = is_replacement.then_some(&chosen.device.key);
    let prepare = client.prepare(password, &chosen.device.key, current);
    let prepared = work::online(screen, "Stretching the password …", prepare).await;
    let prepared = match learnt(prepared, &client, &mut connection, file) {
        Ok(prepared) => prepared,
        Err(failure) => return Err(chosen.put_back(file, failure)),
    };
    chosen.mark_sent(file, &connection)?;
    let registered = finish_registration(&mut client, &prepared, sent, screen).await;
    let registered = match learnt(registered, &client, &mut connection, file) {
        Ok(registered) => registered,
        Err(failure) if is_untouched(&failure) => return Err(chosen.put_back(file, failure)),
        Err(failure) => return Err(failure),
    };
    let device = store_registered(file, chosen.device, connection, &registered)?;
    Ok(done(&device, &registered))
}

fn done(device: &Device, registered: &Registered) -> Outcome {
    let key_id = device.key.key_id().to_string();
    let enrolled = &registered.registration;
    let text = format!(
        "The key {key_id} is protected by your password, at the vault {}.\n{}.\nBack up with: vault-client backup FOLDER",
        enrolled.vault,
        describe_policy(&registered.policy),
    );
    let json = json!({
        "mode": "password",
        "key_id": key_id,
        "vault": enrolled.vault,
        "generation": enrolled.generation,
        "policy": registered.policy,
        "already": false,
    });
    Outcome::new(text, json)
}

/// The K to protect.
struct Chosen {
    device: Device,
    /// The device did not hold it before.
    is_new: bool,
    /// What comes back if nothing is registered: what a new K takes the place of, or the same K as
    /// it was protected before.
    former: Option<Device>,
}

impl Chosen {
    /// On the disk before the vault can have a record: whoever switches the password off, after an
    /// outcome that stayed unknown, has to delete it there, too.
    fn mark_sent(&mut self, file: &mut StateFile, at: &Connection) -> Result<(), StateError> {
        if !self.is_new {
            self.former = file.load()?;
        }
        match self.device.protection {
            // What protects the key now stays the one to ask.
            Protection::Password(_) => self.device.add_place(at),
            Protection::Unfinished | Protection::KeyOnly => self.device.move_to(at.clone()),
        }
        file.store(&self.device)
    }

    /// Nothing was registered, nothing encrypted: a new K makes room again for what was there.
    fn put_back(self, file: &mut StateFile, failure: Failure) -> Failure {
        let restored = match self.former {
            Some(former) => restore(file, &former),
            None if self.is_new => file.forget_key(),
            None => Ok(()),
        };
        restored.map_or_else(Failure::State, |()| failure)
    }
}

/// `former` was read before the vault was asked: what was learnt of the vault since then stays.
fn restore(file: &mut StateFile, former: &Device) -> Result<(), StateError> {
    let newest = file.connection()?;
    file.store(former)?;
    newest.map_or(Ok(()), |connection| file.learn(&connection))
}

/// A K that was never protected, and of which no vault can have a record, makes room for a given
/// one; no other does.
fn the_key(held: Option<Device>, given: Option<BackupKey>) -> Result<Chosen, Failure> {
    let kept = |device| Chosen {
        device,
        is_new: false,
        former: None,
    };
    let new = |key, former: Option<Device>| Chosen {
        device: unfinished(
            key,
            former.as_ref().and_then(|former| former.connection.clone()),
        ),
        is_new: true,
        former,
    };
    match (held, given) {
        (Some(device), None) => Ok(kept(device)),
        (Some(device), Some(key)) if device.key.is_same(&key) => Ok(kept(device)),
        (Some(device), Some(key)) => match device.protection {
            Protection::Unfinished if device.places.is_empty() => Ok(new(key, Some(device))),
            Protection::Unfinished => Err(Failure::AnotherKey(format!(
                "this device already holds the key {}, not {}, and a vault may have a record of it: finish that (enable), or remove the key (disable --forget)",
                device.key.key_id(),
                key.key_id(),
            ))),
            Protection::KeyOnly | Protection::Password(_) => Err(Failure::AnotherKey(format!(
                "this device already holds the key {}, not {}: write its digits down (show-key), then remove it (disable --forget)",
                device.key.key_id(),
                key.key_id(),
            ))),
        },
        (None, Some(key)) => Ok(new(key, None)),
        (None, None) => Ok(new(BackupKey::generate(&mut OsRng), None)),
    }
}

fn unfinished(key: BackupKey, connection: Option<Connection>) -> Device {
    Device {
        key,
        protection: Protection::Unfinished,
        connection,
        places: Vec::new(),
    }
}

/// Whether the key has to be registered, and as what: `None` if it is protected as it should be,
/// where the options point to.
fn needed(
    device: &Device,
    stored: Option<&Connection>,
    connection: &Connection,
    status: &Status,
    screen: Screen,
) -> Result<Option<Sent>, Failure> {
    let enrolled = match &device.protection {
        Protection::Password(enrolled) => enrolled,
        Protection::Unfinished | Protection::KeyOnly => return Ok(Some(Sent::Registration)),
    };
    // A vault may have another one's name, but not its identity.
    let is_pinned = stored.is_some_and(|stored| stored.shares_pin(connection.fingerprints()));
    let found = match connection.scope() {
        Some(scope) if is_pinned => enrolled.compare(&scope, status, &Policy::default()),
        Some(_) | None => Found::NeedsRegistration(Reason::Moved),
    };
    match found {
        Found::Protected => Ok(None),
        // Whose password is newer, only the user knows.
        Found::NeedsRegistration(Reason::Replaced) => Err(Failure::AnotherKey(
            "another device has registered since: if it was yours, nothing needs to be done; to set the password from here run vault-client change-password, which works if the key is the same; if it is another key, vault-client disable leaves that one's record alone".to_owned(),
        )),
        Found::NeedsRegistration(Reason::Moved) => {
            screen.warn("the record at the former vault or account stays there, and its password opens the same key, until vault-client disable deletes it");
            Ok(Some(Sent::Registration))
        }
        Found::NeedsRegistration(Reason::Destroyed(_)) => Ok(Some(Sent::Renewal)),
        Found::NeedsRegistration(reason) => {
            screen.note(describe_need(reason));
            Ok(Some(Sent::Renewal))
        }
    }
}

/// Whether a live record is to be replaced. A K that was drawn just now is nobody's record; any
/// other may be that of the live one. Told before a password is chosen: meanwhile the record may be
/// destroyed, and nobody was asked whether another is to take its place.
fn replaces_live_record(status: &Status, is_drawn_now: bool) -> Result<bool, Failure> {
    match status.state {
        AccountState::Active | AccountState::Waiting if is_drawn_now => {
            let generation = status.generation;
            Err(Failure::Vault(Error::AlreadyRegistered { generation }))
        }
        AccountState::Active | AccountState::Waiting => Ok(true),
        AccountState::Absent | AccountState::Destroyed => Ok(false),
    }
}

/// A destroyed record is registered again only if the user wants that: whoever destroyed it may
/// have meant it, or somebody was guessing.
async fn allow_after_destroyed(
    status: &Status,
    allowed: bool,
    screen: Screen,
) -> Result<(), Failure> {
    let (AccountState::Destroyed, Some(destroyed_at), Some(reason)) =
        (status.state, status.destroyed_at, status.reason)
    else {
        return match status.state {
            AccountState::Destroyed => Err(Failure::Vault(Error::NotUnderstood)),
            AccountState::Absent | AccountState::Active | AccountState::Waiting => Ok(()),
        };
    };
    let (advice, guessed) = match reason {
        DestructionReason::Exhausted => (" Choose another password than before.", true),
        DestructionReason::Deleted | DestructionReason::Reset => ("", false),
    };
    let question = format!(
        "The record was destroyed {} ({}). The key will be registered again.{advice}",
        since(destroyed_at),
        describe_reason(reason)
    );
    match secrets::confirm(&question, allowed, screen).await {
        Ok(()) => {}
        Err(Failure::Usage(_) | Failure::Declined) => {
            return Err(Failure::AfterDestroyed(Error::Destroyed {
                destroyed_at,
                reason,
                generation: status.generation,
            }));
        }
        Err(failure) => return Err(failure),
    }
    if guessed {
        screen.warn("somebody has guessed: choose another password than before");
    }
    Ok(())
}

/// Whether the finish certainly registered nothing. That the vault was too busy for one copy of it
/// does not show what became of another.
fn is_untouched(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Vault(
            Error::AlreadyRegistered { .. }
                | Error::NotThisKey
                | Error::NotRegistered
                | Error::TicketExpired
                | Error::Network(_)
                | Error::Refused(_)
        )
    )
}

fn already(device: &Device) -> Outcome {
    let key_id = device.key.key_id().to_string();
    let text = format!(
        "The key {key_id} is protected already. Another password: vault-client change-password"
    );
    let json = json!({"mode": "password", "key_id": key_id, "already": true});
    Outcome::new(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BackupKey {
        BackupKey::generate(&mut OsRng)
    }

    fn key_only(key: BackupKey) -> Device {
        Device {
            protection: Protection::KeyOnly,
            ..unfinished(key, None)
        }
    }

    // Fails if `the_key` lets a given key take the place of any other.
    #[test]
    fn a_key_that_is_in_use_is_never_replaced() {
        let refused = the_key(Some(key_only(key())), Some(key()));
        assert!(matches!(refused, Err(Failure::AnotherKey(_))));
    }

    #[test]
    fn the_key_stays_the_same_once_there_is_one() {
        let held = key();
        let same: BackupKey = held.digits().parse().unwrap();
        let Chosen { device, is_new, .. } = the_key(Some(key_only(held)), None).unwrap();
        assert!(device.key.is_same(&same) && !is_new);
        let Chosen { device, is_new, .. } = the_key(Some(device), Some(key_of(&same))).unwrap();
        assert!(device.key.is_same(&same) && !is_new);
    }

    // Fails if `put_back` forgets the key whatever was there before.
    #[test]
    fn a_key_that_was_never_protected_makes_room_and_comes_back_after_a_failure() {
        let (held, given) = (key(), key());
        let (first, second) = (key_of(&held), key_of(&given));
        let chosen = the_key(Some(unfinished(held, None)), Some(given)).unwrap();
        assert!(chosen.device.key.is_same(&second) && chosen.is_new);

        let folder = tempfile::tempdir().unwrap();
        let mut file = StateFile::open(&folder.path().join("device.json")).unwrap();
        file.store(&chosen.device).unwrap();
        let failure = chosen.put_back(&mut file, Failure::Interrupted);
        assert!(matches!(failure, Failure::Interrupted));
        let stored = file.load().unwrap().unwrap();
        assert!(stored.key.is_same(&first));
        assert_eq!(stored.protection, Protection::Unfinished);
    }

    // Fails if `mark_sent` does nothing, or marks a key of digits alone: a record that a vault may have
    // would be forgotten. Fails if `put_back` leaves the mark, or takes away that of an earlier run.
    #[test]
    fn every_key_remembers_where_a_registration_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StateFile::open(&folder.path().join("device.json")).unwrap();
        let [alice, bob] = ["alice", "bob"].map(connection);
        let mark = |file: &mut StateFile, at: &Connection| {
            let mut chosen = the_key(file.load().unwrap(), None).unwrap();
            chosen.mark_sent(file, at).unwrap();
            chosen
        };
        let enrolled = Device {
            protection: stored().protection,
            ..key_only(key())
        };
        for mut device in [unfinished(key(), None), key_only(key()), enrolled] {
            device.connection = Some(alice.clone());
            file.store(&device).unwrap();
            let refused = mark(&mut file, &bob);
            let places = file.load().unwrap().unwrap().places;
            assert_eq!(places.as_slice(), std::slice::from_ref(&bob));
            refused.put_back(&mut file, Failure::Interrupted);
            let former = file.load().unwrap().unwrap();
            assert_eq!(former.places, []);
            assert_eq!(former.protection, device.protection);
            assert_eq!(former.connection.as_ref(), Some(&alice));
            drop(mark(&mut file, &bob));
            let refused = mark(&mut file, &bob);
            refused.put_back(&mut file, Failure::Interrupted);
            drop(mark(&mut file, &alice));
            let both = [bob.clone(), alice.clone()];
            assert_eq!(file.load().unwrap().unwrap().places, both);
        }
    }

    // Fails if `the_key` looks at no places.
    #[test]
    fn a_key_that_may_be_registered_makes_room_for_none() {
        let mut held = unfinished(key(), None);
        held.add_place(&connection("alice"));
        let refused = the_key(Some(held), Some(key()));
        assert!(matches!(refused, Err(Failure::AnotherKey(_))));
    }

    fn stored() -> Device {
        let text = include_str!("../../tests/data/device-v1.json");
        read(text)
    }

    fn connection(account: &str) -> Connection {
        let text = include_str!("../../tests/data/device-v1.json");
        read(&text.replace("alice", account)).connection.unwrap()
    }

    fn read(text: &str) -> Device {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.json");
        let mut file = StateFile::open(&path).unwrap();
        // Readable by its owner only.
        file.store(&key_only(key())).unwrap();
        std::fs::write(&path, text).unwrap();
        file.load().unwrap().unwrap()
    }

    // Fails if `put_back` only stores the former device.
    #[test]
    fn what_was_learnt_of_the_vault_survives_a_failure() {
        let text = include_str!("../../tests/data/device-v1.json");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.json");
        let mut file = StateFile::open(&path).unwrap();
        file.store(&key_only(key())).unwrap();
        let written = |text: &str| {
            std::fs::write(&path, text).unwrap();
            file.load().unwrap().unwrap()
        };
        let former = unfinished(key(), written(text).connection);
        let newer = text.replace("1795346668158", "1795346668159");
        let connection = written(&newer).connection;
        let mut chosen = the_key(Some(former), Some(key())).unwrap();
        chosen.device.connection = connection.clone();
        file.store(&chosen.device).unwrap();
        let failure = chosen.put_back(&mut file, Failure::Interrupted);
        assert!(matches!(failure, Failure::Interrupted));
        assert_eq!(file.connection().unwrap(), connection);
    }

    fn status(reason: Option<DestructionReason>) -> Status {
        let state = reason.map_or(AccountState::Active, |_| AccountState::Destroyed);
        Status {
            state,
            generation: 3,
            attempts_remaining: 10,
            retry_at: None,
            destroyed_at: reason.map(|_| vault_client::Timestamp::from_millis(0)),
            reason,
            stretching_profile: Some(vault_protocol::StretchingProfile::CURRENT),
            policy: Policy::default(),
        }
    }

    // Fails if `allow_after_destroyed` lets any reason pass, or looks at the device first.
    #[tokio::test]
    async fn nothing_is_registered_after_a_destruction_unless_it_is_said() {
        let screen = Screen::new(true);
        for reason in [
            DestructionReason::Exhausted,
            DestructionReason::Deleted,
            DestructionReason::Reset,
        ] {
            let destroyed = status(Some(reason));
            let refused = allow_after_destroyed(&destroyed, false, screen).await;
            assert!(matches!(refused, Err(Failure::AfterDestroyed(_))));
            assert!(
                allow_after_destroyed(&destroyed, true, screen)
                    .await
                    .is_ok()
            );
        }
        let live = status(None);
        assert!(allow_after_destroyed(&live, false, screen).await.is_ok());
    }

    // Fails if `replaces_live_record` leaves the refusal to the vault.
    #[test]
    fn a_new_key_is_refused_before_a_password_is_chosen_where_there_is_a_record() {
        let refused = replaces_live_record(&status(None), true);
        assert!(matches!(
            refused,
            Err(Failure::Vault(Error::AlreadyRegistered { generation: 3 }))
        ));
        assert!(matches!(
            replaces_live_record(&status(None), false),
            Ok(true)
        ));
        let destroyed = status(Some(DestructionReason::Deleted));
        assert!(matches!(replaces_live_record(&destroyed, true), Ok(false)));
    }

    // Fails if `is_untouched` counts what a relay can bring about: K would be forgotten while it is
    // registered.
    #[test]
    fn a_key_that_may_be_registered_is_kept() {
        use vault_client::error::{NoAnswer, Refusal};
        let mismatch = NoAnswer::Refused(Refusal::AccountMismatch);
        let unknown = Failure::Unknown(Sent::Registration, Some(Error::UnknownOutcome(mismatch)));
        assert!(!is_untouched(&unknown));
        assert!(!is_untouched(&Failure::Vault(Error::Overloaded)));
        assert!(is_untouched(&Failure::Vault(Error::TicketExpired)));
    }

    // Fails if `needed` compares the vault and the generation alone, or no pins.
    #[test]
    fn a_key_is_not_protected_already_where_it_was_never_registered() {
        let text = include_str!("../../tests/data/device-v1.json");
        let changed = |from: &str, to: &str| {
            let mut value: Value = serde_json::from_str(text).unwrap();
            let connection = value["connection"].to_string().replace(from, to);
            value["connection"] = serde_json::from_str(&connection).unwrap();
            read(&value.to_string())
        };
        let screen = Screen::new(true);
        let device = changed("-", "-");
        let stored = device.connection.as_ref();
        let needed = |from, to| {
            let connection = changed(from, to).connection.unwrap();
            needed(&device, stored, &connection, &status(None), screen).unwrap()
        };
        assert_eq!(needed("-", "-"), None);
        for (from, to) in [
            (r#""account":"alice""#, r#""account":"bob""#),
            (r#""tenant":"photos""#, r#""tenant":"notes""#),
            (r#""vault":"dev""#, r#""vault":"other""#),
            ("95951", "00000"),
        ] {
            assert_eq!(needed(from, to), Some(Sent::Registration), "{to}");
        }
    }

    fn key_of(key: &BackupKey) -> BackupKey {
        key.digits().parse().unwrap()
    }
}
