//! The vault's key configurations, and the signed statement that names them (PROTOCOL.md section
//! 5).

use ohttp::{KeyConfig, Server};
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use vault_ledger::{Batch, CommitError, LeafUnavailable, Ledger};
use vault_protocol::PROTOCOL_VERSION;
use vault_protocol::binary::Binary;
use vault_protocol::statement::{LIFETIME_SECONDS, SignedStatement, Statement};
use vault_protocol::time::Timestamp;

use super::keys::ChannelKeys;
use crate::keyring::Keyring;
use crate::stored::codec::Versioned;
use crate::stored::keys;
use crate::stored::leaf::{Leaf, Leaves};

/// How old a statement gets before the next is signed, in seconds: a day.
const RENEWAL_SECONDS: u64 = 24 * 60 * 60;

/// How often the channel's keys are replaced and how long replaced ones still open messages.
#[derive(Clone, Copy, Debug)]
pub struct ChannelRotation {
    /// A pair is published for so many seconds.
    pub period_seconds: u64,
    /// A replaced pair opens messages for so many seconds more.
    pub overlap_seconds: u64,
}

/// The present key configurations and statement, with the private keys behind them.
pub(crate) struct Publication {
    /// The answer of `GET /v1/vault`.
    pub(crate) statement: SignedStatement,
    /// The answer of `GET /v1/ohttp-keys`.
    pub(crate) key_list: Vec<u8>,
    /// One for each key that still opens messages, with the key's id.
    servers: Vec<(u8, Server)>,
    /// When the next statement is due.
    renew_at: Timestamp,
}

/// The last statement's serial, as it is stored.
#[derive(Serialize, Deserialize)]
struct Serial(u64);

impl Versioned for Serial {}

const SERIAL: Leaf<Serial> = Leaf::fixed(keys::statement_serial);

impl Publication {
    /// Rotates the channel's keys if that is due and signs a new statement. The keys and the
    /// serial are durable before anything of them is published.
    pub(crate) async fn renew(
        ledger: &Ledger,
        keyring: &Keyring,
        now: Timestamp,
        rotation: ChannelRotation,
    ) -> Result<Self, CommitError> {
        let (keys, serial) = ledger
            .commit(move |batch| Ok((rotate(batch, now, rotation)?, next_serial(batch, now)?)))
            .await?
            .into_inner();
        let mut publication = Self::sign(keyring, &keys, serial, now);
        if let Some(change) = keys.next_change(rotation.period_seconds, rotation.overlap_seconds) {
            publication.renew_at = publication.renew_at.min(change);
        }
        Ok(publication)
    }

    /// Whether it is time for the next.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.renew_at <= now
    }

    /// The server for the key that a sealed message names; `None` if the key is unknown or
    /// forgotten.
    pub(crate) fn server_for(&self, sealed: &[u8]) -> Option<&Server> {
        let id = sealed.first()?;
        self.servers
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, server)| server)
    }

    fn sign(keyring: &Keyring, keys: &ChannelKeys, serial: u64, now: Timestamp) -> Self {
        let key_list = KeyConfig::encode_list(&keys.published())
            .expect("two configurations of known length can be encoded");
        let statement = Statement {
            vault_id: keyring.vault_id().clone(),
            protocol: PROTOCOL_VERSION,
            serial,
            expires_at: now.plus_seconds(LIFETIME_SECONDS),
            ohttp_keys: key_list.clone(),
            opaque_server_public_key: Binary(keyring.opaque().public_key()),
        };
        Self {
            statement: statement.sign(keyring.identity()),
            key_list,
            servers: keys.all().into_iter().map(server).collect(),
            renew_at: now.plus_seconds(RENEWAL_SECONDS),
        }
    }
}

fn rotate(
    batch: &mut Batch<'_>,
    now: Timestamp,
    rotation: ChannelRotation,
) -> Result<ChannelKeys, LeafUnavailable> {
    let mut keys = batch.get(&ChannelKeys::LEAF)?.unwrap_or_default();
    let ChannelRotation {
        period_seconds,
        overlap_seconds,
    } = rotation;
    if keys.rotate(now, period_seconds, overlap_seconds, &mut OsRng) {
        batch.set(&ChannelKeys::LEAF, &keys);
    }
    Ok(keys)
}

/// When a statement was last signed: at most a day before the last run ended.
pub(crate) async fn last_signed(ledger: &Ledger) -> Result<Timestamp, CommitError> {
    let serial = ledger.commit(last_serial).await?;
    Ok(Timestamp::from_millis(serial.into_inner()))
}

/// The serial of the last statement; 0 before the first.
pub(crate) fn last_serial(batch: &mut Batch<'_>) -> Result<u64, LeafUnavailable> {
    Ok(batch.get(&SERIAL)?.map_or(0, |Serial(last)| last))
}

/// max(last + 1, milliseconds of signing).
fn next_serial(batch: &mut Batch<'_>, now: Timestamp) -> Result<u64, LeafUnavailable> {
    let serial = now.millis().max(last_serial(batch)?.saturating_add(1));
    batch.set(&SERIAL, &Serial(serial));
    Ok(serial)
}

fn server(config: KeyConfig) -> (u8, Server) {
    let encoded = config
        .encode()
        .expect("a configuration of known length can be encoded");
    let server = Server::new(config).expect("a derived configuration has a private key");
    (encoded[0], server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::leaf::Stored;

    // Version 1: serial 1,800,000,000,000.
    const FIXTURE: [u8; 7] = [0x01, 0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34];

    #[test]
    fn the_committed_serial_is_still_read() {
        let serial = Serial::decode(&FIXTURE).unwrap();
        assert_eq!(serial.0, 1_800_000_000_000);
        assert_eq!(serial.encode().as_slice(), FIXTURE);
    }
}
