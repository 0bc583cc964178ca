//! Runs the example; see [`vault_app_backend`].

fn main() -> std::process::ExitCode {
    vault_app_backend::run(std::env::args_os())
}
