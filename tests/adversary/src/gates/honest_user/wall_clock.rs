//! A real vault whose wall clock jumps by ten years, forward and back: between two runs, and during
//! one, where it must change nothing at all.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use vault_protocol::messages::{RetrievalFinished, RetrievalStarted, Status};
use vault_protocol::{Problem, TenantId};
use vault_tests::device::Guess;
use vault_tests::process::calls::{Calls, Said};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use super::scenes::DECADE;
use crate::expect::{refused, same};
use crate::gate::{GateContext, NotHere, Violation, holds};

const PASSWORD: &str = "correct horse battery staple";
const SOURCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/gates/honest_user/wall_clock.c"
);
const WAIT: u64 = 3600;
/// How far the clock is ahead, step by step.
const JUMPS: [i64; 4] = [DECADE as i64, -(DECADE as i64), 0, DECADE as i64];

/// Every jump once during a run and once between two; how often the owner got the key.
pub async fn run(context: &GateContext) -> anyhow::Result<u64> {
    let mut vault = JumpingVault::start(context)?;
    let mut logins = 0;
    for (number, ahead) in JUMPS.into_iter().enumerate() {
        let account = format!("user-{number}");
        vault.jump_during_a_run(&account, ahead).await?;
        vault.jump_between_runs(&account, ahead).await?;
        logins += 2;
    }
    Ok(logins)
}

/// Its first tenant's records bear one failure, those of `patient` two with an hour between them.
struct JumpingVault {
    server: ServerProcess,
    library: PathBuf,
    clock: PathBuf,
    patient: String,
}

impl JumpingVault {
    fn start(context: &GateContext) -> anyhow::Result<Self> {
        let mut server = context.start(ServerOptions::default().without_waits(1))?;
        let wait = WAIT.to_string();
        let arguments = ["tenant", "add", "patient", "--limit", "2", "--waits", &wait];
        let patient = server.vault().done(arguments)?.trim().to_owned();
        let library = compile(&server.vault().file("wall_clock.so"))?;
        let clock = server.vault().file("ahead");
        server.terminate()?;
        let mut vault = Self {
            server,
            library,
            clock,
            patient,
        };
        vault.set(0)?;
        vault.restart()?;
        Ok(vault)
    }

    /// Between any two steps of a login, and during a wait.
    async fn jump_during_a_run(&self, account: &str, ahead: i64) -> anyhow::Result<()> {
        let (owner, waiting) = self.accounts(account).await?;
        let before = self.wait(&waiting).await?;
        let guess = Guess::new(owner.scope(), PASSWORD);
        let started = owner.start(&guess).await?.map_err(|p| lost(&p))?;
        self.set(ahead)?;
        let again = owner.start(&guess).await?.map_err(|p| lost(&p))?;
        let left = again.attempts_remaining;
        same(
            &left,
            &started.attempts_remaining,
            "attempts after the same request",
        )?;
        self.finish(&owner, &guess, &started).await?;
        let during = waiting.status().await?;
        same(
            &during.retry_at,
            &before.retry_at,
            "the end of a wait after a jump",
        )?;
        let retry_at = during.retry_at.context("it waits")?;
        let another = waiting
            .start(&Guess::new(waiting.scope(), PASSWORD))
            .await?;
        Ok(refused(
            another,
            &Problem::Waiting { retry_at },
            "a start during a wait",
        )?)
    }

    async fn jump_between_runs(&mut self, account: &str, ahead: i64) -> anyhow::Result<()> {
        let owner = self.owner(account).await?;
        let guess = Guess::new(owner.scope(), PASSWORD);
        let started = owner.start(&guess).await?.map_err(|p| lost(&p))?;
        self.server.kill()?;
        self.set(ahead)?;
        self.restart()?;
        let owner = self.owner(account).await?;
        let again = owner.start(&guess).await?.map_err(|p| lost(&p))?;
        let left = again.attempts_remaining;
        same(
            &left,
            &started.attempts_remaining,
            "attempts after the same request",
        )?;
        self.finish(&owner, &guess, &started).await?;
        self.a_wait_is_no_longer_than_its_length(account, ahead)
            .await
    }

    /// It begins again at most. A margin of a day, for machines on which a test takes long.
    async fn a_wait_is_no_longer_than_its_length(
        &self,
        account: &str,
        ahead: i64,
    ) -> anyhow::Result<()> {
        let status = self.patient(account).await?.status().await?;
        let now = vault_client::http::system_clock().millis();
        let now = now.checked_add_signed(1000 * ahead).context("after 1970")?;
        let latest = now + 1000 * (WAIT + 24 * 3600);
        let is_bounded = status.retry_at.is_none_or(|at| at.millis() <= latest);
        Ok(holds(is_bounded, || {
            format!("a wait of an hour ends at {:?}", status.retry_at)
        })?)
    }

    /// Two accounts that have just registered, the second with a wrong guess.
    async fn accounts(&self, account: &str) -> anyhow::Result<(Calls, Calls)> {
        let (owner, waiting) = (self.owner(account).await?, self.patient(account).await?);
        owner.register(PASSWORD).await?;
        waiting.register(PASSWORD).await?;
        let wrong = Guess::new(waiting.scope(), "not the password");
        waiting.start(&wrong).await?.map_err(|p| lost(&p))?;
        Ok((owner, waiting))
    }

    async fn wait(&self, waiting: &Calls) -> anyhow::Result<Status> {
        let status = waiting.status().await?;
        ensure!(status.retry_at.is_some(), "the wrong guess leads to a wait");
        Ok(status)
    }

    async fn finish(
        &self,
        owner: &Calls,
        guess: &Guess,
        started: &RetrievalStarted,
    ) -> anyhow::Result<()> {
        let login = guess.evaluated(started).ok();
        let login = login.context("the owner's password is right")?;
        let said: Said<RetrievalFinished> = owner.post("retrieval/finish", &login.message).await?;
        let finished = said.map_err(|problem| lost(&problem))?;
        login.open(&finished).ok().context("released")?;
        Ok(())
    }

    async fn owner(&self, account: &str) -> anyhow::Result<Calls> {
        Calls::connect(&self.server, account).await
    }

    async fn patient(&self, account: &str) -> anyhow::Result<Calls> {
        let mut scope = self.server.account(account);
        scope.tenant = TenantId::new("patient")?;
        Ok(self.owner(account).await?.of_account(scope, &self.patient))
    }

    fn set(&self, ahead: i64) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.clock, ahead.to_string())?)
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        let (library, clock) = (self.library.clone(), self.clock.clone());
        self.server.restart_below(move |command| {
            command
                .env("LD_PRELOAD", library)
                .env("WALL_CLOCK_FILE", clock);
        })
    }
}

fn lost(problem: &Problem) -> Violation {
    Violation::new(format!(
        "the owner, in time and with the right password, when the clock jumped: {problem:?}"
    ))
}

fn compile(library: &Path) -> anyhow::Result<PathBuf> {
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-shared", "-fPIC", "-O1", "-o"])
        .arg(library)
        .args([SOURCE, "-ldl"]);
    let compiled = cc.stdin(Stdio::null()).output();
    let compiled = compiled.map_err(|_| NotHere("cc is missing".to_owned()))?;
    let said = String::from_utf8_lossy(&compiled.stderr);
    ensure!(compiled.status.success(), "cc did not compile: {said}");
    Ok(library.to_owned())
}
