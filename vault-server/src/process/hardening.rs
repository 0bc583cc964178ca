//! Process hardening: keeps the secrets of a running vault out of files.
//!
//! - No core dumps, by limit and by making the process not dumpable; the latter also keeps other
//!   processes of the same user from attaching to it and from reading its memory.
//! - Memory locked, so that no secret is written to swap.
//!
//! Root can still read everything. Through rustix's safe wrappers, so that `unsafe` stays
//! forbidden.

use std::fs;

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{CapabilitySet, capabilities};

/// A protection that is not in force. The vault runs without it, and says so in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    #[error("core files could not be switched off: {0}")]
    CoreLimit(Errno),
    #[error("the process could not be made not dumpable: {0}")]
    Dumpable(Errno),
    /// Locking memory is not allowed without limit. With a limit it is not even tried: once the
    /// limit is reached, allocations would fail and take the vault down.
    #[error(
        "memory is not locked, secrets may be written to swap; allow it with LimitMEMLOCK=infinity \
         (systemd), --ulimit memlock=-1 (containers) or the capability CAP_IPC_LOCK, or run without swap"
    )]
    MemoryLockNotAllowed,
    #[error("memory could not be locked, secrets may be written to swap: {0}")]
    MemoryLock(Errno),
}

/// Hardens this process. Call it first of all, before any secret is read and any thread started.
/// Returns the protections that could not be put in force.
pub(crate) fn harden() -> Vec<Warning> {
    [no_core_files(), not_dumpable(), lock_memory()]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

fn no_core_files() -> Result<(), Warning> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(Warning::CoreLimit)
}

/// Needed beside the limit: a core *pattern* that is a pipe ignores the limit.
fn not_dumpable() -> Result<(), Warning> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Warning::Dumpable)
}

/// On fault: pages are locked when they are first used. A page that was never used holds no secret,
/// and locking every thread's whole stack would cost hundreds of megabytes.
fn lock_memory() -> Result<(), Warning> {
    if !may_lock_without_limit() {
        return Err(Warning::MemoryLockNotAllowed);
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(Warning::MemoryLock)
}

fn may_lock_without_limit() -> bool {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    unlimited || (has_ipc_lock() && is_in_first_user_namespace())
}

fn has_ipc_lock() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
}

/// A capability inside a user namespace of one's own (rootless containers) does not lift the limit.
fn is_in_first_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, ChildStdout, Command, Stdio};

    use rustix::process::dumpable_behavior;
    use rustix::thread::set_capabilities;

    use super::*;

    const ROLE: &str = "VAULT_TEST_HARDENING";

    /// Run by the tests below in a process of its own, which hardening then changes.
    #[test]
    fn child_that_hardens_itself() {
        let Some(role) = std::env::var_os(ROLE) else {
            return;
        };
        if role == "without the right to lock" {
            give_up_the_right_to_lock();
        }
        let warnings = harden();
        let dumpable = dumpable_behavior().unwrap();
        println!("\nreport: {warnings:?} {dumpable:?}");
        // Lives until the parent has looked at it from outside.
        std::io::stdin().lines().for_each(drop);
    }

    fn give_up_the_right_to_lock() {
        let limit = Rlimit {
            current: Some(1 << 20),
            maximum: Some(1 << 20),
        };
        setrlimit(Resource::Memlock, limit).unwrap();
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::IPC_LOCK;
        set_capabilities(None, sets).unwrap();
    }

    struct Hardened {
        child: Child,
        output: BufReader<ChildStdout>,
        report: String,
    }

    impl Hardened {
        fn start(role: &str) -> Self {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "--nocapture",
                    "process::hardening::tests::child_that_hardens_itself",
                ])
                .env(ROLE, role)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let report = output
                .by_ref()
                .lines()
                .map_while(Result::ok)
                .find(|line| line.starts_with("report: "))
                .expect("the child reports");
            Self {
                child,
                output,
                report,
            }
        }

        fn proc(&self, file: &str, key: &str) -> String {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap();
            line[key.len()..]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        }

        fn locked_kib(&self) -> u64 {
            let locked = self.proc("status", "VmLck:");
            locked.strip_suffix(" kB").unwrap().parse().unwrap()
        }
    }

    impl Drop for Hardened {
        fn drop(&mut self) {
            drop(self.child.stdin.take());
            self.output.read_to_end(&mut Vec::new()).unwrap();
            self.child.wait().unwrap();
        }
    }

    /// Fails when `may_lock_without_limit` answers true: locking is then tried under the limit.
    #[test]
    fn without_the_right_to_lock_there_is_a_warning_and_nothing_is_locked() {
        let hardened = Hardened::start("without the right to lock");
        assert!(
            hardened.report.contains("[MemoryLockNotAllowed]"),
            "{}",
            hardened.report
        );
        assert_eq!(hardened.locked_kib(), 0);
        let text = Warning::MemoryLockNotAllowed.to_string();
        assert!(text.contains("LimitMEMLOCK=infinity"));
    }

    /// Fails without `no_core_files` or `not_dumpable`.
    #[test]
    fn a_hardened_process_leaves_no_core_dump() {
        let hardened = Hardened::start("as it is");
        let limits = hardened.proc("limits", "Max core file size");
        assert_eq!(limits, "0 0 bytes");
        assert!(
            hardened.report.ends_with(" NotDumpable"),
            "{}",
            hardened.report
        );
    }

    /// Fails without `lock_memory`: then there is neither a warning nor a locked page.
    #[test]
    fn memory_is_locked_or_there_is_a_warning() {
        let hardened = Hardened::start("as it is");
        let warned = hardened.report.contains("MemoryLock");
        assert_ne!(warned, hardened.locked_kib() > 0, "{}", hardened.report);
    }
}
