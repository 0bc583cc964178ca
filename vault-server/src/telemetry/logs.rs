//! Logs: text or JSON lines on standard error.
//!
//! The payload of a panic is kept out: an `expect` or an assertion can print the value that it
//! failed on, which may be a secret. The place is enough to find it.

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;

use tracing::Subscriber;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::config::{LogConfig, LogFormat};
use super::filter::{self, FilterError};

/// Sets up logging and the panic hook for this process. Call it or [`init_for_command`], once.
pub(crate) fn init(config: &LogConfig) -> Result<(), FilterError> {
    install(config)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// For commands that are not a service: they log only warnings and errors, which the ledger has.
pub(crate) fn init_for_command() -> Result<(), FilterError> {
    install(&LogConfig {
        format: LogFormat::Text,
        filter: "warn".to_owned(),
    })
}

fn install(config: &LogConfig) -> Result<(), FilterError> {
    let stderr = std::io::stderr;
    subscriber(config, stderr, stderr().is_terminal())?.init();
    Ok(())
}

/// Keeps the payloads of panics off the terminal, for commands that do not log.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let mut stderr = std::io::stderr();
        // `eprintln!` would panic again when the text cannot be written.
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

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
    colours: bool,
) -> Result<impl Subscriber + Send + Sync + 'static, FilterError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter::parse(&config.filter)?.and(filter::quiet_libraries());
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
    fn child_whose_lines_cannot_be_written() {
        if std::env::var_os("VAULT_TEST_FULL_DISK").is_some() {
            init(&LogConfig::default()).unwrap();
            tracing::error!("this cannot be written");
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
                "telemetry::logs::tests::child_whose_lines_cannot_be_written",
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
