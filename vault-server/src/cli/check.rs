//! `check`: opens everything a start would open, walks the whole database, reads every stored
//! value, and reports every fault, without secrets.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable, Ledger, Verification};

use super::{anchor, keyring_secret, output};
use crate::admin::Request;
use crate::admin::socket;
use crate::channel::keys::ChannelKeys;
use crate::channel::statement;
use crate::config::Config;
use crate::net::tls;
use crate::server::ledger;
use crate::service::account::AccountLeaf;
use crate::service::ticket::TicketKeys;
use crate::stored::keys;
use crate::stored::leaf::{Leaf, Leaves};
use crate::tenants::tenant::{Tenant, TenantList};

/// How many stored values one commit looks at.
const PAGE: usize = 256;

/// Storage failed. The reason was logged: an error of the ledger does not carry it.
const NOT_TO_ITS_END: &str =
    "the database cannot be read to its end, nothing was changed; the reason is above";

/// The stored values looked at so far.
#[derive(Default)]
struct Values {
    accounts: u64,
    /// They do not open or do not decode.
    unreadable: u64,
}

pub(crate) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    output::line("ok   configuration")?;
    let has_certificate = check_certificate(config)?;
    let socket = config.admin_socket.display();
    let has_socket = match is_served(config) {
        Ok(false) => true,
        Ok(true) => {
            output::line(format_args!("ok   a server runs and answers on {socket}"))?;
            output::line("     stop it to check keyring, anchors and database")?;
            return Ok(exit_code(has_certificate));
        }
        // If our server runs after all, the database is locked.
        Err(error) => report(&[format!("the server at {socket}: {error}")])?,
    };
    let has_database = check_database(config)?;
    Ok(exit_code(has_certificate && has_socket && has_database))
}

fn exit_code(is_in_order: bool) -> ExitCode {
    if is_in_order {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Nothing else depends on it.
fn check_certificate(config: &Config) -> anyhow::Result<bool> {
    match tls::load(&config.tls) {
        Ok(_) => {
            let file = config.tls.certificate_file.display();
            output::line(format_args!("ok   certificate {file}"))?;
            Ok(true)
        }
        Err(error) => report(&[error.to_string()]),
    }
}

fn is_served(config: &Config) -> io::Result<bool> {
    let socket = &config.admin_socket;
    let answer = socket::ask(socket, &config.data_folder, &Request::Fingerprint)?;
    Ok(answer.is_some())
}

/// Each finding is printed as soon as it is known: a later step may not get to its end.
fn check_database(config: &Config) -> anyhow::Result<bool> {
    let keyring = keyring_secret::keyring(config)?;
    let vault_id = keyring.vault_id();
    output::line(format_args!("ok   keyring of the vault {vault_id}"))?;
    let ledger = Ledger::open(ledger::options(config), ledger::identity(&keyring))?;
    for anchor in config.anchor.all() {
        output::line(format_args!("ok   anchor {}", anchor.display()))?;
    }
    for path in anchor::on_the_data_volume(config) {
        let (path, why) = (path.display(), anchor::ON_THE_DATA_VOLUME);
        output::line(format_args!("warn anchor {path} {why}"))?;
    }
    output::line("ok   the database is the latest one, its settings and schema are in order")?;
    let verified = ledger.commit_blocking(|batch| batch.verify());
    let verified = verified.context(NOT_TO_ITS_END)?.into_inner();
    let is_whole = report(&findings(&verified))?;
    let values = look_through(&ledger)?;
    ledger.close()?;
    Ok(is_whole && values)
}

/// Whether there is nothing to report.
fn report(findings: &[String]) -> anyhow::Result<bool> {
    for finding in findings {
        output::line(format_args!("BAD  {finding}"))?;
    }
    Ok(findings.is_empty())
}

/// The faults of the database, in words.
fn findings(verified: &Verification) -> Vec<String> {
    const BELOW: &str = "an unknown number of accounts below them is unavailable";
    let Verification {
        nodes: _,
        leaves: _,
        missing,
        unreadable,
        stray,
        broken_events,
        unscheduled,
        damaged,
    } = *verified;
    let counts = [
        (missing, "parts of the key tree that are missing", BELOW),
        (unreadable, "parts of the key tree that do not open", BELOW),
        (stray, "rows that nothing leads to", "they are never read"),
        (
            broken_events,
            "accounts with gaps in their events",
            "nothing else depends on them",
        ),
        (
            unscheduled,
            "accounts that the sweep does not find",
            "their expiry waits for their next request, which mends it",
        ),
        (
            u64::from(damaged),
            "database files with damaged pages",
            "a write near them stops the vault; `vault-server serve --accept-damage` copies everything \
             readable into a new file, and goes on with that",
        ),
    ];
    let wrong = counts.into_iter().filter(|(count, ..)| *count > 0);
    let in_words = |(count, name, means)| format!("{name}: {count} ({means})");
    wrong.map(in_words).collect()
}

/// Opens every stored value, as far as the storage lets us, and reports the result.
fn look_through(ledger: &Ledger) -> anyhow::Result<bool> {
    let mut found = Values::default();
    let looked = look_at_all(ledger, &mut found);
    let accounts = found.accounts;
    output::line(format_args!("ok   {accounts} accounts can be read"))?;
    let unreadable = (found.unreadable > 0).then(|| {
        let number = found.unreadable;
        format!("stored values that cannot be read: {number} (unavailable)")
    });
    let all_open = report(unreadable.as_slice())?;
    looked.context(NOT_TO_ITS_END)?;
    Ok(all_open)
}

fn look_at_all(ledger: &Ledger, found: &mut Values) -> Result<(), CommitError> {
    let mut last = None;
    loop {
        let page = ledger.commit_blocking(move |batch| {
            let keys = batch.keys_after(last.as_ref(), PAGE);
            Ok(keys
                .into_iter()
                .map(|key| (key, look_at(batch, &key)))
                .collect::<Vec<_>>())
        })?;
        for (_, value) in page.iter() {
            match value {
                Ok(is_account) => found.accounts += u64::from(*is_account),
                Err(LeafUnavailable) => found.unreadable += 1,
            }
        }
        match page.last() {
            Some((key, _)) => last = Some(*key),
            None => return Ok(()),
        }
    }
}

/// Reads one stored value as what it is; whether it is an account. Nothing is changed.
fn look_at(batch: &mut Batch<'_>, key: &LeafKey) -> Result<bool, LeafUnavailable> {
    let is_at = |own: LeafKey| own == *key;
    if is_at(TenantList::LEAF.key()) {
        batch.get(&TenantList::LEAF)?;
    } else if is_at(TicketKeys::LEAF.key()) {
        batch.get(&TicketKeys::LEAF)?;
    } else if is_at(ChannelKeys::LEAF.key()) {
        batch.get(&ChannelKeys::LEAF)?;
    } else if is_at(keys::statement_serial()) {
        statement::last_serial(batch)?;
    } else if let Some(tenant) = tenant_at(batch, key) {
        batch.get(&tenant)?;
    } else {
        return Ok(batch.get(&Leaf::<AccountLeaf>::at(*key))?.is_some());
    }
    Ok(false)
}

fn tenant_at(batch: &mut Batch<'_>, key: &LeafKey) -> Option<Leaf<Tenant>> {
    let list = batch.get(&TenantList::LEAF).ok().flatten()?;
    let mut leaves = list.0.iter().map(Tenant::leaf);
    leaves.find(|leaf| leaf.key() == *key)
}
