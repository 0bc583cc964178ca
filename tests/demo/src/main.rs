//! The demo: the vault's main job on real files, with the real server and a real app backend as
//! processes of their own. Exit code 0 only if every step came out as it should.
//!
//! The same binary is also the programs that it starts (see `vault_tests::programs`).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

mod files;
mod phone;
mod screen;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use vault_tests::programs;

/// Tells the story of a backup key on real files: a phone protects its key with a password, is
/// lost, a new phone gets the key back, a thief guesses, and the key is destroyed.
///
/// Starts a real vault (temporary folder, embedded SQLite, TLS) and a small app backend that relays
/// sealed messages. Everything is removed at the end. FOLDER is only read.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// The folder of the backup [default: this repository, without .git, target and node_modules]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    if let Some(code) = programs::run_if_asked() {
        return code;
    }
    let arguments = Arguments::parse();
    match tell(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo did not come out as it should: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(arguments: Arguments) -> anyhow::Result<()> {
    let work = tempfile::Builder::new().prefix("vault-demo-").tempdir()?;
    let folder = match arguments.folder {
        Some(folder) => folder,
        None => files::copy_of_repository(work.path())?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(story::tell(&folder, work.path()))
}
