//! The writing half of a backup's envelope: zstd, then padding, then age.
//!
//! The payload is filled up to whole chunks with a skippable frame (RFC 8878 section 3.1.2), which
//! zstd programs pass over. That hides the exact size; and since every complete backup then ends at
//! the end of a whole chunk, one that does not has lost its end: a truncated file is told apart
//! from an altered one.

use std::io::{self, Write};
use std::iter;

use age::stream::StreamWriter;
use vault_protocol::BackupKey;

use crate::header::{self, CHUNK, WORK_FACTOR};

/// zstd's own default: several hundred MB/s on one core, with most of the gain.
const LEVEL: i32 = 3;

/// The magic number of skippable frames that hold nothing of use, little-endian.
pub(crate) const PADDING_MAGIC: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();

/// Magic number and length of a skippable frame.
pub(crate) const PADDING_HEADER: u64 = 8;

/// Compresses and encrypts the bytes written to it. Without [`finish`](Self::finish) the result is a
/// truncated file.
pub(crate) struct SealedWriter<W: Write> {
    zstd: zstd::Encoder<'static, Counted<StreamWriter<W>>>,
}

impl<W: Write> SealedWriter<W> {
    pub(crate) fn new(sink: W, key: &BackupKey) -> io::Result<Self> {
        let mut recipient = age::scrypt::Recipient::new(header::passphrase(key));
        recipient.set_work_factor(WORK_FACTOR);
        let recipients = iter::once(&recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients)
            .expect("one passphrase is a valid set of recipients");
        let counted = Counted {
            inner: encryptor.wrap_output(sink)?,
            count: 0,
        };
        let zstd = zstd::Encoder::new(counted, LEVEL)?;
        Ok(Self { zstd })
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        let mut payload = self.zstd.finish()?;
        let padding = padding(payload.count);
        payload.write_all(&padding)?;
        payload.inner.finish()
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.zstd.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zstd.flush()
    }
}

/// The frame that takes a payload of `len` bytes to a multiple of [`CHUNK`].
fn padding(len: u64) -> Vec<u8> {
    let mut missing = len.next_multiple_of(CHUNK) - len;
    if missing == 0 {
        return Vec::new();
    }
    if missing < PADDING_HEADER {
        missing += CHUNK;
    }
    let zeros = u32::try_from(missing - PADDING_HEADER).expect("less than two chunks");
    let mut frame = PADDING_MAGIC.to_vec();
    frame.extend_from_slice(&zeros.to_le_bytes());
    frame.resize(usize::try_from(missing).expect("less than two chunks"), 0);
    frame
}

struct Counted<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_always_leads_to_a_whole_chunk() {
        for len in (0..20).chain(CHUNK - 20..CHUNK + 20) {
            let frame = padding(len);
            assert_eq!((len + frame.len() as u64) % CHUNK, 0, "{len}");
            if !frame.is_empty() {
                let zeros = u32::from_le_bytes(frame[4..8].try_into().unwrap());
                assert_eq!(frame[..4], PADDING_MAGIC);
                assert_eq!(frame.len(), 8 + zeros as usize);
            }
        }
    }
}
