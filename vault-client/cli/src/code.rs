//! Exit codes. Numbers and names are part of the interface: scripts depend on them, and the help
//! prints them from here.

/// Why a command failed, as far as scripts tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Failure,
    Usage,
    WrongPassword,
    Waiting,
    Destroyed,
    NotRegistered,
    Network,
    DamagedBackup,
    WrongVault,
    AlreadyRegistered,
    Refused,
    NoKey,
    UnknownOutcome,
    Interrupted,
}

/// Number, name in JSON, meaning. The gaps are codes of former versions, which are not used again.
type Row = (u8, &'static str, &'static str);

impl Code {
    const ALL: [Self; 14] = [
        Self::Failure,
        Self::Usage,
        Self::WrongPassword,
        Self::Waiting,
        Self::Destroyed,
        Self::NotRegistered,
        Self::Network,
        Self::DamagedBackup,
        Self::WrongVault,
        Self::AlreadyRegistered,
        Self::Refused,
        Self::NoKey,
        Self::UnknownOutcome,
        Self::Interrupted,
    ];

    /// The process's exit code.
    pub(crate) fn number(self) -> u8 {
        self.row().0
    }

    /// `error` in JSON.
    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    /// The rows of the help.
    pub(crate) fn table() -> String {
        let mut rows = vec!["  0    -                   it is done".to_owned()];
        for code in Self::ALL {
            let (number, name, meaning) = code.row();
            rows.push(format!("  {number:<3}  {name:<18}  {meaning}"));
        }
        rows.join("\n")
    }

    fn row(self) -> Row {
        match self {
            Self::Failure => (
                1,
                "failure",
                "a file, the state or this version is not usable",
            ),
            Self::Usage => (2, "usage", "options, password or digits are not acceptable"),
            Self::WrongPassword => (3, "wrong-password", "it is wrong; attempts are left"),
            Self::Waiting => (4, "waiting", "no attempt before a time that is named"),
            Self::Destroyed => (
                5,
                "destroyed",
                "the record is destroyed for good (see enable --after-destroyed)",
            ),
            Self::NotRegistered => (6, "not-registered", "the vault has no key of this account"),
            Self::Network => (7, "network", "no answer, or too much to do: try again"),
            Self::DamagedBackup => (
                8,
                "damaged-backup",
                "truncated, altered, no backup, or made with another key",
            ),
            Self::WrongVault => (
                11,
                "wrong-vault",
                "not the pinned vault, an old statement, a wrong clock",
            ),
            Self::AlreadyRegistered => (
                13,
                "already-registered",
                "a record or key is there that this one may not replace",
            ),
            Self::Refused => (
                14,
                "refused",
                "the app's backend or the token does not allow it",
            ),
            Self::NoKey => (15, "no-key", "this device has no key for the command"),
            Self::UnknownOutcome => (
                18,
                "unknown-outcome",
                "an attempt may be used up, or a change made: no answer, or too late",
            ),
            // As shells have it.
            Self::Interrupted => (130, "interrupted", "stopped by Ctrl-C"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn exit_codes_and_names_are_distinct() {
        let numbers: HashSet<u8> = Code::ALL.iter().map(|code| code.number()).collect();
        let names: HashSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(names.len(), Code::ALL.len());
        assert!(!numbers.contains(&0));
    }
}
