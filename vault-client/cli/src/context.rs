//! Where a command runs: its screen, this device's state, and the vault.

use std::path::PathBuf;

use anyhow::Context as _;
use vault_client::BackupKey;
use vault_client::client::Device;
use vault_client::device::{DeviceState, Place};
use vault_client::http::{HttpTransport, system_clock};

use crate::connection;
use crate::error::CliError;
use crate::output::Screen;
use crate::state::StateFile;

pub(crate) struct Context {
    pub(crate) screen: Screen,
    /// The file of this device's state.
    pub(crate) state: PathBuf,
}

/// A device, its state and one account at one vault.
pub(crate) type Online = Device<HttpTransport, StateFile>;

impl Context {
    /// The device's state, which no other run can use as long as the file is held.
    pub(crate) fn load(&self) -> Result<(StateFile, DeviceState), CliError> {
        let file = StateFile::open(&self.state)?;
        let state = file.load()?;
        Ok((file, state))
    }

    /// The same for a command that needs a key.
    pub(crate) fn load_key(&self) -> Result<(StateFile, DeviceState), CliError> {
        let (file, state) = self.load()?;
        if state.key().is_none() {
            return Err(CliError::no_key(
                "this device has no backup key yet: run vault-client enable, or restore a backup by password",
            ));
        }
        Ok((file, state))
    }

    /// The same for a key that is in use: it was protected one way or the other.
    pub(crate) fn load_used_key(&self) -> Result<(StateFile, DeviceState), CliError> {
        let (file, state) = self.load_key()?;
        if !state.is_used() {
            return Err(CliError::no_key(
                "the protection of this device's key was begun and not finished: run vault-client enable again",
            ));
        }
        Ok((file, state))
    }

    /// The key that is in use. The state is free for other runs again.
    pub(crate) fn used_key(&self) -> Result<BackupKey, CliError> {
        let (_, state) = self.load_used_key()?;
        held_key(state)
    }

    /// The way to `place`. Nothing is sent.
    pub(crate) fn connect(
        &self,
        file: StateFile,
        state: DeviceState,
        place: Place,
    ) -> Result<Online, CliError> {
        let transport = connection::transport(&place, self.screen)?;
        Ok(open(transport, place, state, file))
    }
}

pub(crate) fn held_key(state: DeviceState) -> Result<BackupKey, CliError> {
    Ok(state.into_key().context("the device holds no key")?)
}

pub(crate) fn open(
    transport: HttpTransport,
    place: Place,
    state: DeviceState,
    file: StateFile,
) -> Online {
    Device::open(transport, place, Box::new(system_clock), state, file)
}
