//! Logs: text or JSON lines on standard error.
//!
//! Two things are kept out whatever the filter says. *Libraries' lines below warnings*: HTTP and
//! HPKE crates print headers, frames and keys there, others paths of the machine they were built on. *Panic payloads*: an `expect` or an assertion
//! can print the value it failed on, which may be a secret; the place is enough to find it.

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "log.filter: {0}; write a level (error, warn, info, debug, trace) or e.g. \"info,vault_server=debug\""
    )]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// One word, which is no level.
    #[error(
        "{0:?} is no level (error, warn, info, debug, trace, off); for a module write e.g. \"info,vault_server=debug\""
    )]
    NotALevel(String),
    /// Something in this process logs already.
    #[error("logging was already set up in this process")]
    Twice,
}

/// Sets up logging and the panic hook for this process.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let subscriber = subscriber(config, std::io::stderr, std::io::stderr().is_terminal())?;
    subscriber.try_init().map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// For commands that are not a service: they log nothing but what went wrong, as the ledger says it.
pub fn init_for_command() -> Result<(), TelemetryError> {
    let config = LogConfig {
        format: LogFormat::Text,
        filter: "warn".to_owned(),
    };
    let subscriber = subscriber(&config, std::io::stderr, std::io::stderr().is_terminal())?;
    subscriber.try_init().map_err(|_| TelemetryError::Twice)
}

/// Keeps the payloads of panics off the terminal, for commands that do not log.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let mut stderr = std::io::stderr();
        // `eprintln!` would panic again when nobody can take the text.
        let _ = match info.location() {
            Some(place) => writeln!(
                stderr,
                "internal error at {}:{}",
                place.file(),
                place.line()
            ),
            None => writeln!(stderr, "internal error"),
        };
    }));
}

/// Checks a filter's syntax.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse_filter(filter).map(drop)
}

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
    colours: bool,
) -> Result<impl Subscriber + Send + Sync + 'static, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = parse_filter(&config.filter)?.and(quiet_libraries());
    let lines = lines(config.format, writer, colours);
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter)))
}

fn lines<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // It would say with `eprintln!` that a line cannot be written, on a full disk for example,
        // and that panics for the same reason.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => layer.with_ansi(colours).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    // tracing-subscriber 0.3.23 counts from the first character behind spaces and cuts from the first
    // of all: it refuses "info, vault_server=debug", and panics in the middle of a longer character.
    let directives: Vec<_> = filter.split(',').map(str::trim).collect();
    // It would take a level that is mistyped for the name of a module, and log nothing else.
    let is_word = |text: &&&str| !text.is_empty() && !text.contains(['=', '[']);
    let no_level = |text: &&&str| text.parse::<LevelFilter>().is_err();
    if let Some(word) = directives.iter().filter(is_word).find(no_level) {
        return Err(TelemetryError::NotALevel((*word).to_owned()));
    }
    // A filter that names modules only would switch everything off in the others, and so hide why the
    // ledger has stopped. A level of the filter's own, `off` too, comes later and wins.
    let names_something = directives.iter().any(|text| !text.is_empty());
    let with_errors = if names_something { "error," } else { "" };
    Ok(builder.parse(format!("{with_errors}{}", directives.join(",")))?)
}

