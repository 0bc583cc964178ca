//! The demo as a process: its exit code is its promise.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// Takes about 15 seconds: a wait of the story is a real one.
#[test]
fn the_demo_comes_out_as_it_should_on_a_folder_of_ones_own() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("empty"))?;
    fs::write(folder.path().join("photo"), vec![7; 300_000])?;
    symlink("photo", folder.path().join("link"))?;
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg(folder.path())
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complained}");
    assert!(
        told.ends_with("Every step came out as it should.\n"),
        "{told}"
    );
    Ok(())
}

#[test]
fn the_demo_fails_on_a_folder_that_is_not_there() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("/nowhere/to/be/found")
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}
