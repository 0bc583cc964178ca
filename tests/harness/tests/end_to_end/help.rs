//! The command line teaches.

use vault_tests::process::server::{ServerOptions, VaultFolder};

use crate::support::programs;

const COMMANDS: [&[&str]; 17] = [
    &[],
    &["init"],
    &["serve"],
    &["dev"],
    &["tenant"],
    &["tenant", "add"],
    &["tenant", "list"],
    &["tenant", "rotate-token"],
    &["tenant", "remove"],
    &["account"],
    &["account", "show"],
    &["account", "reset"],
    &["anchor"],
    &["anchor", "add"],
    &["anchor", "remove"],
    &["check"],
    &["fingerprint"],
];

#[test]
fn wrong_usage_exits_with_2_and_changes_nothing() -> anyhow::Result<()> {
    let vault = VaultFolder::new(&programs(), ServerOptions::default())?;
    for wrong in [
        &["no-such-command"][..],
        &["init"],
        &["tenant", "add"],
        &["anchor", "add"],
        &["init", "--vault-id", "UPPER"],
    ] {
        assert_eq!(vault.run(wrong)?.status.code(), Some(2), "{wrong:?}");
    }
    assert!(!vault.file("keyring").exists());
    assert!(!vault.file("data").exists());
    Ok(())
}

#[test]
fn every_command_has_help_and_the_help_names_every_command() -> anyhow::Result<()> {
    let vault = VaultFolder::new(&programs(), ServerOptions::default())?;
    for command in COMMANDS {
        let help = vault.done(command.iter().chain(&["--help"]))?;
        assert!(help.contains("Usage: vault-server"), "{command:?}: {help}");
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                line.strip_prefix("  ")
                    .filter(|rest| !rest.starts_with(' '))?
                    .split(' ')
                    .next()
            });
        for name in listed.filter(|name| *name != "help") {
            let full: Vec<&str> = command.iter().copied().chain([name]).collect();
            assert!(
                COMMANDS.contains(&full.as_slice()),
                "{full:?} is not in this test"
            );
        }
    }
    Ok(())
}
