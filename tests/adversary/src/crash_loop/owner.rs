//! An owner with the right password: retrieves, changes the password, retrieves.

use vault_protocol::AccountScope;
use vault_protocol::messages::{RetrievalFinished, RetrievalStarted};
use vault_tests::device::{Device, Guess, Login};

use super::line::Line;
use super::registering::Registering;
use crate::gate::{Violation, holds};

/// The owner's knowledge, and the request that has no answer yet.
pub struct Owner {
    device: Device,
    password: String,
    changes: u64,
    changing: Option<Registering>,
    guess: Option<Guess>,
    login: Option<Login>,
}

impl Owner {
    pub fn new(scope: AccountScope) -> Self {
        let mut owner = Self {
            device: Device::new(&scope),
            password: String::new(),
            changes: 0,
            changing: None,
            guess: None,
            login: None,
        };
        owner.choose_a_password();
        owner
    }

    /// A password is chosen and registered in one life; with it the key is retrieved in the next one.
    pub async fn act(&mut self, line: &Line) -> anyhow::Result<()> {
        let line = line.of(&self.device.scope().account);
        if self.changing.is_some() {
            return self.register(&line).await;
        }
        self.retrieve(&line).await?;
        self.choose_a_password();
        Ok(())
    }

    pub async fn conclude(&mut self, line: &Line) -> anyhow::Result<()> {
        let line = line.of(&self.device.scope().account);
        if self.changing.is_some() {
            self.register(&line).await?;
        }
        self.retrieve(&line).await
    }

    fn choose_a_password(&mut self) {
        self.changes += 1;
        self.password = format!("password {}", self.changes);
        self.changing = Some(Registering::new(&self.password));
    }

    async fn register(&mut self, line: &Line) -> anyhow::Result<()> {
        if let Some(changing) = &mut self.changing {
            let generation = changing.go_on(&self.device, line).await?;
            let changes = self.changes;
            holds(generation == changes, || {
                format!("registration {changes} has generation {generation}")
            })?;
        }
        self.changing = None;
        Ok(())
    }

    async fn retrieve(&mut self, line: &Line) -> anyhow::Result<()> {
        let login = match &self.login {
            Some(login) => login,
            None => {
                let new = || Guess::new(self.device.scope(), &self.password);
                let guess = self.guess.get_or_insert_with(new);
                self.login.insert(start(guess, line).await?)
            }
        };
        finish(login, &self.device, line).await?;
        (self.guess, self.login) = (None, None);
        Ok(())
    }
}

/// Retrieves the key at once.
pub async fn retrieve(device: &Device, password: &str, line: &Line) -> anyhow::Result<()> {
    let login = start(&Guess::new(device.scope(), password), line).await?;
    finish(&login, device, line).await
}

async fn start(guess: &Guess, line: &Line) -> anyhow::Result<Login> {
    let said = line.ask("retrieval/start", &guess.message).await?;
    let started: RetrievalStarted =
        said.map_err(|problem| Violation::new(format!("the owner is refused: {problem:?}")))?;
    let login = guess.evaluated(&started);
    Ok(login.map_err(|_| Violation::new("the owner's password is wrong"))?)
}

async fn finish(login: &Login, device: &Device, line: &Line) -> anyhow::Result<()> {
    let said = line.ask("retrieval/finish", &login.message).await?;
    let finished: RetrievalFinished = said
        .map_err(|problem| Violation::new(format!("the owner's login is refused: {problem:?}")))?;
    let is_same = login
        .open(&finished)
        .is_ok_and(|key| key.is_same(device.key()));
    holds(is_same, || "the owner gets another key".to_owned())?;
    Ok(())
}
