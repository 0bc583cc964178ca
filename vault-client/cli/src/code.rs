//! Exit codes. Numbers and names are part of the interface: scripts depend on them.

/// Why a command failed, as far as scripts tell it apart. The gaps are codes of former versions, which
/// are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Failure = 1,
    Usage = 2,
    WrongPassword = 3,
    Waiting = 4,
    Destroyed = 5,
    NotRegistered = 6,
    Network = 7,
    DamagedBackup = 8,
    WrongVault = 11,
    AlreadyRegistered = 13,
    Refused = 14,
    NoKey = 15,
    UnknownOutcome = 18,
    /// As shells have it.
    Interrupted = 130,
}

/// Number, name in JSON, meaning: as the help shows it.
pub(crate) const TABLE: &str = "  0    -                   it is done
  1    failure             anything else: the message says what
  2    usage               options, password or digits are not acceptable
  3    wrong-password      it is wrong; attempts are left, or the vault did not say how many
  4    waiting             no attempt before a time that is named
  5    destroyed           the record is destroyed for good (see enable --after-destroyed)
  6    not-registered      the vault has no key of this account
  7    network             no answer, or too much to do: try again
  8    damaged-backup      truncated, altered, no backup, or made with another key
  11   wrong-vault         not the pinned vault, an old statement, a wrong clock
  13   already-registered  a record or key is there that this one may not replace
  14   refused             the app's backend or the token does not allow it
  15   no-key              no key, or no password protection, for the command
  18   unknown-outcome     an attempt may be used up, or a change made: no answer, or too late
  130  interrupted         stopped by Ctrl-C";

impl Code {
    /// The process's exit code.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// `error` in JSON.
    pub(crate) fn name(self) -> &'static str {
        let number = self.number().to_string();
        let mut rows = TABLE.lines().map(str::split_whitespace);
        rows.find_map(|mut row| (row.next()? == number).then(|| row.next())?)
            .expect("the table has a row for each code")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fails if a row is missing or has another number.
    #[test]
    fn each_code_has_its_row() {
        let rows = [
            (Code::Failure, "failure"),
            (Code::Usage, "usage"),
            (Code::WrongPassword, "wrong-password"),
            (Code::Waiting, "waiting"),
            (Code::Destroyed, "destroyed"),
            (Code::NotRegistered, "not-registered"),
            (Code::Network, "network"),
            (Code::DamagedBackup, "damaged-backup"),
            (Code::WrongVault, "wrong-vault"),
            (Code::AlreadyRegistered, "already-registered"),
            (Code::Refused, "refused"),
            (Code::NoKey, "no-key"),
            (Code::UnknownOutcome, "unknown-outcome"),
            (Code::Interrupted, "interrupted"),
        ];
        for (code, name) in rows {
            assert_eq!(code.name(), name);
        }
        assert_eq!(TABLE.lines().count(), 1 + rows.len());
    }
}
