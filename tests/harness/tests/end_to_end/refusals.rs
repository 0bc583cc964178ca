//! Settings and files that a vault refuses, at `init` and at the start, and the exact words of each
//! refusal.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use vault_tests::process::server::{ServerOptions, VaultFolder};

use crate::support::programs;

fn vault() -> anyhow::Result<VaultFolder> {
    VaultFolder::create(&programs(), ServerOptions::default())
}

#[test]
fn a_vault_is_not_made_twice() -> anyhow::Result<()> {
    let vault = vault()?;
    let (keyring, data) = (vault.file("keyring"), vault.file("data"));
    let before = fs::read(&keyring)?;
    let expected = format!(
        "there is the keyring of the vault vault-under-test at {} already, and it is never overwritten: \
         to make another vault, configure other paths",
        keyring.display()
    );
    assert_eq!(vault.refused(["init", "--vault-id", "another"])?, expected);
    let expected = format!(
        "there is a vault in {:?} already, it is never overwritten; choose another folder",
        data
    );
    assert_eq!(
        vault.refused(["init", "--vault-id", "vault-under-test"])?,
        expected
    );
    let refused = vault.run(["init", "--vault-id", "vault-under-test"])?;
    let code = "\ncode: vault-exists (see \"Refused starts\" in docs/OPERATIONS.md)\n";
    let said = String::from_utf8(refused.stderr)?;
    assert!(said.ends_with(code), "{said}");
    assert_eq!(fs::read(&keyring)?, before);

    fs::rename(&keyring, vault.file("kept"))?;
    assert_eq!(vault.refused(["init", "--vault-id", "another"])?, expected);
    assert!(!keyring.exists(), "a keyring without its database was left");
    assert_eq!(fs::read(vault.file("kept"))?, before);
    Ok(())
}

/// The mirror's folder cannot be made: keyring and anchor are there then, and no database. Fails
/// when `init` draws another keyring: the anchor would be one of another vault.
#[test]
fn a_vault_that_could_not_be_made_can_be_made_again() -> anyhow::Result<()> {
    let vault = VaultFolder::new(&programs(), ServerOptions::default())?;
    vault.configure_places("data", &["anchor/anchor", "mirror/anchor"])?;
    fs::write(vault.file("mirror"), "in the way")?;
    let refused = vault.run(["init", "--vault-id", "one"])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(vault.file("anchor/anchor").exists());
    let keyring = fs::read(vault.file("keyring"))?;
    assert!(!vault.file("data/ledger.db").exists());
    vault.refuses_to_serve()?;

    fs::remove_file(vault.file("mirror"))?;
    let made = vault.run(["init", "--vault-id", "one"])?;
    assert!(made.status.success());
    // It cannot tell whether a vault was in use with this keyring.
    let said = String::from_utf8(made.stderr)?;
    assert!(said.contains("Went on with the keyring"), "{said}");
    assert_eq!(fs::read(vault.file("keyring"))?, keyring);
    vault.serve()?;
    Ok(())
}

/// Fails when the ledger makes a new anchor in the place of one that a vault lives on.
#[test]
fn with_its_database_gone_a_vault_is_not_made_anew_on_its_anchor() -> anyhow::Result<()> {
    let vault = vault()?;
    let anchor = vault.file("anchor/anchor");
    let before = fs::read(&anchor)?;
    fs::rename(vault.file("data"), vault.file("not-mounted"))?;
    let refusal = vault.refused(["init", "--vault-id", "vault-under-test"])?;
    let expected = format!(
        "there is a file at {anchor:?} already, it may be the anchor of a vault and is never overwritten; "
    );
    assert!(refusal.starts_with(&expected), "{refusal}");
    assert_eq!(fs::read(&anchor)?, before);
    Ok(())
}

