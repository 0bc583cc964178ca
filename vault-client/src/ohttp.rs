//! The sealed channel's device half (PROTOCOL.md section 5): an inner call becomes the body of
//! `POST /v1/ohttp`, and its answer is opened again. A relay can neither read nor change the bytes,
//! nor give one request another one's answer.

use ::ohttp::ClientResponse;
use vault_protocol::inner_http::{MAX_SEALED_LEN, decode_response, encode_request};
use vault_protocol::ohttp_keys::{self, NoUsableKey};
use vault_protocol::statement::StatementRefused;
use vault_protocol::time::Timestamp;

use crate::call::{InnerAnswer, InnerCall};
use crate::error::{Error, NoAnswer};
use crate::trust::VerifiedVault;

/// Opens the answer to one sealed request, and to no other.
pub struct AnswerKey(ClientResponse);

impl VerifiedVault {
    /// Seals a call, padded, to the best key of the vault's statement. Every sending is sealed
    /// anew, also of the same call: a message that is sent twice is a replay.
    ///
    /// # Errors
    ///
    /// [`StatementRefused::Expired`] if the statement has expired at `now`: fetch it again. Its keys
    /// may be withdrawn since.
    pub fn seal(&self, call: &InnerCall, now: Timestamp) -> Result<(Vec<u8>, AnswerKey), Error> {
        if !self.is_current(now) {
            return Err(StatementRefused::Expired.into());
        }
        let message = encode_request(call.method(), call.path(), call.body());
        let request = ohttp_keys::select(&self.0.ohttp_keys)?;
        let (sealed, response) = request.encapsulate(&message).map_err(|_| NoUsableKey)?;
        Ok((sealed, AnswerKey(response)))
    }
}

impl AnswerKey {
    /// Opens the body of an answer with outer status 200, at most [`MAX_SEALED_LEN`] bytes. A body
    /// that does not open was not written by the vault for this request. Whether the request had its
    /// effect is unknown then.
    pub fn open(self, sealed: &[u8]) -> Result<InnerAnswer, NoAnswer> {
        if sealed.len() > MAX_SEALED_LEN {
            return Err(NoAnswer::TooLarge);
        }
        let message = self
            .0
            .decapsulate(sealed)
            .map_err(|_| NoAnswer::NotSealed)?;
        let response = decode_response(&message).map_err(|_| NoAnswer::NotSealed)?;
        Ok(InnerAnswer {
            status: response.status,
            content: response.content,
        })
    }
}
