//! The way of bytes between a device and a vault. A transport sees sealed messages only; it need
//! not be trusted for anything but service.

use std::future::Future;

use crate::error::NoAnswer;
use crate::outer::OuterAnswer;

/// Sends one request and waits for its answer. An implementation never repeats by itself, follows
/// no redirects, and bounds time and size; it reports [`NoAnswer::Unreachable`] only if nothing was
/// sent, and otherwise [`NoAnswer::Lost`] or [`NoAnswer::TooLarge`].
pub trait Transport: Send + Sync {
    /// `GET /v1/vault`: the signed statement.
    fn statement(&self) -> impl Future<Output = Result<OuterAnswer, NoAnswer>> + Send;

    /// `POST /v1/ohttp`, media type `message/ohttp-req`, with this body.
    fn post_sealed(
        &self,
        message: Vec<u8>,
    ) -> impl Future<Output = Result<OuterAnswer, NoAnswer>> + Send;
}
