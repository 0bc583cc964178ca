use base16ct::lower;
use rand::rngs::OsRng;

use super::file::{KeyringError, MAX_SEALED_LEN};
use super::unlock::Unlock;
use super::*;

/// Sealed by the first version of this code; what a vault has on its disk must open for ever.
/// Vault id `vault.example`, passphrase [`PASSPHRASE`].
const BY_PASSPHRASE: &str = "\
01010001000000000003000000043bb1d5c4d40fee6a4ed750075ea1c5e6fd185671ac05cf3698cafd326e86b4d0e2f3\
7c79044bf3d627a662aaccc9f9c3282d128f1e1f1a8f4350da755363c1e18a94ca595cf728b3ebff7fb1c9d1282cc393\
44049156f9c7408f885e90000bb3b69bfb03db0d2a23f1bff9688bffa35a10b3e5ee972a23e5eff0f3d58a53d71bb476\
01b9ff7ead7a2646ea4869738e66f352072dabaee92e52aef33a333a34d188fe7c067a7088b3b0126d52baf115e02607\
aadd505833ab929858714ba763ae684de4f59b32ff0d20ae8730ff6ddae0affe30eac0658f01568a1bad582951dfb4e5\
78556042c96f42d90f9aaabcd55bfa0caed4110152234ed41b9aa2fc1056417d3639eb99baaf640abc499c87a57d0f1f\
4f334c432b4a4cc5";
/// The same keyring sealed with a key file of 32 bytes 0x2a.
const BY_KEY_FILE: &str = "\
0102ef3ee0282b7fdd593912d298396dd73daaef70bbbc22998bc3fd6673bbd79c70132fe804dce96af0d0a830fc60e7\
ba7533a367e25c1286f85f7538b8ad806d0d7bee69aac025d589688641914013b0ea16b1332f38d6f1ebb4bb453123e3\
4158fccace80d311b835437b69593eefde1587c43b42e1bc5961c7b653f2532caf4f00cd3d78d5d5ad3095e5784321f6\
fed34b8b76471c2d6cb8e91b94f293804fde2d3b1c3689b03cd3acc6d2d7041afafabbc30e70bf43cc82b20ff1419377\
b11c0779db16017829b7af4f232788ed806eb9c4d6241c6c649801ca77baf6f52cc5c4988e0dfd761465d09ff13847f9\
d839bfd22f8a2a4083232663bde5aa48e96fbee1e89a18c465547372";
/// [`Keyring::fingerprint`] of both, also on the disk of every vault.
const FINGERPRINT: &str = "20d85b18548966fb87901ff85166967152c90b444c4ef952877f691a096d1473";

const PASSPHRASE: &str = "correct horse battery staple";

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Zeroizing::new(text.to_owned()))
}

fn key_file(byte: u8) -> Unlock {
    Unlock::KeyFile(Zeroizing::new([byte; 32]))
}

fn new_keyring() -> Keyring {
    Keyring::generate(VaultId::new("vault.example").unwrap(), &mut OsRng)
}

fn refusal(bytes: &[u8], unlock: &Unlock) -> KeyringError {
    Keyring::unseal(bytes, unlock).unwrap_err()
}

fn from_hex(digits: &str) -> Vec<u8> {
    lower::decode_vec(digits).unwrap()
}

#[test]
fn a_wrong_passphrase_is_refused() {
    let error = refusal(&from_hex(BY_PASSPHRASE), &passphrase("wrong"));
    assert_eq!(error, KeyringError::WrongPassphrase);
    assert_eq!(
        error.to_string(),
        "the keyring does not open: the passphrase is wrong, or the file is damaged"
    );
}

#[test]
fn another_key_file_is_refused() {
    let error = refusal(&from_hex(BY_KEY_FILE), &key_file(0x2b));
    assert_eq!(error, KeyringError::WrongKey);
}

#[test]
fn the_other_kind_of_secret_is_refused_by_name() {
    let error = refusal(&from_hex(BY_KEY_FILE), &passphrase(PASSPHRASE));
    assert_eq!(error, KeyringError::SealedWithKeyFile);
    let error = refusal(&from_hex(BY_PASSPHRASE), &key_file(0x2a));
    assert_eq!(error, KeyringError::SealedWithPassphrase);
}

#[test]
fn another_version_is_refused_by_number() {
    let mut bytes = from_hex(BY_KEY_FILE);
    bytes[0] = 2;
    let error = refusal(&bytes, &key_file(0x2a));
    assert_eq!(error, KeyringError::OtherVersion(2));
    assert_eq!(
        error.to_string(),
        "the keyring has format version 2; this program reads version 1"
    );
}

#[test]
fn an_unknown_kind_and_an_empty_file_are_no_keyring() {
    let mut bytes = from_hex(BY_KEY_FILE);
    bytes[1] = 3;
    assert_eq!(refusal(&bytes, &key_file(0x2a)), KeyringError::NotAKeyring);
    assert_eq!(refusal(&[], &key_file(0x2a)), KeyringError::NotAKeyring);
    assert_eq!(refusal(&[1], &key_file(0x2a)), KeyringError::NotAKeyring);
}

#[test]
fn any_changed_bit_and_any_cut_is_refused() {
    let bytes = from_hex(BY_KEY_FILE);
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        assert!(Keyring::unseal(&changed, &key_file(0x2a)).is_err());
        assert!(Keyring::unseal(&bytes[..index], &key_file(0x2a)).is_err());
    }
    let longer = [bytes, vec![0]].concat();
    assert!(Keyring::unseal(&longer, &key_file(0x2a)).is_err());
}

