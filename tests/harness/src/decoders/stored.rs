//! The server's stored values: tickets, keys, tenants, accounts, the keyring.

use rand::SeedableRng;
use rand::rngs::StdRng;
use vault_protocol::labelled::Labelled;
use vault_protocol::{
    AccountId, AccountScope, Binary, Policy, StretchingProfile, TenantId, Ticket, VaultId, sealing,
};
use vault_rules::{
    AbandonRetrieval, Account, Command, CommandTime, Delete, Event, FinishRegistration,
    FinishRetrieval, ReadStatus, Reset, Secret, StartRegistration, StartRetrieval, Sweep,
};
use vault_server::channel::keys::ChannelKeys;
use vault_server::keyring::Keyring;
use vault_server::keyring::file::{KeyringError, MAX_SEALED_LEN};
use vault_server::keyring::unlock::Unlock;
use vault_server::service::account::AccountLeaf;
use vault_server::service::ticket::TicketKeys;
use vault_server::stored::leaf::Stored;
use vault_server::tenants::tenant::{MAX_TOKENS, Tenant, TenantList};
use vault_server::tenants::token::TokenScope;
use zeroize::Zeroizing;

use super::common::NOW;
use crate::in_process::{self, DAY};

const TIME: CommandTime = CommandTime {
    now: NOW,
    running_since: NOW,
};
const TICKET_KEY: [u8; 32] = [0x33; 32];
const KEY_FILE: [u8; 32] = [0x22; 32];

pub(super) fn ticket(bytes: &[u8]) -> bool {
    let ticket = Ticket(bytes.to_vec());
    let (keys, vault) = (sealing_keys(), vault());
    let Some(contents) = keys.open(&vault, &ticket) else {
        return false;
    };
    assert!(
        keys.open(&other_vault(), &ticket).is_none(),
        "bound to its vault"
    );
    let again = keys.seal(&vault, &contents, &mut rng());
    let again = keys.open(&vault, &again).expect("a ticket of these keys");
    assert_eq!(again.account_key, contents.account_key);
    assert_eq!(again.login_state.0, contents.login_state.0);
    assert_eq!(
        (again.generation, again.attempt),
        (contents.generation, contents.attempt)
    );
    true
}

pub(super) fn ticket_content(plaintext: &[u8]) -> bool {
    ticket(&seal_ticket(plaintext))
}

fn seal_ticket(plaintext: &[u8]) -> Vec<u8> {
    let header = [1, 0, 0, 0, 8];
    let data = Labelled::new("backup-key-vault/v1 ticket")
        .bytes(vault().as_str().as_bytes())
        .bytes(&header);
    let sealed = sealing::seal(&TICKET_KEY, data.as_slice(), plaintext, &mut rng());
    [&header[..], &sealed].concat()
}

/// Key 8 has been sealing since [`NOW`].
fn sealing_keys() -> TicketKeys {
    let life = [0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34, 0];
    let stored = [&[1, 1, 8][..], &TICKET_KEY, &life].concat();
    TicketKeys::decode(&stored).expect("version 1, one key")
}

pub(super) fn ticket_keys(bytes: &[u8]) -> bool {
    let Ok(mut keys) = TicketKeys::decode(bytes) else {
        return false;
    };
    assert_eq!(keys.encode().as_slice(), bytes, "one encoding");
    keys.rotate(TIME, DAY, &mut rng());
    let again = TicketKeys::decode(&keys.encode()).expect("what was written is read");
    assert_eq!(again.encode(), keys.encode());
    true
}

pub(super) fn channel_keys(bytes: &[u8]) -> bool {
    let Ok(mut keys) = ChannelKeys::decode(bytes) else {
        return false;
    };
    assert_eq!(keys.encode().as_slice(), bytes, "one encoding");
    let channel = in_process::CHANNEL;
    let (period, overlap) = (channel.period_seconds, channel.overlap_seconds);
    keys.rotate(NOW, period, overlap, &mut rng());
    assert!(keys.next_change(period, overlap) > Some(NOW));
    let again = ChannelKeys::decode(&keys.encode()).expect("what was written is read");
    assert_eq!(again.encode(), keys.encode());
    // Deriving is slow; the vault does it at every start.
    assert_eq!(keys.published().len(), 2);
    keys.all();
    true
}

