//! Exit codes. Numbers and names are part of the interface: scripts depend on them, and the help prints
//! them from here.

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1
    Failure,
    /// 2
    Usage,
    /// 3
    WrongPassword,
    /// 4
    Waiting,
    /// 5
    Destroyed,
    /// 6
    NotRegistered,
    /// 7
    Network,
    /// 8
    DamagedBackup,
    /// 9
    WrongKey,
    /// 10
    WeakPassword,
    /// 11
    WrongVault,
    /// 12
    MalformedKey,
    /// 13
    AlreadyRegistered,
    /// 14
    Refused,
    /// 15
    NoKey,
    /// 16
    DeviceState,
    /// 17
    Incompatible,
    /// 18
    UnknownOutcome,
    /// 19
    DamagedRecord,
    /// 130, as shells have it
    Interrupted,
}

impl Code {
    const ALL: [Self; 20] = [
        Self::Failure,
        Self::Usage,
        Self::WrongPassword,
        Self::Waiting,
        Self::Destroyed,
        Self::NotRegistered,
        Self::Network,
        Self::DamagedBackup,
        Self::WrongKey,
        Self::WeakPassword,
        Self::WrongVault,
        Self::MalformedKey,
        Self::AlreadyRegistered,
        Self::Refused,
        Self::NoKey,
        Self::DeviceState,
        Self::Incompatible,
        Self::UnknownOutcome,
        Self::DamagedRecord,
        Self::Interrupted,
    ];

    /// What the process exits with.
    pub fn number(self) -> u8 {
        self.row().0
    }

    /// `error` in JSON.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// All of them, for the help.
    pub fn table() -> String {
        let header = "  0    -                   it is done".to_owned();
        let rows = Self::ALL.iter().map(|code| {
            let (number, name, meaning) = code.row();
            format!("  {number:<3}  {name:<18}  {meaning}")
        });
        std::iter::once(header)
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn row(self) -> (u8, &'static str, &'static str) {
        match self {
            Self::Failure => (
                1,
                "failure",
                "a file cannot be read or written, a target exists, ...",
            ),
            Self::Usage => (2, "usage", "the arguments or options do not fit"),
            Self::WrongPassword => (
                3,
                "wrong-password",
                "the password is wrong; attempts are left",
            ),
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
                "truncated, altered, or no backup at all",
            ),
            Self::WrongKey => (9, "wrong-key", "the backup was made with another key"),
            Self::WeakPassword => (10, "weak-password", "too easy to guess, or not allowed"),
            Self::WrongVault => (
                11,
                "wrong-vault",
                "not the pinned vault, an old statement, a wrong clock",
            ),
            Self::MalformedKey => (
                12,
                "malformed-key",
                "what was given as key is not 64 digits",
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
            Self::DeviceState => (
                16,
                "device-state",
                "the state file is damaged, locked or open to others",
            ),
            Self::Incompatible => (
                17,
                "incompatible",
                "update the app, or tell the vault's operator",
            ),
            Self::UnknownOutcome => (
                18,
                "unknown-outcome",
                "an attempt may be used up, or a change made: no answer, or too late",
            ),
            Self::DamagedRecord => (
                19,
                "damaged-record",
                "the password is right, what the vault keeps is damaged",
            ),
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
