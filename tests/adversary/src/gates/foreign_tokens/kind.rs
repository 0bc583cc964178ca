//! The requests that are sent with each credential.

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Status,
    Reset,
    /// Inside the sealed channel.
    Start,
    FalseFinish,
    Abandon,
    Register,
    Delete,
    SealedStatus,
}

pub(super) const KINDS: [Kind; 8] = [
    Kind::Start,
    Kind::Status,
    Kind::Reset,
    Kind::FalseFinish,
    Kind::Abandon,
    Kind::Register,
    Kind::Delete,
    Kind::SealedStatus,
];

impl Kind {
    pub(super) fn is_sealed(self) -> bool {
        !matches!(self, Self::Status | Self::Reset)
    }
}
