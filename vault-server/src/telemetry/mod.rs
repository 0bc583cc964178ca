//! Logs: text or JSON lines on standard error.

mod logs;

pub use self::logs::{TelemetryError, check_filter, init, init_for_command, quiet_panics};
