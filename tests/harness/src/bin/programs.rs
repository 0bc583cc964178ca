//! Server, app backend and client in one binary, for tests to start (see `vault_tests::programs`).

use std::process::ExitCode;

use vault_tests::programs;

fn main() -> ExitCode {
    programs::run_if_asked().unwrap_or(ExitCode::FAILURE)
}
