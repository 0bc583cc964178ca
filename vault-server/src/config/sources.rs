//! File and environment as figment takes them, and its errors in words that name file and key.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::Kind;
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
            let from = Metadata::named("file").source(Source::File(path.to_owned()));
            let values = parse(path, text)?;
            figment = figment.merge(Values { from, values });
        }
        for (name, value) in environment {
            if let Some(values) = variable(name.into(), value.into())? {
                figment = figment.merge(values);
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

/// Errors name the line's number, never the line: it could hold a secret.
fn parse(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().lines().count().max(1);
        let message = error.message();
        ConfigError::Invalid(format!("{}: line {line}: {message}", path.display()))
    })
}

/// The values of a file, or one of a variable.
struct Values {
    from: Metadata,
    values: Dict,
}

impl Provider for Values {
    fn metadata(&self) -> Metadata {
        self.from.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// The value of an environment variable; `None` if it is none of ours. The key is in lower case,
/// with a dot between section and key.
fn variable(name: OsString, value: OsString) -> Result<Option<Values>, ConfigError> {
    let Ok(name) = name.into_string() else {
        return Ok(None);
    };
    let Some(key) = name.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    let refused = |reason| ConfigError::Invalid(format!("{VARIABLE}{name}: {reason}"));
    let key = key.to_ascii_lowercase();
    let mut parts = key.split("__");
    if parts.any(|part| part.is_empty() || part.contains('.')) {
        return Err(refused(NO_SUCH_VARIABLE));
    }
    let key = key.replace("__", ".");
    let value = value.into_string().map_err(|_| refused("not UTF-8 text"))?;
    let value = match key.as_str() {
        ANCHOR_MIRRORS => list(&value),
        _ => number_or_text(value),
    };
    let from = Metadata::named(format!("{VARIABLE}{name}"));
    let values = nest(&key, value).into_dict().expect("the key is not empty");
    Ok(Some(Values { from, values }))
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
