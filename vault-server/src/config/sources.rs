//! File and environment as figment takes them, and its errors in words that name file and key.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};
use serde::de::DeserializeOwned;

const PREFIX: &str = "VAULT_SERVER_";
const VARIABLE: &str = "environment variable ";
const NO_SUCH_VARIABLE: &str = "unknown; its name is VAULT_SERVER_SECTION__KEY, and secrets are never read from the environment";

/// The one key whose value is a list, of paths.
pub(super) const ANCHOR_MIRRORS: &str = "anchor.mirrors";

/// The configuration was refused. Messages name the file or variable, the key and what to write.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for.
    #[error("{0}: cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// An unknown key or variable, or a value that is not possible.
    #[error("{0}")]
    Invalid(String),
}

/// Where values come from.
pub(super) struct Sources(Figment);

impl Sources {
    /// The file first, then the environment over it.
    pub(super) fn new<K: Into<OsString>, V: Into<OsString>>(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some((path, text)) = file {
            check_syntax(path, text)?;
            figment = figment.merge(File { path, text });
        }
        for (name, value) in environment {
            if let Some(variable) = Variable::read(name.into(), value.into())? {
                figment = figment.merge(variable);
            }
        }
        Ok(Self(figment))
    }

    pub(super) fn extract<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let in_words = |error| ConfigError::Invalid(in_words(&error));
        self.0.extract().map_err(in_words)
    }

    /// A value that is well-formed, but not possible.
    pub(super) fn invalid(&self, key: &str, reason: &str) -> ConfigError {
        let place = place(self.0.find_metadata(key));
        ConfigError::Invalid(format!("{place}{key}: {reason}"))
    }
}

/// Syntax errors with the line's number, never the line: it could hold a secret.
fn check_syntax(path: &Path, text: &str) -> Result<(), ConfigError> {
    let Err(error) = toml::from_str::<toml::Table>(text) else {
        return Ok(());
    };
    let before = error
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    let line = before.lines().count().max(1);
    let message = format!("{}: line {line}: {}", path.display(), error.message());
    Err(ConfigError::Invalid(message))
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("file").source(Source::File(self.path.to_owned()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Toml::string(self.text).data()
    }
}

/// One environment variable; the key in lower case, with a dot between section and key.
struct Variable {
    name: String,
    key: String,
    value: Value,
}

impl Variable {
    /// `None` if it is none of ours.
    fn read(name: OsString, value: OsString) -> Result<Option<Self>, ConfigError> {
        let Ok(name) = name.into_string() else {
            return Ok(None);
        };
        let Some(key) = name.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        let key = key.to_ascii_lowercase();
        let parts: Vec<&str> = key.split("__").collect();
        if parts
            .iter()
            .any(|part| part.is_empty() || part.contains('.'))
        {
            let message = format!("{VARIABLE}{name}: {NO_SUCH_VARIABLE}");
            return Err(ConfigError::Invalid(message));
        }
        let key = parts.join(".");
        let value = value
            .into_string()
            .map_err(|_| ConfigError::Invalid(format!("{VARIABLE}{name}: not UTF-8 text")))?;
        let value = match key.as_str() {
            ANCHOR_MIRRORS => list(&value),
            _ => number_or_text(value),
        };
        Ok(Some(Self { name, key, value }))
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("{VARIABLE}{}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let nested = nest(&self.key, self.value.clone());
        let dict = nested.into_dict().expect("the key is not empty");
        Ok(Profile::Default.collect(dict))
    }
}

fn number_or_text(text: String) -> Value {
    match text.parse::<u64>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(text),
    }
}

/// As in `PATH`; nothing is the empty list.
fn list(text: &str) -> Value {
    let parts = text.split(':').filter(|_| !text.is_empty());
    Value::from(parts.collect::<Vec<_>>())
}

/// Names the key and what to write, never the refused value: an operator may have put a secret
/// there.
fn in_words(error: &Error) -> String {
    let place = place(error.metadata.as_ref());
    let key = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(_, _) if is_variable(error.metadata.as_ref()) => {
            format!("{place}{NO_SUCH_VARIABLE}")
        }
        Kind::UnknownField(name, known) => {
            let section = section_of(&error.path, name);
            let known = known.join(", ");
            format!("{place}unknown key {section}{name}; known here: {known}")
        }
        Kind::UnknownVariant(_, known) => {
            format!("{place}{key}: write one of {}", known.join(", "))
        }
        _ if key == "listen" => {
            format!("{place}{key}: write an address and a port, e.g. \"127.0.0.1:8443\"")
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            let expected = match expected.as_str() {
                "u32" => "a whole number",
                "a sequence" => "a list of texts in brackets, e.g. [\"/a\", \"/b\"]",
                expected => expected,
            };
            format!("{place}{key}: write {expected}")
        }
        kind => format!("{place}{kind}"),
    }
}

/// figment's path of an unknown key sometimes ends with the key itself.
fn section_of(path: &[String], key: &str) -> String {
    let section = path.iter().take_while(|part| *part != key);
    section.map(|part| format!("{part}.")).collect()
}

/// `FILE: ` or `environment variable NAME: ` if the value is written somewhere, else nothing.
fn place(metadata: Option<&Metadata>) -> String {
    let Some(metadata) = metadata else {
        return String::new();
    };
    match &metadata.source {
        Some(Source::File(file)) => format!("{}: ", file.display()),
        _ => format!("{}: ", metadata.name),
    }
}

fn is_variable(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.name.starts_with(VARIABLE))
}