/// Lets through what our own crates log, and of all others only warnings and errors.
fn quiet_libraries() -> FilterFn {
    fn is_let_through(metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN || is_ours(metadata.target())
    }
    filter_fn(is_let_through as fn(&Metadata<'_>) -> bool)
}

fn is_ours(target: &str) -> bool {
    let crate_name = target.split("::").next().unwrap_or(target);
    [
        "vault_server",
        "vault_rules",
        "vault_ledger",
        "vault_protocol",
    ]
    .contains(&crate_name)
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    match info.location() {
        Some(place) => tracing::error!(
            file = place.file(),
            line = place.line(),
            thread,
            "a thread panicked; its message is not logged, it could hold a secret"
        ),
        None => tracing::error!(thread, "a thread panicked"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn log(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let config = LogConfig {
            format,
            filter: filter.to_owned(),
        };
        let subscriber = subscriber(&config, captured.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        captured.text()
    }

    #[test]
    fn a_filter_that_does_not_parse_is_refused_by_name() {
        let error = check_filter("vault_server=loud").unwrap_err().to_string();
        assert!(error.starts_with("log.filter: "), "{error}");
        assert!(check_filter("info,vault_server=debug").is_ok());
    }

    /// Found by fuzzing: with spaces in front, this was cut in the middle of a character. Fails
    /// without `trim`.
    #[test]
    fn spaces_around_a_directive_do_not_count() {
        assert!(check_filter(" info , vault_server=debug ").is_ok());
        assert!(check_filter("\u{2003}\u{2003}\u{430}\u{430}\u{430}=debug").is_ok());
    }

    /// Fails when `quiet_libraries` is not part of the filter.
    #[test]
    fn lines_of_libraries_below_warnings_are_never_written() {
        let text = log(LogFormat::Text, "trace,h2=trace", || {
            tracing::trace!(target: "h2::hpack", "canary");
            tracing::debug!(target: "ohttp", "canary");
            tracing::debug!(target: "vault_serverx", "canary");
            tracing::info!(target: "rusqlite_migration", "canary");
            tracing::warn!(target: "h2", "library");
            tracing::trace!(target: "vault_server::http", "ours");
        });
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("library"), "{text}");
        assert!(text.contains("ours"), "{text}");
    }

    /// Fails without `error,` in front of the filter.
    #[test]
    fn a_filter_that_names_one_module_does_not_hide_the_errors_of_others() {
        let say = || {
            tracing::error!(target: "vault_ledger::writer", "the reason");
            tracing::warn!(target: "vault_ledger::writer", "unseen");
            tracing::debug!(target: "vault_server::http", "in detail");
        };
        let text = log(LogFormat::Text, "vault_server=debug", say);
        assert!(text.contains("the reason"), "{text}");
        assert!(text.contains("in detail"), "{text}");
        assert!(!text.contains("unseen"), "{text}");
        assert_eq!(log(LogFormat::Text, "off", say), "");
        assert!(log(LogFormat::Text, "warn", say).contains("unseen"));
        let text = log(LogFormat::Text, "vault_server=debug,vault_ledger=off", say);
        assert!(!text.contains("the reason"), "{text}");
    }

    #[test]
    fn below_the_filter_nothing_is_written() {
        let text = log(LogFormat::Text, "warn", || tracing::info!("unseen"));
        assert_eq!(text, "");
    }

    #[test]
    fn json_lines_parse() {
        let text = log(LogFormat::Json, "info", || {
            tracing::info!(request_id = "r1", "two\nlines");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "two\nlines");
        assert_eq!(line["request_id"], "r1");
        assert_eq!(line["level"], "INFO");
    }

    /// Run by the next test in a process of its own, for its standard error.
    #[test]
    fn child_whose_lines_nobody_can_take() {
        if std::env::var_os("VAULT_TEST_FULL_DISK").is_some() {
            init(&LogConfig::default()).unwrap();
            tracing::error!("nobody can take this");
        }
    }

    /// Fails without `log_internal_errors(false)`: the log line panics.
    #[test]
    fn a_line_that_cannot_be_written_stops_nothing() {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "telemetry::logs::tests::child_whose_lines_nobody_can_take",
            ])
            .env("VAULT_TEST_FULL_DISK", "1")
            .stderr(full)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    /// Run by the next test in a process of its own: the hook is the process's.
    #[test]
    fn child_that_panics() {
        if std::env::var_os("VAULT_TEST_CHILD").is_some() {
            init(&LogConfig::default()).unwrap();
            panic!("canary");
        }
    }

    /// Fails without `set_hook`: the default hook prints the payload.
    #[test]
    fn a_panic_is_logged_with_its_place_but_without_its_message() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "telemetry::logs::tests::child_that_panics",
            ])
            .env("VAULT_TEST_CHILD", "1")
            .output()
            .unwrap();
        let stderr = String::from_utf8(child.stderr).unwrap();
        assert!(stderr.contains("a thread panicked"), "{stderr}");
        assert!(stderr.contains("logs.rs"), "{stderr}");
        assert!(!stderr.contains("canary"), "{stderr}");
    }
}