#[test]
fn without_a_vault_there_is_nothing_to_serve() -> anyhow::Result<()> {
    let vault = VaultFolder::new(&programs(), ServerOptions::default())?;
    let keyring = vault.file("keyring");
    let expected = format!(
        "there is no keyring at {}: make the vault with `vault-server init`, or correct keyring.file",
        keyring.display()
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    assert!(!vault.file("data").exists());
    Ok(())
}

#[test]
fn a_wrong_passphrase_is_refused() -> anyhow::Result<()> {
    let options = ServerOptions {
        unlock: "passphrase_file",
        ..ServerOptions::default()
    };
    let vault = VaultFolder::new(&programs(), options)?;
    // A short one seals nothing, wherever it comes from.
    vault.write_secret("unlock", "eleven char\n")?;
    let error = vault
        .done(["init", "--vault-id", "v"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("the passphrase is too short"), "{error}");
    assert!(!vault.file("keyring").exists());
    vault.write_secret("unlock", "the right passphrase\n")?;
    vault.done(["init", "--vault-id", "v"])?;
    vault.write_secret("unlock", "the wrong passphrase\n")?;
    let expected = format!(
        "{}: the keyring does not open: the passphrase is wrong, or the file is damaged",
        vault.file("keyring").display()
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    vault.write_secret("unlock", "the right passphrase\n")?;
    vault.serve()?;
    Ok(())
}

#[test]
fn another_key_file_is_refused() -> anyhow::Result<()> {
    let vault = vault()?;
    vault.write_secret("unlock", &"0f".repeat(32))?;
    let expected = format!(
        "{}: the keyring does not open: the key file holds another key, or the keyring is damaged",
        vault.file("keyring").display()
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    Ok(())
}

/// Fails without the keyring's fingerprint in the database: the names of all accounts would be
/// others, and every key would look as if it had never been there.
#[test]
fn a_keyring_that_does_not_belong_to_the_database_is_refused() -> anyhow::Result<()> {
    let (vault, other) = (vault()?, vault()?);
    for name in ["keyring", "unlock"] {
        fs::copy(other.file(name), vault.file(name))?;
    }
    assert_eq!(
        vault.refuses_to_serve()?,
        "the database was made with another keyring; configure the keyring that belongs to it"
    );
    Ok(())
}

#[test]
fn files_that_others_can_read_are_refused() -> anyhow::Result<()> {
    let vault = vault()?;
    for name in ["unlock", "keyring", "certificate-key.pem"] {
        let path = vault.file(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        let path = path.display();
        let expected =
            format!("{path}: is accessible to group or others (mode 0644); run: chmod 600 {path}");
        assert_eq!(vault.refuses_to_serve()?, expected);
        fs::set_permissions(vault.file(name), fs::Permissions::from_mode(0o600))?;
    }
    for (name, mode, wanted) in [
        ("data", 0o750, "0700"),
        ("data/ledger.db", 0o640, "0600"),
        ("anchor/anchor", 0o640, "0600"),
    ] {
        let path = vault.file(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let expected =
            format!("{path:?} is open to others (mode {mode:04o}); run `chmod {wanted}` on it");
        assert_eq!(vault.refuses_to_serve()?, expected);
        let private = u32::from_str_radix(wanted, 8)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(private))?;
    }
    vault.serve()?;
    Ok(())
}

/// SQLite keeps a database's version (`user_version`) in bytes 60 to 63 of its file.
#[test]
fn a_database_of_a_newer_version_is_refused() -> anyhow::Result<()> {
    let vault = vault()?;
    let path = vault.file("data/ledger.db");
    let mut database = fs::read(&path)?;
    let known = u32::from_be_bytes(database[60..64].try_into()?);
    database[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    fs::write(&path, database)?;
    let expected = format!(
        "the database has version 9999, this program knows versions up to {known}; \
         use the newer vault-server"
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    Ok(())
}

#[test]
fn unknown_configuration_keys_are_refused() -> anyhow::Result<()> {
    let vault = vault()?;
    let file = vault.file("vault.toml");
    let file = file.display();
    vault.configure("127.0.0.1:0", "[sweep]\ninterval = 5\n")?;
    let expected = format!("{file}: unknown key sweep.interval; known here: interval_seconds");
    assert_eq!(vault.refuses_to_serve()?, expected);
    vault.configure("127.0.0.1:0", "[colours]\n")?;
    let refusal = vault.refuses_to_serve()?;
    assert!(
        refusal.starts_with(&format!("{file}: unknown key colours; known here: ")),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn a_missing_certificate_and_one_that_does_not_fit_its_key_are_refused() -> anyhow::Result<()> {
    let vault = vault()?;
    let (certificate, key) = (
        vault.file("certificate.pem"),
        vault.file("certificate-key.pem"),
    );
    let former = fs::read(&certificate)?;
    fs::remove_file(&certificate)?;
    let expected = format!(
        "{}: cannot be read: No such file or directory (os error 2)",
        certificate.display()
    );
    assert_eq!(vault.refuses_to_serve()?, expected);

    vault.renew_certificate()?;
    fs::write(&certificate, former)?;
    let expected = format!(
        "{} and {} do not belong together",
        certificate.display(),
        key.display()
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    Ok(())
}

#[test]
fn an_address_that_is_taken_is_refused() -> anyhow::Result<()> {
    let vault = vault()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    vault.configure(&address.to_string(), "")?;
    let expected = format!(
        "cannot listen on {address}: choose another listen: Address already in use (os error 98)"
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    Ok(())
}
