//! The messages inside the sealed channel: binary HTTP (RFC 9292), padded with zeros so that the
//! length tells the relay nothing (PROTOCOL.md section 5).

use std::io::Cursor;

use bhttp::{ControlData, Message, Mode, StatusCode};

/// Inner messages are padded to a multiple of this, in bytes.
pub const PADDED_LEN: usize = 2048;

/// The longest sealed message that is opened, in bytes: a body of 8 KiB, its headers, padding and
/// encapsulation.
pub const MAX_SEALED_LEN: usize = 16 * 1024;

/// A request as it came out of the channel.
pub struct InnerRequest {
    /// `GET` or `POST`, not yet checked.
    pub method: Vec<u8>,
    /// Not yet checked.
    pub path: Vec<u8>,
    /// Names in the case in which they came.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// JSON, not yet checked; empty for a `GET`.
    pub content: Vec<u8>,
}

/// An answer before it goes into the channel, or as it came out.
pub struct InnerResponse {
    /// Of HTTP, and final.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// JSON, or a problem's.
    pub content: Vec<u8>,
}

/// The inner message is no binary HTTP, is no request (or answer), or its padding is not of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed inner message")]
pub struct MalformedInner;

/// Writes a padded request. `content` is JSON; an empty one sends no content type.
pub fn encode_request(method: &str, path: &str, content: &[u8]) -> Vec<u8> {
    let mut message = Message::request(
        method.as_bytes().to_vec(),
        b"https".to_vec(),
        b"vault".to_vec(),
        path.as_bytes().to_vec(),
    );
    if !content.is_empty() {
        message.put_header("content-type", "application/json");
        message.write_content(content);
    }
    padded(&message)
}

/// Reads a request, padded or not.
pub fn decode_request(bytes: &[u8]) -> Result<InnerRequest, MalformedInner> {
    let message = read(bytes)?;
    let ControlData::Request { method, path, .. } = message.control() else {
        return Err(MalformedInner);
    };
    // A trailer could carry what the checks of the header would have refused.
    if !message.trailer().is_empty() {
        return Err(MalformedInner);
    }
    Ok(InnerRequest {
        method: method.clone(),
        path: path.clone(),
        headers: headers(&message),
        content: message.content().to_vec(),
    })
}

/// Writes a padded answer.
///
/// # Panics
/// If `status` is not a final HTTP status.
pub fn encode_response(response: &InnerResponse) -> Vec<u8> {
    let status = StatusCode::try_from(u64::from(response.status)).expect("a final HTTP status");
    let mut message = Message::response(status);
    for (name, value) in &response.headers {
        message.put_header(name.clone(), value.clone());
    }
    message.write_content(&response.content);
    padded(&message)
}

/// Reads an answer, padded or not.
pub fn decode_response(bytes: &[u8]) -> Result<InnerResponse, MalformedInner> {
    let message = read(bytes)?;
    let ControlData::Response(status) = message.control() else {
        return Err(MalformedInner);
    };
    Ok(InnerResponse {
        status: status.code(),
        headers: headers(&message),
        content: message.content().to_vec(),
    })
}

fn read(bytes: &[u8]) -> Result<Message, MalformedInner> {
    let mut cursor = Cursor::new(bytes);
    let message = Message::read_bhttp(&mut cursor).map_err(|_| MalformedInner)?;
    let end = usize::try_from(cursor.position()).map_err(|_| MalformedInner)?;
    let padding = bytes.get(end..).ok_or(MalformedInner)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(MalformedInner);
    }
    Ok(message)
}

fn headers(message: &Message) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields = message.header().fields().iter();
    fields
        .map(|field| (field.name().to_vec(), field.value().to_vec()))
        .collect()
}

fn padded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message
        .write_bhttp(Mode::KnownLength, &mut bytes)
        .expect("writing to memory does not fail");
    bytes.resize(bytes.len().next_multiple_of(PADDED_LEN), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        let mut bytes = encode_request("POST", "/x", b"{}");
        assert_eq!(bytes.len(), PADDED_LEN);
        assert!(decode_request(&bytes).is_ok());
        *bytes.last_mut().unwrap() = 1;
        assert!(decode_request(&bytes).is_err());
    }

    #[test]
    fn an_answer_is_no_request() {
        let response = InnerResponse {
            status: 200,
            headers: vec![],
            content: vec![],
        };
        let bytes = encode_response(&response);
        assert!(decode_request(&bytes).is_err());
        assert!(decode_response(&encode_request("GET", "/", b"")).is_err());
    }

    #[test]
    fn a_trailer_is_refused() {
        let mut message = Message::request("GET".into(), "https".into(), "v".into(), "/".into());
        message.put_trailer("authorization", "x");
        assert!(decode_request(&padded(&message)).is_err());
    }

    #[test]
    fn an_unpadded_request_is_read() {
        let message = Message::request("GET".into(), "https".into(), "v".into(), "/p".into());
        let mut bytes = Vec::new();
        message
            .write_bhttp(Mode::IndeterminateLength, &mut bytes)
            .unwrap();
        assert_eq!(decode_request(&bytes).unwrap().path, b"/p");
    }

    #[test]
    fn every_length_is_a_multiple_of_the_padding() {
        for length in [0, 1, 1900, 2000, 2040, 2048, 8192] {
            let bytes = encode_request("POST", "/x", &vec![b' '; length]);
            assert_eq!(bytes.len() % PADDED_LEN, 0);
            assert_eq!(decode_request(&bytes).unwrap().content.len(), length);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_request(&bytes);
            let _ = decode_response(&bytes);
        }
    }
}
