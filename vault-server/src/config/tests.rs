use super::*;
use crate::telemetry::config::LogFormat;

const NONE: [(&str, &str); 0] = [];

fn of_file(text: &str) -> Result<Config, ConfigError> {
    Config::from_sources(Some((Path::new("/etc/v.toml"), text)), NONE)
}

fn of_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
    Config::from_sources(None, [(name, value)])
}

fn defaults() -> Config {
    of_file("").unwrap()
}

fn refusal(result: Result<Config, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

/// Fails when `deny_unknown_fields` is removed from a section.
#[test]
fn unknown_keys_are_refused_in_every_section() {
    for (section, key) in [
        ("", "nonsense"),
        ("anchor", "mirror"),
        ("tls", "certifcate_file"),
        ("keyring", "passphrase"),
        ("log", "level"),
        ("limits", "max_conections"),
        ("rotation", "days"),
        ("sweep", "interval"),
    ] {
        let (head, dot) = if section.is_empty() {
            (String::new(), "")
        } else {
            (format!("[{section}]\n"), ".")
        };
        let error = refusal(of_file(&format!("{head}{key} = 1")));
        let expected = format!("/etc/v.toml: unknown key {section}{dot}{key}; known here: ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

/// Fails when unknown variables are skipped instead of merged.
#[test]
fn unknown_variables_with_our_prefix_are_refused() {
    for name in [
        "VAULT_SERVER_",
        "VAULT_SERVER_PASSPHRASE",
        "VAULT_SERVER_KEYRING__PASSPHRASE",
        "VAULT_SERVER_TLS__",
        "VAULT_SERVER_TLS__KEY_FILE__X",
        "VAULT_SERVER_TLS.KEY_FILE",
        "VAULT_SERVER_LOG",
    ] {
        let error = refusal(of_environment(name, "canary"));
        let expected = format!("environment variable {name}: ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn other_variables_are_none_of_our_business() {
    assert_eq!(of_environment("VAULT_TOKEN", "x").unwrap(), defaults());
    assert_eq!(of_environment("PATH", "/bin").unwrap(), defaults());
}

/// Fails when a range is not checked.
#[test]
fn numbers_outside_their_range_are_refused_with_the_range() {
    for (key, least, most) in [
        ("limits.max_connections", 1_u32, 65_536),
        ("limits.handshake_timeout_seconds", 1, 300),
        ("limits.header_timeout_seconds", 1, 300),
        ("limits.request_timeout_seconds", 1, 600),
        ("limits.idle_timeout_seconds", 2, 3600),
        ("limits.queue_capacity", 1, 1_000_000),
        ("limits.batch_limit", 1, 4096),
        ("limits.shutdown_grace_seconds", 0, 600),
        ("rotation.ohttp_keys_days", 1, 90),
        ("rotation.ohttp_overlap_days", 1, 90),
        ("rotation.ticket_key_hours", 1, 168),
        ("sweep.interval_seconds", 1, 3600),
    ] {
        for value in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
            let error = refusal(of_file(&format!("{key} = {value}")));
            let range = format!("{value} is out of range; write {least} to {most}");
            assert_eq!(error, format!("/etc/v.toml: {key}: {range}"));
        }
    }
}

#[test]
fn values_of_another_type_are_refused_by_what_to_write() {
    for (text, message) in [
        (
            "listen = 5",
            "listen: write an address and a port, e.g. \"127.0.0.1:8443\"",
        ),
        (
            "listen = \"x\"",
            "listen: write an address and a port, e.g. \"127.0.0.1:8443\"",
        ),
        (
            "limits.batch_limit = \"5\"",
            "limits.batch_limit: write a whole number",
        ),
        (
            "limits.batch_limit = -1",
            "limits.batch_limit: write a whole number",
        ),
        ("limits = 5", "limits: write a section"),
        (
            "anchor.mirrors = \"/m\"",
            "anchor.mirrors: write a list of texts in brackets, e.g. [\"/a\", \"/b\"]",
        ),
        (
            "anchor.path = \"a\"",
            "anchor.path: a is not an absolute path",
        ),
        (
            "anchor.mirrors = [\"/m\", \"m\"]",
            "anchor.mirrors: m is not an absolute path",
        ),
        (
            "log.format = \"xml\"",
            "log.format: write one of text, json",
        ),
        (
            "data_folder = \"vault\"",
            "data_folder: vault is not an absolute path",
        ),
        (
            "tls.key_file = \"k\"",
            "tls.key_file: k is not an absolute path",
        ),
        (
            "keyring.key_file = \"k\"",
            "keyring.key_file: k is not an absolute path",
        ),
    ] {
        assert_eq!(refusal(of_file(text)), format!("/etc/v.toml: {message}"));
    }
    // A mistyped level alone would be the name of a module, and switch every other line off.
    for filter in ["a=loud", "inof", "vault_server", "info, vault_server"] {
        let error = refusal(of_file(&format!("log.filter = \"{filter}\"")));
        assert!(error.starts_with("/etc/v.toml: log.filter: "), "{error}");
    }
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    for text in ["listen = ", "data_folder = \"/a\"\ndata_folder = \"/b\""] {
        let error = refusal(of_file(text));
        assert!(error.starts_with("/etc/v.toml: "), "{error}");
        assert!(error.contains("line "), "{error}");
    }
}

#[test]
fn a_passphrase_file_and_a_key_file_exclude_each_other() {
    let text = "[keyring]\npassphrase_file = \"/p\"\nkey_file = \"/k\"";
    assert_eq!(
        refusal(of_file(text)),
        "/etc/v.toml: keyring.passphrase_file: set either this or keyring.key_file, not both"
    );
}

/// Fails when `AnchorConfig::refusal` does not resolve `..`, or looks at the path alone.
#[test]
fn an_anchor_inside_the_data_folder_is_refused_with_the_reason() {
    for (key, anchor) in [
        ("path", "\"/srv/vault/anchor\""),
        ("path", "\"/srv/vault\""),
        ("path", "\"/srv/vault/a/b/anchor\""),
        ("path", "\"/srv/other/../vault/anchor\""),
        ("mirrors", "[\"/m/anchor\", \"/srv//vault/./anchor\"]"),
    ] {
        let text = format!("data_folder = \"/srv/vault\"\nanchor.{key} = {anchor}");
        let error = refusal(of_file(&text));
        assert!(
            error.starts_with(&format!("/etc/v.toml: anchor.{key}: /srv/"))
                && error.contains(" is inside the data folder: a copy of that folder would "),
            "{error}"
        );
    }
    let beside = "data_folder = \"/srv/vault\"\nanchor.path = \"/srv/vault-2/anchor\"";
    assert!(of_file(beside).is_ok());
    let root = refusal(of_file("data_folder = \"/\""));
    assert!(root.contains("anchor.path: /anchor is inside"), "{root}");
}

#[test]
fn an_anchor_that_is_named_twice_is_refused() {
    for (path, mirrors) in [
        ("/a/anchor", "[\"/a/anchor\"]"),
        ("/a/anchor", "[\"/b/../a//anchor\"]"),
        ("/b/anchor", "[\"/a/anchor\", \"/a/anchor\"]"),
    ] {
        let text = format!("anchor.path = \"{path}\"\nanchor.mirrors = {mirrors}");
        let error = refusal(of_file(&text));
        assert!(
            error.starts_with("/etc/v.toml: anchor.mirrors: /"),
            "{error}"
        );
        assert!(
            error.ends_with(" is named twice: a mirror is another file"),
            "{error}"
        );
    }
}

#[test]
fn more_than_seven_mirrors_are_refused() {
    let mirrors = |count: usize| {
        let mirrors: Vec<String> = (0..count)
            .map(|n| format!("\"/mirror-{n}/anchor\""))
            .collect();
        of_file(&format!("anchor.mirrors = [{}]", mirrors.join(", ")))
    };
    assert_eq!(mirrors(7).unwrap().anchor.mirrors.len(), 7);
    assert_eq!(
        refusal(mirrors(8)),
        "/etc/v.toml: anchor.mirrors: 8 are too many; at most 7"
    );
}

#[test]
fn a_socket_path_too_long_for_the_system_is_refused() {
    let folder = format!("/{}", "d".repeat(95));
    let error = refusal(of_file(&format!("data_folder = \"{folder}\"")));
    assert_eq!(
        error,
        format!(
            "admin_socket: {folder}/admin.sock is too long: \
             a socket's path has at most 107 bytes, that of its folder 95"
        )
    );
    assert!(of_file(&format!("data_folder = \"{}\"", &folder[..95])).is_ok());
    let long = format!("/{}", "s".repeat(107));
    assert!(of_file(&format!("admin_socket = \"{long}\"")).is_err());
    assert!(of_file(&format!("admin_socket = \"{}\"", &long[..107])).is_ok());
}

#[test]
fn an_idle_timeout_that_would_cut_requests_is_refused() {
    let error = refusal(of_file("[limits]\nidle_timeout_seconds = 30"));
    assert_eq!(
        error,
        "/etc/v.toml: limits.idle_timeout_seconds: \
         must be more than limits.request_timeout_seconds (30)"
    );
}

#[test]
fn a_named_file_that_is_missing_is_refused() {
    let error = refusal(Config::load(Some(Path::new("/nowhere/vault.toml"))));
    assert!(
        error.starts_with("/nowhere/vault.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\n[limits]\nbatch_limit = 2\nmax_connections = 3";
    let environment = [
        ("VAULT_SERVER_LISTEN", "[::1]:9443"),
        ("VAULT_SERVER_LIMITS__BATCH_LIMIT", "5"),
        ("VAULT_SERVER_LOG__FILTER", "info,vault_server=debug"),
        ("VAULT_SERVER_LOG__FORMAT", "json"),
        ("VAULT_SERVER_KEYRING__KEY_FILE", "/run/key"),
    ];
    let config = Config::from_sources(Some((Path::new("/v"), file)), environment).unwrap();
    assert_eq!(config.listen, "[::1]:9443".parse().unwrap());
    assert_eq!(config.limits.batch_limit, 5);
    assert_eq!(config.limits.max_connections, 3);
    assert_eq!(config.log.filter, "info,vault_server=debug");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(
        config.keyring.unlock,
        UnlockSource::KeyFile("/run/key".into())
    );
}

#[test]
fn a_list_of_paths_in_the_environment_is_written_as_in_path() {
    let mirrors = |text: &str| of_environment("VAULT_SERVER_ANCHOR__MIRRORS", text);
    let two = mirrors("/m/anchor:/n/anchor").unwrap().anchor.mirrors;
    assert_eq!(two, [Path::new("/m/anchor"), Path::new("/n/anchor")]);
    assert_eq!(mirrors("/m").unwrap().anchor.mirrors, [Path::new("/m")]);
    assert_eq!(
        refusal(mirrors("/m:")),
        "environment variable VAULT_SERVER_ANCHOR__MIRRORS: anchor.mirrors:  is not an absolute path"
    );
    // It replaces the file's list, also by none.
    let file = Some((Path::new("/v"), "anchor.mirrors = [\"/f\", \"/g\", \"/h\"]"));
    for (text, count) in [("/m:/n", 2), ("", 0)] {
        let environment = [("VAULT_SERVER_ANCHOR__MIRRORS", text)];
        let config = Config::from_sources(file, environment).unwrap();
        assert_eq!(config.anchor.mirrors.len(), count);
    }
}

#[test]
fn a_refused_variable_is_named_with_its_key() {
    let error = refusal(of_environment("VAULT_SERVER_LIMITS__BATCH_LIMIT", "0"));
    assert_eq!(
        error,
        "environment variable VAULT_SERVER_LIMITS__BATCH_LIMIT: \
         limits.batch_limit: 0 is out of range; write 1 to 4096"
    );
}

#[test]
fn paths_follow_the_data_folder_unless_they_are_set() {
    let config = of_file("data_folder = \"/srv/vault/\"\ntls.key_file = \"/etc/k.pem\"").unwrap();
    assert_eq!(config.anchor.path, Path::new("/srv/vault-anchor/anchor"));
    assert_eq!(config.admin_socket, Path::new("/srv/vault/admin.sock"));
    assert_eq!(config.keyring.file, Path::new("/srv/vault/keyring"));
    let certificate = Path::new("/srv/vault/certificate.pem");
    assert_eq!(config.tls.certificate_file, certificate);
    assert_eq!(config.tls.key_file, Path::new("/etc/k.pem"));
}

const SAMPLE: &str = include_str!("../../../deploy/vault.toml");

#[test]
fn the_sample_says_the_defaults() {
    assert_eq!(of_file(SAMPLE).unwrap(), defaults());
}

/// A key behind a `#` is still a key: it parses, and shows the default where it says so.
#[test]
fn the_samples_optional_keys_are_keys() {
    let mut written = String::new();
    for line in SAMPLE.lines() {
        let optional = line
            .strip_prefix("# ")
            .filter(|rest| rest.contains(" = \""));
        // The two ways to unseal exclude each other.
        let is_key_file = optional.is_some_and(|rest| rest.contains("keyring-key"));
        written += if is_key_file {
            line
        } else {
            optional.unwrap_or(line)
        };
        written += "\n";
    }
    let mut config = of_file(&written).unwrap();
    let passphrase_file = UnlockSource::PassphraseFile("/etc/backup-key-vault/passphrase".into());
    assert_eq!(config.keyring.unlock, passphrase_file);
    config.keyring.unlock = UnlockSource::CredentialOrPrompt;
    assert_eq!(config, defaults());
}

/// Fails when a key is added to a section and not to the sample.
#[test]
fn every_key_is_in_the_sample() {
    let error = |text: &str| refusal(of_file(text));
    for section in [
        "", "anchor", "tls", "keyring", "log", "limits", "rotation", "sweep",
    ] {
        let head = if section.is_empty() {
            String::new()
        } else {
            format!("[{section}]\n")
        };
        let error = error(&format!("{head}no_such_key = 1"));
        let known = error.rsplit("known here: ").next().unwrap();
        for key in known.split(", ") {
            let named = [
                format!("\n{key} = "),
                format!("\n# {key} = "),
                format!("\n[{key}]\n"),
            ];
            assert!(
                named.iter().any(|name| SAMPLE.contains(name)),
                "{section}: {key}"
            );
        }
    }
}

/// Fails when `parse` takes the error's whole text: it quotes the line.
#[test]
fn a_syntax_error_names_the_line_and_does_not_show_it() {
    let error = refusal(of_file(
        "listen = \"127.0.0.1:1\"\n\npassphrase = correct horse canary\n",
    ));
    assert!(error.contains("/etc/v.toml: line 3: "), "{error}");
    assert!(
        !error.contains("canary") && !error.contains("horse"),
        "{error}"
    );
}
