//! `check`: opens everything a start would open, and every stored value, and says what is wrong,
//! without secrets.

use std::process::ExitCode;

use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable, Ledger};

use super::unlock;
use crate::account_leaf;
use crate::admin::Request;
use crate::admin_socket;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::tls;
use crate::places;
use crate::tenant::TenantList;
use crate::vault::{self, Vault, VaultOptions};

/// How many stored values one commit looks at.
const PAGE: usize = 256;
/// How many of an account's events are opened.
const EVENTS: usize = 1000;

pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    println!("ok   configuration");
    tls::load(&config.tls)?;
    println!("ok   certificate {}", config.tls.certificate_file.display());
    if admin_socket::ask(&config.admin_socket, &Request::Fingerprint)?.is_some() {
        println!("ok   a server runs and answers on {}", config.admin_socket.display());
        println!("     stop it to check keyring and database");
        return Ok(ExitCode::SUCCESS);
    }
    let keyring = unlock::keyring(config)?;
    println!("ok   keyring of the vault {}", keyring.vault_id());
    let ledger = vault::open_ledger(config, &keyring)?;
    println!("ok   database settings and schema");
    let (accounts, unreadable) = look_through(&ledger)?;
    let verdict = if unreadable == 0 { "ok " } else { "BAD" };
    println!("{verdict}  {accounts} accounts can be read, {unreadable} stored values cannot");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = VaultOptions::new(config);
    let started = runtime.block_on(Vault::start(ledger.clone(), keyring, Clock::system(), options));
    drop(started?);
    println!("ok   keys, tenants, statement");
    ledger.close()?;
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opens every stored value; returns how many accounts there are, and how many values do not open
/// or do not decode.
fn look_through(ledger: &Ledger) -> Result<(u64, u64), CommitError> {
    let (mut accounts, mut unreadable) = (0, 0);
    let mut last = None;
    loop {
        let page = ledger.commit_blocking(move |batch| {
            let keys = batch.keys_after(last.as_ref(), PAGE);
            Ok(keys.into_iter().map(|key| (key, look_at(batch, &key))).collect::<Vec<_>>())
        })?;
        for (_, found) in page.iter() {
            match found {
                Ok(is_account) => accounts += u64::from(*is_account),
                Err(LeafUnavailable) => unreadable += 1,
            }
        }
        match page.last() {
            Some((key, _)) => last = Some(*key),
            None => return Ok((accounts, unreadable)),
        }
    }
}

/// Whether this is an account. What is none is read by its own reader at every start.
fn look_at(batch: &mut Batch<'_>, key: &LeafKey) -> Result<bool, LeafUnavailable> {
    let Some(leaf) = batch.read(key)? else { return Ok(false) };
    let known = known_places(batch)?;
    if known.contains(key) {
        return Ok(false);
    }
    batch.events(key, EVENTS)?;
    account_leaf::decode(&leaf).map(|_| true)
}

fn known_places(batch: &mut Batch<'_>) -> Result<Vec<LeafKey>, LeafUnavailable> {
    let list = match batch.read(&places::tenants())? {
        Some(leaf) => TenantList::decode(&leaf).map_err(|_| LeafUnavailable)?,
        None => TenantList::default(),
    };
    let fixed =
        [places::tenants(), places::ticket_keys(), places::ohttp_keys(), places::statement_serial()];
    Ok(fixed.into_iter().chain(list.0.iter().map(places::tenant)).collect())
}