pub(super) fn tenant(bytes: &[u8]) -> bool {
    if let Ok(list) = TenantList::decode(bytes) {
        assert_eq!(list.encode().as_slice(), bytes, "one encoding");
        return true;
    }
    let Ok(mut tenant) = Tenant::decode(bytes) else {
        return false;
    };
    assert_eq!(tenant.encode().as_slice(), bytes, "one encoding");
    let name = TenantId::new("app").expect("a valid name");
    let added = tenant.add_token(&name, vec![TokenScope::Use], NOW, &mut rng());
    assert!(added.is_err() || tenant.tokens.len() <= MAX_TOKENS);
    if let Ok(token) = added {
        assert_eq!(tenant.scopes_of(&token), Some(&[TokenScope::Use][..]));
    }
    Tenant::decode(&tenant.encode()).expect("what was written is read");
    true
}

/// What the rules accept they can go on with, and what they then write they accept again: no
/// stored state makes an account unavailable by a command.
pub(super) fn account(bytes: &[u8]) -> bool {
    let Ok(account) = Account::decode(bytes) else {
        return false;
    };
    assert_eq!(account.encode().as_slice(), bytes, "one encoding");
    let generation = account.generation();
    go_on_by_registering(bytes);
    go_on_by_retrieving(bytes, generation);
    go_on_by(
        bytes,
        Delete {
            time: TIME,
            scope: scope(),
            proof: Binary([8; 64]),
        },
    );
    go_on_by(
        bytes,
        Reset {
            time: TIME,
            generation,
        },
    );
    go_on_by(bytes, ReadStatus { time: TIME });
    go_on_by(bytes, Sweep { time: TIME });
    true
}

fn go_on_by(bytes: &[u8], command: impl Command) {
    let account = Account::decode(bytes).expect("as before");
    let step = command.apply(account);
    let written = step.account.encode();
    let again = Account::decode(&written).expect("what was written is read");
    assert_eq!(again.encode(), written);
    for event in step.events {
        assert_eq!(Event::decode(&event.encode()), Ok(event));
    }
}

fn go_on_by_registering(bytes: &[u8]) {
    go_on_by(
        bytes,
        StartRegistration {
            time: TIME,
            credential_identifier: Secret::from_bytes(&[1; 32]),
            registration_ticket: Binary([2; 32]),
            policy: Policy::default(),
        },
    );
    go_on_by(
        bytes,
        FinishRegistration {
            time: TIME,
            scope: scope(),
            registration_ticket: Binary([2; 32]),
            registration_record: Secret::from_bytes(&[3; 192]),
            wrapped_key: Secret::from_bytes(&[4; 60]),
            stretching_profile: StretchingProfile::ONE,
            management_key: Binary([5; 32]),
            replace_proof: Some(Binary([6; 64])),
        },
    );
}

fn go_on_by_retrieving(bytes: &[u8], generation: u64) {
    let attempt = 1;
    go_on_by(
        bytes,
        StartRetrieval {
            time: TIME,
            request_digest: Binary([7; 32]),
        },
    );
    for verified in [true, false] {
        go_on_by(
            bytes,
            FinishRetrieval {
                time: TIME,
                generation,
                attempt,
                verified,
            },
        );
    }
    go_on_by(
        bytes,
        AbandonRetrieval {
            time: TIME,
            generation,
            attempt,
        },
    );
}

fn scope() -> AccountScope {
    AccountScope {
        vault: vault(),
        tenant: TenantId::new("app").expect("a valid name"),
        account: AccountId::new("alice").expect("a valid name"),
    }
}

