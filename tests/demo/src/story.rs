//! The story, chapter by chapter. Every `ensure` is a promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure};
use vault_client::BackupKey;
use vault_client::error::Error;
use vault_client::http::system_clock;
use vault_client::protection::{Protection, Reason, RegistrationRef};
use vault_protocol::Timestamp;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_tests::process::backend::AppBackendProcess;
use vault_tests::process::server::{ServerOptions, ServerProcess};
use vault_tests::programs::Programs;

use crate::files;
use crate::phone::{self, Phone};
use crate::screen::{Bytes, chapter, done, note};

const PASSWORD: &str = "seven green bicycles at dawn";
const SECOND: &str = "a heron waits under the old bridge";
const THIRD: &str = "forty lanterns over quiet water";
const FOURTH: &str = "the clockmaker never sleeps in june";

/// After five wrong passwords in a row one waits 2 s; ten destroy the key.
const WAITS: [u64; 9] = [0, 0, 0, 0, 2, 2, 2, 2, 2];

/// The phones, the vault and the app.
struct Stage<'a> {
    server: ServerProcess,
    backend: AppBackendProcess,
    folder: &'a Path,
    work: &'a Path,
}

/// Tells the whole story about the files of `folder`.
pub async fn tell(folder: &Path, work: &Path) -> anyhow::Result<()> {
    let mut stage = Stage::set(folder, work)?;
    let (key, registration, file) = stage.first_phone().await?;
    stage.lost_phone(&file).await?;
    stage.digits_alone(&key, &file)?;
    stage.change_password(&key).await?;
    let registration = stage.key_only(&key, &file, &registration).await?;
    stage.guesses().await?;
    stage.killed_and_restarted().await?;
    stage
        .phone_that_still_holds_the_key(&key, &registration)
        .await?;
    println!("\nEvery step came out as it should.");
    Ok(())
}

impl<'a> Stage<'a> {
    fn set(folder: &'a Path, work: &'a Path) -> anyhow::Result<Self> {
        chapter("A vault and an app backend");
        let programs = Programs::own()?;
        let options = ServerOptions::default().with_waits(&WAITS);
        let server = ServerProcess::start(&programs, options)?;
        done(format!("a vault serves on {}", server.url()));
        note(format!("its fingerprint: {}", server.fingerprint()));
        let users = [(phone::USER, phone::LOGIN)];
        let backend = AppBackendProcess::start(&programs, &server, &users)?;
        done(format!("the app's backend relays on {}", backend.url()));
        Ok(Self {
            server,
            backend,
            folder,
            work,
        })
    }

    async fn phone(&self) -> anyhow::Result<Phone> {
        Phone::new(&self.server, &self.backend).await
    }

    async fn first_phone(&self) -> anyhow::Result<(BackupKey, RegistrationRef, PathBuf)> {
        chapter("A phone makes a backup key, protects it with a password, and backs up");
        let mut phone = self.phone().await?;
        let key = phone::new_key();
        let registration = phone.enable(PASSWORD, &key).await?;
        done(format!(
            "the key {} is protected by a password",
            key.key_id()
        ));
        let file = self.work.join(vault_backup::file_name(key.key_id()));
        let summary =
            vault_backup::create_file(self.folder, &file, &key, &mut Bytes::of("backing up"))?;
        done(format!(
            "{} files, {} bytes, are in {}",
            summary.files,
            summary.bytes,
            name(&file)
        ));
        for skipped in &summary.skipped {
            note(format!(
                "left out, neither file nor folder nor link: {}",
                skipped.path.display()
            ));
        }
        Ok((key, registration, file))
    }

    async fn lost_phone(&self, file: &Path) -> anyhow::Result<()> {
        chapter("The phone is lost; a new one has the account, the password and the fingerprint");
        let retrieved = self.phone().await?.retrieve(PASSWORD).await?;
        ensure!(
            retrieved.failures_since_success == 0,
            "there was no guess yet"
        );
        done(format!(
            "the vault gave the key {} back",
            retrieved.key.key_id()
        ));
        self.restore(file, &retrieved.key, "restored-by-password")
    }

    fn digits_alone(&self, key: &BackupKey, file: &Path) -> anyhow::Result<()> {
        chapter("The same backup with the 64 digits alone, without the vault");
        let written_down = key.grouped_digits();
        let typed: BackupKey = written_down.to_uppercase().replace(' ', "-").parse()?;
        self.restore(file, &typed, "restored-by-digits")
    }

    fn restore(&self, file: &Path, key: &BackupKey, target: &str) -> anyhow::Result<()> {
        let target = self.work.join(target);
        vault_backup::restore(file, &target, key, &mut Bytes::of("restoring"))?;
        let files = files::compare(self.folder, &target)?;
        done(format!("{files} files are the same, byte for byte"));
        // A large folder shall not take its size several times over.
        fs::remove_dir_all(&target)?;
        Ok(())
    }

