//! Open files: every connection is one. A shell's usual soft limit is 1024, as many as there can be
//! connections; then the database's own files, or a newcomer, would find none left.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the process opens beside its connections: database, WAL, anchors, sockets, the
/// runtime's.
const OWN: u64 = 64;

/// The limit is too low for the connections that are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "open files are limited to {limit}, {needed} are needed for limits.max_connections: raise the limit \
     (LimitNOFILE in systemd, `ulimit -n` in a shell) or lower max_connections"
)]
pub(crate) struct TooFew {
    limit: u64,
    needed: u64,
}

/// Raises the soft limit as far as the hard one allows, and checks that it is enough.
pub(crate) fn provide_for(connections: u64) -> Result<(), TooFew> {
    let needed = connections + OWN;
    let before = getrlimit(Resource::Nofile);
    if before.current.is_some_and(|current| current < needed) {
        let wanted = before.maximum.map_or(needed, |maximum| maximum.min(needed));
        let raised = Rlimit {
            current: Some(wanted),
            maximum: before.maximum,
        };
        // The limit is read again below, whatever this returned.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(TooFew { limit, needed }),
        _ => Ok(()),
    }
}