/// Fails (slowly, or by running out of memory) without the bounds in `from_bytes`.
#[test]
fn a_file_that_asks_for_too_much_or_too_little_stretching_is_refused_at_once() {
    let original = from_hex(BY_PASSPHRASE);
    for (at, value) in [
        (2, u32::MAX),
        (2, 1_048_577),
        (2, 65_535),
        (2, 0),
        (6, u32::MAX),
        (6, 17),
        (6, 2),
        (10, u32::MAX),
        (10, 17),
        (10, 0),
    ] {
        let mut bytes = original.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let error = refusal(&bytes, &passphrase(PASSPHRASE));
        assert_eq!(error, KeyringError::StretchingOutOfBounds);
    }
}

/// Fails when the header is not the associated data: a salt or cost would be open to change.
#[test]
fn a_changed_salt_or_cost_within_bounds_is_refused() {
    let original = from_hex(BY_PASSPHRASE);
    for (at, byte) in [(9, 4), (13, 3), (14, !original[14])] {
        let mut bytes = original.clone();
        bytes[at] = byte;
        let error = refusal(&bytes, &passphrase(PASSPHRASE));
        assert_eq!(error, KeyringError::WrongPassphrase);
    }
}

#[test]
fn the_committed_fixtures_open() {
    let by_passphrase = Keyring::unseal(&from_hex(BY_PASSPHRASE), &passphrase(PASSPHRASE)).unwrap();
    let by_key_file = Keyring::unseal(&from_hex(BY_KEY_FILE), &key_file(0x2a)).unwrap();
    assert_eq!(by_passphrase.vault_id().as_str(), "vault.example");
    assert_eq!(
        lower::encode_string(&by_passphrase.fingerprint()),
        FINGERPRINT
    );
    assert_eq!(
        lower::encode_string(&by_key_file.fingerprint()),
        FINGERPRINT
    );
}

/// Fails when only the key pair is stored: the seed, and with it every record, would be lost.
#[test]
fn everything_survives_sealing_and_unsealing() {
    let keyring = new_keyring();
    let sealed = keyring.seal(&key_file(1), &mut OsRng);
    let opened = Keyring::unseal(&sealed, &key_file(1)).unwrap();
    assert_eq!(opened.vault_id, keyring.vault_id);
    assert_eq!(*opened.opaque.serialize(), *keyring.opaque.serialize());
    assert_eq!(opened.opaque.public_key(), keyring.opaque.public_key());
    assert_eq!(*opened.identity_seed, *keyring.identity_seed);
    assert_eq!(
        opened.identity().identity_key(),
        keyring.identity().identity_key()
    );
    assert_eq!(**opened.index_key, **keyring.index_key);
    assert_eq!(opened.master_key(), keyring.master_key());
}

#[test]
fn the_longest_vault_id_fits() {
    let keyring = Keyring::generate(VaultId::new("v".repeat(64)).unwrap(), &mut OsRng);
    let sealed = keyring.seal(&passphrase("p"), &mut OsRng);
    assert_eq!(sealed.len(), 347);
    assert!(sealed.len() <= MAX_SEALED_LEN);
}

#[test]
fn sealing_twice_gives_different_bytes() {
    let keyring = new_keyring();
    let first = keyring.seal(&key_file(1), &mut OsRng);
    assert_ne!(first, keyring.seal(&key_file(1), &mut OsRng));
}

/// Fails when a part is left out of `fingerprint`.
#[test]
fn every_part_changes_the_fingerprint() {
    let keyring = || Keyring::unseal(&from_hex(BY_KEY_FILE), &key_file(0x2a)).unwrap();
    let mut variants = vec![keyring()];
    let mut other_name = keyring();
    other_name.vault_id = VaultId::new("vault.example2").unwrap();
    let mut other_setup = keyring();
    other_setup.opaque = new_keyring().opaque;
    let mut other_identity = keyring();
    other_identity.identity = new_keyring().identity;
    let mut other_index = keyring();
    other_index.index_key = new_keyring().index_key;
    let mut other_master = keyring();
    other_master.master_key = new_keyring().master_key;
    variants.extend([
        other_name,
        other_setup,
        other_identity,
        other_index,
        other_master,
    ]);
    let fingerprints: std::collections::BTreeSet<_> =
        variants.iter().map(Keyring::fingerprint).collect();
    assert_eq!(fingerprints.len(), variants.len());
}

/// The formula of PROTOCOL.md section 2; the expected value was computed with Python's `hmac`.
#[test]
fn an_account_key_is_the_hmac_of_tenant_and_account() {
    let mut keyring = new_keyring();
    *keyring.index_key = Zeroizing::new([7; 32]);
    let tenant = TenantId::new("messenger").unwrap();
    let account = AccountId::new("alice@example.org").unwrap();
    assert_eq!(
        lower::encode_string(&keyring.account_key(&tenant, &account)),
        "67bc680490a1f9c1017d768f5bc0e0870df8b3dee56c3fddee4fcf47874d460b"
    );
}

#[test]
fn no_secret_is_printed() {
    let keyring = new_keyring();
    assert_eq!(format!("{keyring:?}"), "Keyring(vault.example, …)");
    assert_eq!(format!("{:?}", keyring.opaque()), "OpaqueSetup(…)");
}
