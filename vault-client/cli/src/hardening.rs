//! Keeps the key and the passwords of a command that crashes out of files.

use rustix::process::{Resource, Rlimit, setrlimit};

/// No core dumps, by limit and, where there is such a thing, by making the process not dumpable: a
/// core *pattern* that is a pipe ignores the limit. Where it is not allowed, the command runs
/// without: its user could do nothing about it.
pub(crate) fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getrlimit;

    // Fails if `harden` leaves out the limit, or that the process is not dumpable. It then holds
    // for the other tests of this process too, which do not mind.
    #[test]
    fn there_are_no_core_dumps() {
        harden();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
