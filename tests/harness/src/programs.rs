//! The programs that tests and the demo start as processes of their own.
//!
//! `cargo run --bin demo` and `cargo test` build the named package and nothing else, so there may be
//! no `vault-server` in `target/`. Therefore one binary *is* all programs: started with a program's
//! name as its first argument it is that program, the real code with the real command line. `demo`
//! and `prove` are such binaries too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, io, iter};

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `vault-server`.
    VaultServer,
    /// The example `vault-app-backend`.
    AppBackend,
    /// `vault-client`.
    VaultClient,
}

/// A binary that begins with [`run_if_asked`].
#[derive(Clone, Debug)]
pub struct Programs {
    binary: PathBuf,
}

/// Runs the program that the first argument names, if it names one. To be called first in `main`.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let name = arguments.next()?;
    let program = Program::named(&name)?;
    Some(program.run(iter::once(name).chain(arguments)))
}

impl Program {
    const ALL: [Self; 3] = [Self::VaultServer, Self::AppBackend, Self::VaultClient];

    /// The argument that asks for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::VaultServer => "vault-server",
            Self::AppBackend => "app-backend",
            Self::VaultClient => "vault-client",
        }
    }

    fn named(name: &OsString) -> Option<Self> {
        Self::ALL.into_iter().find(|program| name == program.name())
    }

    fn run(self, arguments: impl Iterator<Item = OsString>) -> ExitCode {
        match self {
            Self::VaultServer => vault_server::cli::run(arguments),
            Self::AppBackend => vault_app_backend::run(arguments),
            Self::VaultClient => vault_client_cli::run(arguments),
        }
    }
}

impl Programs {
    /// In this binary; for tests it is `env!("CARGO_BIN_EXE_programs")`.
    pub fn of(binary: impl AsRef<Path>) -> Self {
        let binary = binary.as_ref().to_owned();
        Self { binary }
    }

    /// In the binary that runs now, for one that calls [`run_if_asked`] itself.
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            binary: env::current_exe()?,
        })
    }

    /// A command that starts a program.
    pub fn command(&self, program: Program) -> Command {
        self.command_through(&[], program)
    }

    /// The same through another command that takes it as its last arguments, such as `strace`.
    pub fn command_through(&self, launcher: &[&str], program: Program) -> Command {
        let mut words = launcher
            .iter()
            .map(OsString::from)
            .chain([self.binary.clone().into()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(program.name());
        command
    }
}
