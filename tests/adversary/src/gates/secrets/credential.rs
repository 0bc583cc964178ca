//! The secrets of a live record that the vault never shows, computed from keyring, anchor and database
//! of one moment.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use hkdf::Hkdf;
use opaque_ke::Ristretto255;
use rustix::process::Signal;
use sha2::Sha512;
use tempfile::TempDir;
use vault_client::http::system_clock;
use vault_ledger::{LeafKey, Ledger, Options};
use vault_protocol::Binary;
use vault_protocol::suite::{REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN};
use vault_rules::{Command, CommandTime, Decision, StartRetrieval};
use vault_server::keyring::Keyring;
use vault_server::server::ledger;
use vault_server::service::account::AccountLeaf;
use vault_server::stored::leaf::{Leaf, Leaves};
use voprf::{BlindedElement, Group, Mode, OprfServer};
use zeroize::Zeroizing;

use vault_tests::process::server::ServerProcess;

/// The length of a scalar and of a group element.
const LEN: usize = 32;

type Secret = Zeroizing<[u8; LEN]>;

/// The secrets with which a guess can be evaluated without a charge.
pub struct Credential {
    /// From the account's state.
    pub identifier: Secret,
    /// Made of it and the OPRF seed.
    pub seed: Secret,
    /// Made of that (RFC 9807, section 5.2).
    pub oprf_key: Secret,
}

/// A device's message, and the vault's answer.
pub struct Evaluation {
    /// The blinded password.
    pub blinded: Binary<REGISTRATION_REQUEST_LEN>,
    /// Begins with the evaluated element.
    pub answer: Binary<REGISTRATION_RESPONSE_LEN>,
}

impl Credential {
    /// That of an account's live record, from a copy of the files of the running vault.
    pub fn of(server: &ServerProcess, account: &str) -> anyhow::Result<Self> {
        let keyring = server.vault().keyring()?;
        let identifier = identifier(server, &keyring, account)?;
        let setup = Zeroizing::new(keyring.opaque().expose_secret().serialize());
        let (oprf_seed, _) = setup.split_at(64);
        let mut seed = Secret::default();
        Hkdf::<Sha512>::from_prk(oprf_seed)
            .ok()
            .and_then(|hkdf| {
                let info: [&[u8]; 2] = [&identifier[..], b"OprfKey"];
                hkdf.expand_multi_info(&info, &mut seed[..]).ok()
            })
            .context("a seed of 64 bytes")?;
        let key = voprf::derive_key::<Ristretto255>(&seed[..], b"OPAQUE-DeriveKeyPair", Mode::Oprf);
        let key = key.ok().context("an OPRF key")?;
        let oprf_key = Zeroizing::new(<Ristretto255 as Group>::serialize_scalar(key).into());
        Ok(Self {
            identifier,
            seed,
            oprf_key,
        })
    }

    /// Makes sure that the vault's answer was computed with this: something else would never be found.
    pub fn explains(&self, evaluation: &Evaluation) -> anyhow::Result<()> {
        let server = OprfServer::<Ristretto255>::new_with_key(&self.oprf_key[..]).ok();
        let blinded = BlindedElement::deserialize(evaluation.blinded.as_bytes()).ok();
        let (server, blinded) = server.zip(blinded).context("a key and an element")?;
        let evaluated = server.blind_evaluate(&blinded).serialize();
        let answered = &evaluation.answer.as_bytes()[..LEN];
        ensure!(
            answered == evaluated.as_slice(),
            "the vault evaluates with another OPRF key"
        );
        Ok(())
    }
}

fn identifier(server: &ServerProcess, keyring: &Keyring, account: &str) -> anyhow::Result<Secret> {
    let copy = copy(server)?;
    let options = Options::new(copy.path().join("data"), copy.path().join("anchor"));
    let ledger = Ledger::open(options, ledger::identity(keyring))?;
    let scope = server.account(account);
    let key = LeafKey(keyring.account_key(&scope.tenant, &scope.account));
    let leaf = Leaf::<AccountLeaf>::at(key);
    let stored = ledger.commit_blocking(move |batch| batch.get(&leaf))?;
    ledger.close()?;
    let account = stored.into_inner().context("no such account")?.account;
    let now = system_clock();
    let guess = StartRetrieval {
        time: CommandTime {
            now,
            running_since: now,
        },
        request_digest: Binary([0; 32]),
    };
    // Charged in the copy's copy, which is thrown away.
    match guess.apply(account).outcome {
        Decision::Granted(charge) => Ok(Zeroizing::new(
            *charge.credential_identifier().expose_secret(),
        )),
        Decision::Refused(refusal) => bail!("no record that can be attempted: {refusal:?}"),
    }
}

/// The files of one moment.
fn copy(server: &ServerProcess) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    DirBuilder::new()
        .mode(0o700)
        .create(folder.path().join("data"))?;
    server.running().signal(Signal::STOP)?;
    let copied = copy_files(server, folder.path());
    server.running().signal(Signal::CONT)?;
    copied?;
    Ok(folder)
}

fn copy_files(server: &ServerProcess, to: &Path) -> anyhow::Result<()> {
    for (from, to) in [
        ("data/ledger.db", to.join("data/ledger.db")),
        ("data/ledger.db-wal", to.join("data/ledger.db-wal")),
        ("anchor/anchor", to.join("anchor")),
    ] {
        fs::copy(server.vault().file(from), to).with_context(|| from)?;
    }
    Ok(())
}
