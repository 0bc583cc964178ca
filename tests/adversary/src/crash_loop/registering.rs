//! A registration whose outcome may be unknown.

use vault_protocol::Problem;
use vault_protocol::messages::{RegistrationFinish, RegistrationFinished, RegistrationStarted};
use vault_tests::device::Device;

use super::line::Line;
use crate::gate::Violation;

/// A registration under way.
pub struct Registering {
    password: String,
    finish: Option<Finish>,
}

/// The same finish in both forms: the proof is not part of what makes it the same.
struct Finish {
    plain: RegistrationFinish,
    proven: RegistrationFinish,
}

impl Registering {
    pub fn new(password: &str) -> Self {
        Self {
            password: password.to_owned(),
            finish: None,
        }
    }

    /// Starts it, if no start was answered yet, and finishes it, with the identical message however
    /// often; with the proof that it may replace a record, if there is one. Returns its generation.
    pub async fn go_on(&mut self, device: &Device, line: &Line) -> anyhow::Result<u64> {
        let finish = match &self.finish {
            Some(finish) => finish,
            None => self.finish.insert(self.start(device, line).await?),
        };
        let mut said = line.ask("registration/finish", &finish.plain).await?;
        if let Err(Problem::AlreadyRegistered { .. }) = said {
            said = line.ask("registration/finish", &finish.proven).await?;
        }
        let finished: RegistrationFinished = said.map_err(|problem| {
            Violation::new(format!(
                "a registration was started, and is lost: {problem:?}"
            ))
        })?;
        Ok(finished.generation)
    }

    async fn start(&self, device: &Device, line: &Line) -> anyhow::Result<Finish> {
        let started = device.register(&self.password);
        let said = line.ask("registration/start", &started.message).await?;
        let answer: RegistrationStarted = said
            .map_err(|problem| Violation::new(format!("a registration is refused: {problem:?}")))?;
        let plain = device.evaluated(&started, &answer).message;
        let proven = device.proven(&plain, answer.generation);
        Ok(Finish { plain, proven })
    }
}
