//! One module a command.

mod backup;
mod change_password;
mod disable;
mod enable;
mod fingerprint;
mod restore;
mod show_key;
mod status;

use vault_client::Policy;
use vault_client::client::VaultClient;
use vault_client::error::Error;
use vault_client::flows::{PreparedRegistration, Registered};
use vault_client::transport::Transport;
use vault_protocol::messages::DestructionReason;

use super::Context;
use super::arguments::Command;
use super::connection::Connection;
use super::device::{Device, Protection, StateFile};
use super::failure::Failure;
use super::output::{Outcome, Screen};
use super::work;

/// Runs one command.
pub async fn run(context: &Context, command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Enable(options) => enable::run(context, options).await,
        Command::Backup(options) => backup::run(context, options).await,
        Command::Restore(options) => restore::run(context, options).await,
        Command::Status => status::run(context).await,
        Command::ChangePassword(options) => change_password::run(context, options).await,
        Command::ShowKey(options) => show_key::run(context, &options),
        Command::Disable(options) => disable::run(context, &options).await,
        Command::Fingerprint => fingerprint::run(context).await,
    }
}

/// The device as it is stored.
fn load(file: &StateFile) -> Result<Device, Failure> {
    file.load()?.ok_or(Failure::NoKey(
        "this device has no backup key yet: run vault-client enable, or restore a backup by password",
    ))
}

/// The device with a key that was protected one way or the other.
fn load_protected(file: &StateFile) -> Result<Device, Failure> {
    let device = load(file)?;
    match device.protection {
        Protection::KeyOnly | Protection::Password(_) => Ok(device),
        Protection::Unfinished => Err(Failure::NoKey(
            "the protection of this device's key was begun and not finished: run vault-client enable again",
        )),
    }
}

/// Keeps what a registration brought about.
fn store_registered(
    file: &mut StateFile,
    mut device: Device,
    connection: Connection,
    registered: &Registered,
) -> Result<Device, Failure> {
    device.protection = Protection::Password(registered.enrolled.clone());
    device.connection = Some(connection);
    file.store(&device)?;
    Ok(device)
}

/// The half of a registration that changes something at the vault.
async fn finish_registration<T: Transport>(
    client: &mut VaultClient<T>,
    prepared: &PreparedRegistration,
    screen: Screen,
) -> Result<Registered, Failure> {
    let work = work::commit(client, prepared);
    work::online(screen, "Registering the key …", work).await
}

/// Deletes the record of `device`'s key. `false`: there was none of this key.
async fn delete_record(
    device: &mut Device,
    mut connection: Connection,
    screen: Screen,
) -> Result<bool, Failure> {
    let mut client = connection.client(screen)?;
    let work = client.disable(&device.key);
    let deleted = match work::online(screen, "Deleting the record …", work).await {
        Ok(()) => true,
        Err(Failure::Vault(Error::NotRegistered | Error::NotThisKey)) => false,
        Err(failure) => return Err(failure),
    };
    connection.remember(&client);
    device.connection = Some(connection);
    Ok(deleted)
}

/// A policy in words.
fn describe_policy(policy: &Policy) -> String {
    format!(
        "{} wrong passwords in a row, or {} in all, destroy the record",
        policy.limit(),
        policy.total_limit()
    )
}

/// Why a record was destroyed, in words.
fn describe_reason(reason: DestructionReason) -> &'static str {
    match reason {
        DestructionReason::Exhausted => "too many wrong passwords",
        DestructionReason::Deleted => "by a device that held the key",
        DestructionReason::Reset => "by the app's operator",
    }
}
