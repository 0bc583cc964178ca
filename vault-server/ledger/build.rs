//! Builds the crate again when a migration is added: an embedded folder is not watched by itself.

#[allow(
    clippy::print_stdout,
    reason = "a build script talks to cargo by its standard output"
)]
fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