pub(super) fn account_leaf(bytes: &[u8]) -> bool {
    let Ok(AccountLeaf { tenant, account }) = AccountLeaf::decode(bytes) else {
        return false;
    };
    let name = tenant.as_str().as_bytes();
    let length = u8::try_from(name.len()).expect("a tenant's name is short");
    let written = [&[1, length][..], name, &account.encode()].concat();
    assert_eq!(written, bytes, "one encoding");
    true
}

pub(super) fn event(bytes: &[u8]) -> bool {
    let Ok(event) = Event::decode(bytes) else {
        return false;
    };
    assert_eq!(event.encode(), bytes, "one encoding");
    true
}

pub(super) fn keyring(bytes: &[u8]) -> bool {
    let unlock = Unlock::KeyFile(Zeroizing::new(KEY_FILE));
    if !would_stretch(bytes) {
        let passphrase = Unlock::Passphrase(Zeroizing::new("passphrase".to_owned()));
        assert!(Keyring::unseal(bytes, &passphrase).is_err());
    }
    let keyring = match Keyring::unseal(bytes, &unlock) {
        Ok(keyring) => keyring,
        Err(KeyringError::WrongPassphrase) => unreachable!("a key was given"),
        Err(_) => return false,
    };
    assert!(bytes.len() <= MAX_SEALED_LEN);
    let again = keyring.seal(&unlock, &mut rng());
    let again = Keyring::unseal(&again, &unlock).expect("what was sealed opens");
    assert_eq!(again.fingerprint(), keyring.fingerprint());
    true
}

/// Argon2id takes 64 MiB to 1 GiB, as the header says: no input is worth that here. The bounds
/// are checked before, which is what is tried.
fn would_stretch(bytes: &[u8]) -> bool {
    let number = |at: usize| {
        let number = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(number))
    };
    let within = |at, bounds: std::ops::RangeInclusive<u32>| {
        number(at).is_some_and(|number| bounds.contains(&number))
    };
    bytes.starts_with(&[1, 1])
        && within(2, 65_536..=1_048_576)
        && within(6, 3..=16)
        && within(10, 1..=16)
}

pub(super) fn keyring_content(plaintext: &[u8]) -> bool {
    keyring(&seal_keyring(plaintext))
}

fn seal_keyring(plaintext: &[u8]) -> Vec<u8> {
    let header = [1, 2];
    let key = sealing::derive_key(&KEY_FILE, "backup-key-vault/v1 keyring key file");
    let sealed = sealing::seal(&key, &header, plaintext, &mut rng());
    [&header[..], &sealed].concat()
}

/// As an account's leaf holds them: one that sealed from 5 to 6, one that has sealed since 6.
pub(super) const TICKET_KEYS: &str = concat!(
    "010207",
    "2222222222222222222222222222222222222222222222222222222222222222",
    "05010608",
    "3333333333333333333333333333333333333333333333333333333333333333",
    "0600"
);

pub(super) fn ticket_plaintext() -> Vec<u8> {
    [&[1][..], &[0x11; 32], &[2, 3, 192, 1], &[7; 192]].concat()
}

pub(super) fn sealed_ticket() -> Vec<u8> {
    seal_ticket(&ticket_plaintext())
}

pub(super) fn keyring_plaintext() -> Vec<u8> {
    let keyring = Keyring::generate(vault(), &mut rng());
    let setup = keyring.opaque().expose_secret().serialize();
    [&[1, b'v'][..], &setup, &[6; 32], &[7; 32], &[8; 32]].concat()
}

/// With a key file, and with a passphrase that asks for too much memory.
pub(super) fn sealed_keyrings() -> Vec<Vec<u8>> {
    let greedy = [&[1, 1, 0xff][..], &[0; 11], &[4; 16], &[5; 300]].concat();
    vec![seal_keyring(&keyring_plaintext()), greedy]
}

fn vault() -> VaultId {
    VaultId::new("v").expect("a valid name")
}

fn other_vault() -> VaultId {
    VaultId::new("w").expect("a valid name")
}

/// The same every time, so that a find is one again.
fn rng() -> StdRng {
    StdRng::seed_from_u64(0)
}
