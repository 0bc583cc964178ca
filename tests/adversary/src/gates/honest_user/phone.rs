//! The phones of the owner and the thief.

use vault_protocol::messages::RetrievalFinished;

use vault_tests::device::{Guess, Login};

/// How far an owner's phone is.
pub enum Phone {
    Idle,
    /// The password is typed and blinded; charged as this number, if the request arrived.
    Typed(Box<Guess>, Option<u64>),
    /// The password was right.
    Proven(Login, u64),
    /// The key is there; the answer can be fetched again for a while.
    Done(Login, u64, RetrievalFinished),
}

/// The fault of the network for one request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Works,
    LosesRequest,
    LosesAnswer,
}

/// How a thief ends a guess.
#[derive(Clone, Copy)]
pub enum End {
    Never,
    Finished,
    Abandoned,
}

impl Phone {
    /// Whether the key is there.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(..))
    }

    /// The next generation's attempts have the same numbers.
    pub fn forget_number(&mut self) {
        if let Self::Proven(_, number) | Self::Done(_, number, _) = self {
            *number = 0;
        }
    }

    /// The attempt that it still needs.
    pub fn charged(&self) -> Option<u64> {
        match self {
            Self::Typed(_, charged) => *charged,
            Self::Proven(_, number) => Some(*number),
            Self::Idle | Self::Done(..) => None,
        }
    }
}
