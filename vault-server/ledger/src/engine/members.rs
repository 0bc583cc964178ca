//! Which anchors a vault has, as its root says it.
//!
//! ```text
//! members = for each anchor: id (16 bytes) || length (2 bytes, big-endian) || locator
//! ```
//!
//! The root authenticates it, so an anchor that was left out when the root was written can neither
//! come back with an older key, nor be left out without the command that removes it. The locators are
//! for messages: an anchor may be moved.

use crate::anchor::{AnchorId, Locator};
use crate::tree::seal::Unreadable;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Members(pub(super) Vec<(AnchorId, Locator)>);

impl Members {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, locator) in &self.0 {
            // Linux takes no longer paths; it would show in messages only.
            let locator = locator.as_bytes();
            let locator = &locator[..locator.len().min(4096)];
            let length = u16::try_from(locator.len()).expect("4,096 fits in 16 bits");
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(locator);
        }
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Members, Unreadable> {
        let mut members = Vec::new();
        while !bytes.is_empty() {
            let (id, rest) = bytes.split_first_chunk().ok_or(Unreadable)?;
            let (length, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (locator, rest) = rest.split_at_checked(length).ok_or(Unreadable)?;
            members.push((AnchorId(*id), Locator::from_bytes(locator)));
            bytes = rest;
        }
        Ok(Members(members))
    }

    pub(super) fn has(&self, id: AnchorId) -> bool {
        self.0.iter().any(|(member, _)| *member == id)
    }

    /// The anchor that was here when the root was written.
    pub(super) fn last_at(&self, locator: &Locator) -> Option<AnchorId> {
        let mut members = self.0.iter();
        let member = members.find(|(_, last)| last == locator);
        member.map(|(id, _)| *id)
    }

    /// The locator of the first that is not among these.
    pub(super) fn missing_in(&self, others: &Members) -> Option<&Locator> {
        let mut missing = self.0.iter().filter(|(id, _)| !others.has(*id));
        missing.next().map(|(_, locator)| locator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Members {
        Members(vec![
            (AnchorId([1; 16]), Locator::parse("/a/anchor")),
            (AnchorId([2; 16]), Locator::parse("/b")),
        ])
    }

    #[test]
    fn truncated_lists_are_unreadable() {
        let bytes = members().encode();
        let first = 16 + 2 + "/a/anchor".len();
        for length in (1..bytes.len()).filter(|length| *length != first) {
            assert_eq!(Members::decode(&bytes[..length]), Err(Unreadable));
        }
    }

    #[test]
    fn lists_are_read_as_they_were_written() {
        assert_eq!(Members::decode(&members().encode()), Ok(members()));
    }

    #[test]
    fn members_are_the_same_wherever_they_are() {
        let moved = Members(vec![
            (AnchorId([2; 16]), Locator::parse("/c")),
            (AnchorId([1; 16]), Locator::parse("/d")),
        ]);
        assert_eq!(members().missing_in(&moved), None);
        let fewer = Members(vec![(AnchorId([1; 16]), Locator::parse("/a/anchor"))]);
        assert_eq!(members().missing_in(&fewer), Some(&Locator::parse("/b")));
        assert_eq!(fewer.missing_in(&members()), None);
    }
}
