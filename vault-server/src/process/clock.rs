//! The vault's clock: the only place that reads the time.
//!
//! Everything that decides (waits, expiry, rotation) counts from the wall clock *at process start*
//! plus the boot clock since (PROTOCOL.md section 7). Setting the system's clock during a run thus
//! neither ends a wait nor starts one; time that the machine spends suspended counts. The rules
//! handle a clock that was set back or forward between two runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use vault_protocol::Timestamp;

/// A handle to the clock; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Timestamp,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// The boot clock as it stood at the start.
    Boot { at_start: Duration },
    /// Milliseconds since the start, moved by hand.
    Manual { elapsed: Arc<AtomicU64> },
}

impl Clock {
    /// The system's clock. Call it once, when the process starts.
    pub(crate) fn system() -> Self {
        Self {
            started: wall_clock(),
            source: Source::Boot {
                at_start: boot_clock(),
            },
        }
    }

    /// A clock for tests: it stands still until it is advanced.
    pub fn manual(start: Timestamp) -> Self {
        Self {
            started: start,
            source: Source::Manual {
                elapsed: Arc::default(),
            },
        }
    }

    /// Never goes back during a run.
    pub fn now(&self) -> Timestamp {
        let elapsed = match &self.source {
            Source::Boot { at_start } => millis(boot_clock().saturating_sub(*at_start)),
            Source::Manual { elapsed } => elapsed.load(Ordering::SeqCst),
        };
        Timestamp::from_millis(self.started.millis().saturating_add(elapsed))
    }

    /// Now and the start of this run, as commands carry them. Open attempts do not expire while the
    /// vault is down: their time counts from the start at the earliest.
    pub(crate) fn command_time(&self) -> vault_rules::CommandTime {
        vault_rules::CommandTime {
            now: self.now(),
            running_since: self.started,
        }
    }

    /// Moves a manual clock, and all its clones, forward.
    ///
    /// # Panics
    /// If this is the system's clock: nothing moves that.
    pub fn advance(&self, by: Duration) {
        let Source::Manual { elapsed } = &self.source else {
            panic!("only a manual clock can be advanced");
        };
        elapsed.fetch_add(millis(by), Ordering::SeqCst);
    }
}

/// A clock that stands before 1970 reads as 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock, once per process"
)]
fn wall_clock() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_millis(millis(since_1970.unwrap_or_default()))
}

/// CLOCK_BOOTTIME: only ever goes forward, also while the machine is suspended, and cannot be set.
fn boot_clock() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("the boot clock counts up from 0");
    let nanos = u64::try_from(time.tv_nsec).expect("nanoseconds are not negative");
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    #[should_panic(expected = "only a manual clock")]
    fn the_system_clock_cannot_be_advanced() {
        Clock::system().advance(Duration::from_secs(1));
    }

    #[test]
    fn a_manual_clock_stands_still() {
        let clock = Clock::manual(START);
        assert_eq!(clock.now(), START);
        assert_eq!(clock.now(), START);
    }

    #[test]
    fn advancing_a_manual_clock_moves_its_clones_but_not_the_start() {
        let clock = Clock::manual(START);
        let clone = clock.clone();
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clone.now().millis(), START.millis() + 1500);
        assert_eq!(clone.started, START);
    }

    #[test]
    fn advancing_past_the_end_of_time_stays_at_the_end() {
        let clock = Clock::manual(START);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::from_millis(u64::MAX));
    }

    /// Fails when `now` reads the wall clock: a `Clock` whose start is long past would jump.
    #[test]
    fn a_run_goes_on_from_its_start_and_not_from_the_wall_clock() {
        let clock = Clock {
            started: START,
            source: Source::Boot {
                at_start: boot_clock(),
            },
        };
        assert!(clock.now() >= START);
        assert!(clock.now() < START.plus_seconds(24 * 3600));
    }

    #[test]
    fn the_system_clock_never_goes_back_and_starts_at_the_present() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(first >= clock.started);
        assert!(clock.now() >= first);
        // Later than the day this was written.
        assert!(first > START);
    }
}