    async fn change_password(&self, key: &BackupKey) -> anyhow::Result<()> {
        chapter("The password is changed; the key stays");
        let mut phone = self.phone().await?;
        phone.change_password(SECOND, key).await?;
        match phone.retrieve(PASSWORD).await {
            Err(Error::WrongPassword {
                attempts_remaining, ..
            }) => {
                done(format!(
                    "the old password is wrong now, {attempts_remaining} attempts left"
                ));
            }
            other => bail!("the old password gave {other:?}"),
        }
        let retrieved = phone.retrieve(SECOND).await?;
        ensure!(retrieved.key.is_same(key), "another key came back");
        ensure!(
            retrieved.failures_since_success == 1,
            "the failure is not shown"
        );
        done("the new password gives the same key, and shows the failure before it");
        Ok(())
    }

    async fn key_only(
        &self,
        key: &BackupKey,
        file: &Path,
        registration: &RegistrationRef,
    ) -> anyhow::Result<RegistrationRef> {
        chapter("Key-only mode on, and off again, with the same key");
        let mut phone = self.phone().await?;
        phone.disable(key).await?;
        ensure!(
            phone.state().await? == AccountState::Destroyed,
            "the record is still there"
        );
        done("the vault has destroyed the record; the user keeps the 64 digits");
        self.restore(file, key, "restored-in-key-only-mode")?;
        let again = phone.enable(THIRD, key).await?;
        ensure!(
            again.generation > registration.generation,
            "a generation was used twice"
        );
        let retrieved = phone.retrieve(THIRD).await?;
        ensure!(retrieved.key.is_same(key), "another key came back");
        done(format!(
            "the same key is protected again, generation {}",
            again.generation
        ));
        Ok(again)
    }

    async fn guesses(&self) -> anyhow::Result<()> {
        chapter("A thief with the user's login guesses");
        let mut thief = self.phone().await?;
        for guess in 1..=WAITS.len() + 1 {
            let outcome = thief.retrieve(&format!("wrong guess number {guess}")).await;
            let Err(Error::WrongPassword {
                attempts_remaining,
                retry_at,
                state,
            }) = outcome
            else {
                bail!("guess {guess} gave {outcome:?}");
            };
            let left = WAITS.len() + 1 - guess;
            ensure!(
                attempts_remaining == left as u64,
                "{attempts_remaining} attempts are left"
            );
            match (retry_at, state) {
                (_, Some(AccountState::Destroyed)) => {
                    ensure!(left == 0, "destroyed too early");
                    done(format!("guess {guess} is wrong: the key is destroyed"));
                }
                (None, _) => done(format!("guess {guess} is wrong, {left} left")),
                (Some(retry_at), _) => {
                    done(format!(
                        "guess {guess} is wrong, {left} left, but not before a wait"
                    ));
                    self.too_early(&mut thief, left as u64).await?;
                    wait_until(retry_at).await;
                }
            }
        }
        ensure!(
            thief.state().await? == AccountState::Destroyed,
            "the record is still there"
        );
        Ok(())
    }

    async fn too_early(&self, thief: &mut Phone, left: u64) -> anyhow::Result<()> {
        match thief.retrieve("a guess that comes too early").await {
            Err(Error::Waiting { .. }) => {}
            other => bail!("a guess that came too early gave {other:?}"),
        }
        let remaining = thief.status().await?.attempts_remaining;
        ensure!(remaining == left, "a guess that came too early was charged");
        Ok(())
    }

    async fn killed_and_restarted(&mut self) -> anyhow::Result<()> {
        chapter("The right password comes too late, for good");
        self.refused().await?;
        done("the right password is refused");
        self.server.kill()?;
        self.server.restart()?;
        self.refused().await?;
        done("also after the server was killed and started again");
        Ok(())
    }

    async fn refused(&self) -> anyhow::Result<()> {
        match self.phone().await?.retrieve(THIRD).await {
            Err(Error::Destroyed {
                reason: DestructionReason::Exhausted,
                ..
            }) => Ok(()),
            other => bail!("the right password gave {other:?} after the destruction"),
        }
    }

    async fn phone_that_still_holds_the_key(
        &self,
        key: &BackupKey,
        registration: &RegistrationRef,
    ) -> anyhow::Result<()> {
        chapter("A phone that still holds the key registers it again");
        let mut phone = self.phone().await?;
        let found = phone.check(registration).await?;
        let destroyed = Reason::Destroyed(DestructionReason::Exhausted);
        ensure!(
            found == Protection::NeedsRegistration(destroyed),
            "the check says {found:?}"
        );
        done("its daily check notices that the key is no longer protected");
        let again = phone.enable(FOURTH, key).await?;
        ensure!(
            phone.check(&again).await? == Protection::Protected,
            "it is not protected"
        );
        let retrieved = self.phone().await?.retrieve(FOURTH).await?;
        ensure!(retrieved.key.is_same(key), "another key came back");
        done("a new password protects the same key, and gives it back");
        Ok(())
    }
}

async fn wait_until(time: Timestamp) {
    let seconds = time.seconds_since(system_clock());
    note(format!("waiting {seconds} s"));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
