//! Stock tools open a backup: Debian's `age`, then `tar`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::support::{NAMED, create_file, grow_tree, has_tool, key, picture};

/// `age` reads passphrases from a terminal only; `script` makes one.
fn decrypt_with_age(file: &Path, passphrase: &str, decrypted: &Path) -> bool {
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!(
            "age --decrypt --output '{}' '{}'",
            decrypted.display(),
            file.display()
        ))
        .arg("/dev/null")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut terminal = script.stdin.take().unwrap();
    writeln!(terminal, "{passphrase}").unwrap();
    // Open until the end: closing it would end the terminal.
    let status = script.wait().unwrap();
    drop(terminal);
    status.success()
}

#[test]
fn the_stock_age_program_opens_a_backup() {
    if !has_tool("age", &["--version"]) || !has_tool("script", &["--version"]) {
        return;
    }
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    grow_tree(&source);
    let file = folder.path().join(NAMED);
    create_file(&source, &file).unwrap();
    let decrypted = folder.path().join("decrypted");
    assert!(
        !decrypt_with_age(&file, &"0".repeat(64), &decrypted),
        "with a wrong passphrase"
    );
    assert!(decrypt_with_age(&file, key().digits().as_str(), &decrypted));
    // Every frame, so the padding too.
    let archive = zstd::decode_all(&*fs::read(&decrypted).unwrap()).unwrap();

    if !has_tool("tar", &["--version"]) {
        return;
    }
    let target = folder.path().join("unpacked");
    fs::create_dir(&target).unwrap();
    let mut tar = Command::new("tar")
        .args([
            "--extract",
            "--preserve-permissions",
            "--no-same-owner",
            "--directory",
        ])
        .arg(&target)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(tar.wait().unwrap().success());
    assert_eq!(picture(&target), picture(&source));
}

#[test]
fn the_stock_zstd_program_passes_over_the_padding() {
    if !has_tool("age", &["--version"])
        || !has_tool("script", &["--version"])
        || !has_tool("zstd", &["--version"])
    {
        return;
    }
    let folder = tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let file = folder.path().join(NAMED);
    create_file(&source, &file).unwrap();
    let decrypted = folder.path().join("decrypted");
    assert!(decrypt_with_age(&file, key().digits().as_str(), &decrypted));
    let output = Command::new("zstd")
        .args(["--decompress", "--stdout"])
        .arg(&decrypted)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(output.stdout.windows(7).any(|w| w == b"content"));
}
