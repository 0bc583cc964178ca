//! Which lines are written.
//!
//! Lines of libraries below warnings are kept out whatever the operator's filter says: HTTP and
//! HPKE crates print headers, frames and keys there, others print paths of the machine that built
//! them.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterFn, ParseError, filter_fn};

const OUR_CRATES: [&str; 4] = [
    "vault_server",
    "vault_rules",
    "vault_ledger",
    "vault_protocol",
];

/// A filter was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error(
        "{0}; write a level (error, warn, info, debug, trace) or e.g. \"info,vault_server=debug\""
    )]
    Syntax(#[from] ParseError),
    /// One word, which is no level.
    #[error(
        "{0:?} is no level (error, warn, info, debug, trace, off); for a module write e.g. \"info,vault_server=debug\""
    )]
    NotALevel(String),
}

/// Checks a filter's syntax.
pub(crate) fn check(filter: &str) -> Result<(), FilterError> {
    parse(filter).map(drop)
}

pub(super) fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    // tracing-subscriber 0.3.23 counts from the first character behind spaces and cuts from the
    // first of all: it refuses "info, vault_server=debug", and panics in the middle of a longer
    // character.
    let directives: Vec<_> = filter.split(',').map(str::trim).collect();
    // It would take a level that is mistyped for the name of a module, and log nothing else.
    let is_word = |text: &&&str| !text.is_empty() && !text.contains(['=', '[']);
    let no_level = |text: &&&str| text.parse::<LevelFilter>().is_err();
    if let Some(word) = directives.iter().filter(is_word).find(no_level) {
        return Err(FilterError::NotALevel((*word).to_owned()));
    }
    // A filter that names modules only would switch everything off in the others, and so hide why
    // the ledger has stopped. A level of the filter's own, `off` too, comes later and wins.
    let names_something = directives.iter().any(|text| !text.is_empty());
    let with_errors = if names_something { "error," } else { "" };
    Ok(builder.parse(format!("{with_errors}{}", directives.join(",")))?)
}

/// Lets through every line of our own crates, and of all others only warnings and errors.
pub(super) fn quiet_libraries() -> FilterFn {
    fn is_let_through(metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN || is_ours(metadata.target())
    }
    filter_fn(is_let_through as fn(&Metadata<'_>) -> bool)
}

fn is_ours(target: &str) -> bool {
    let crate_name = target.split("::").next().unwrap_or(target);
    OUR_CRATES.contains(&crate_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_refused_with_what_to_write() {
        let error = check("vault_server=loud").unwrap_err().to_string();
        assert!(error.contains("; write a level"), "{error}");
        assert!(check("info,vault_server=debug").is_ok());
    }

    /// Found by fuzzing: with spaces in front, this was cut in the middle of a character. Fails
    /// without `trim`.
    #[test]
    fn spaces_around_a_directive_do_not_count() {
        assert!(check(" info , vault_server=debug ").is_ok());
        assert!(check("\u{2003}\u{2003}\u{430}\u{430}\u{430}=debug").is_ok());
    }
}
