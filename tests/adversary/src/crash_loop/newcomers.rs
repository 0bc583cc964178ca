//! First registrations, one in each life.

use vault_protocol::AccountId;
use vault_protocol::messages::AccountState;
use vault_tests::device::Device;

use super::line::Line;
use super::owner;
use super::registering::Registering;
use crate::gate::{Violation, holds};

const PASSWORD: &str = "new here";

/// All of them.
#[derive(Default)]
pub struct Newcomers {
    arriving: Option<(Device, Registering)>,
    arrived: Vec<Device>,
}

impl Newcomers {
    pub async fn act(&mut self, line: &Line) -> anyhow::Result<()> {
        if let Some(latest) = self.arrived.last() {
            is_there(latest, line).await?;
        }
        let number = self.arrived.len();
        let (device, registering) = match &mut self.arriving {
            Some(arriving) => arriving,
            none => none.insert(newcomer(line, number)?),
        };
        let line = line.of(&device.scope().account);
        let generation = registering.go_on(device, &line).await?;
        holds(generation == 1, || {
            format!("a first registration has generation {generation}")
        })?;
        self.arrived
            .extend(self.arriving.take().map(|(device, _)| device));
        Ok(())
    }

    /// Each of them gets the key.
    pub async fn conclude(&mut self, line: &Line) -> anyhow::Result<()> {
        for device in &self.arrived {
            is_there(device, line).await?;
            let line = line.of(&device.scope().account);
            owner::retrieve(device, PASSWORD, &line).await?;
        }
        Ok(())
    }
}

fn newcomer(line: &Line, number: usize) -> anyhow::Result<(Device, Registering)> {
    let account = AccountId::new(format!("newcomer-{number}"))?;
    let device = Device::new(line.of(&account).scope());
    Ok((device, Registering::new(PASSWORD)))
}

/// Its budget is whole: there was no guess.
async fn is_there(device: &Device, line: &Line) -> anyhow::Result<()> {
    let account = &device.scope().account;
    let status = line.of(account).status().await?;
    let untouched = status.policy.limit().min(status.policy.total_limit());
    let is_there = status.state == AccountState::Active
        && status.generation == 1
        && status.attempts_remaining == untouched;
    if is_there {
        return Ok(());
    }
    Err(Violation::new(format!("acknowledged, {account:?} now is {status:?}")).into())
}
