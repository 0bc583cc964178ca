//! `check`: opens everything a start would open, walks the whole database, reads every stored value,
//! and says what is wrong, without secrets.

use std::process::ExitCode;

use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable, Ledger, Verification};

use super::{anchor, output, unlock};
use crate::account_leaf;
use crate::admin::Request;
use crate::admin_socket;
use crate::channel_keys::ChannelKeys;
use crate::config::Config;
use crate::http::tls;
use crate::places;
use crate::publication;
use crate::stored::Unreadable;
use crate::tenant::{Tenant, TenantList};
use crate::ticket::TicketKeys;
use crate::vault;

/// How many stored values one commit looks at.
const PAGE: usize = 256;

pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    output::line("ok   configuration")?;
    tls::load(&config.tls)?;
    output::line(format_args!(
        "ok   certificate {}",
        config.tls.certificate_file.display()
    ))?;
    if admin_socket::ask(
        &config.admin_socket,
        &config.data_folder,
        &Request::Fingerprint,
    )?
    .is_some()
    {
        output::line(format_args!(
            "ok   a server runs and answers on {}",
            config.admin_socket.display()
        ))?;
        output::line("     stop it to check keyring, anchors and database")?;
        return Ok(ExitCode::SUCCESS);
    }
    let keyring = unlock::keyring(config)?;
    output::line(format_args!(
        "ok   keyring of the vault {}",
        keyring.vault_id()
    ))?;
    let ledger = vault::open_ledger(config, &keyring)?;
    for anchor in config.anchor.all() {
        output::line(format_args!("ok   anchor {}", anchor.display()))?;
    }
    for path in anchor::on_the_data_volume(config) {
        let path = path.display();
        output::line(format_args!(
            "warn anchor {path} {}",
            anchor::ON_THE_DATA_VOLUME
        ))?;
    }
    output::line("ok   the database is the latest one, its settings and schema are in order")?;
    let verified = ledger.commit_blocking(|batch| batch.verify())?;
    let (accounts, unreadable) = look_through(&ledger)?;
    ledger.close()?;
    output::line(format_args!("ok   {accounts} accounts can be read"))?;
    let findings = findings(&verified, unreadable);
    for finding in &findings {
        output::line(format_args!("BAD  {finding}"))?;
    }
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is wrong with the database, in words.
fn findings(verified: &Verification, unreadable: u64) -> Vec<String> {
    const BELOW: &str = "what lies below them is unavailable, an unknown number of accounts";
    let Verification {
        nodes: _,
        leaves: _,
        missing,
        unreadable: sealed,
        stray,
        broken_events,
        unscheduled,
        damaged,
    } = *verified;
    let counts = [
        (missing, "parts of the key tree that are missing", BELOW),
        (sealed, "parts of the key tree that do not open", BELOW),
        (
            unreadable,
            "stored values that cannot be read",
            "unavailable",
        ),
        (stray, "rows that nothing leads to", "nobody reads them"),
        (
            broken_events,
            "accounts with gaps in their events",
            "nothing else depends on them",
        ),
        (
            unscheduled,
            "accounts that the sweep does not find",
            "what time decides about them waits for their next request, which mends it",
        ),
        (
            damaged,
            "places where the file is damaged",
            "who writes near them stops the vault; `vault-server serve --accept-damage` copies what can be \
             read into a new file, and goes on with that",
        ),
    ];
    let wrong = counts.into_iter().filter(|(count, ..)| *count > 0);
    let in_words = |(count, what, means)| format!("{what}: {count} ({means})");
    wrong.map(in_words).collect()
}

/// Opens every stored value; returns how many accounts there are, and how many values do not open
/// or do not decode.
fn look_through(ledger: &Ledger) -> Result<(u64, u64), CommitError> {
    let (mut accounts, mut unreadable) = (0, 0);
    let mut last = None;
    loop {
        let page = ledger.commit_blocking(move |batch| {
            let keys = batch.keys_after(last.as_ref(), PAGE);
            Ok(keys
                .into_iter()
                .map(|key| (key, look_at(batch, &key)))
                .collect::<Vec<_>>())
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

/// Reads one stored value as what it is; whether it is an account. Nothing is changed.
fn look_at(batch: &mut Batch<'_>, key: &LeafKey) -> Result<bool, LeafUnavailable> {
    let Some(leaf) = batch.read(key)? else {
        return Ok(false);
    };
    let own = places::own();
    let unreadable = |_: Unreadable| LeafUnavailable;
    match own.iter().position(|place| place == key) {
        Some(0) => drop(TenantList::decode(&leaf).map_err(unreadable)?),
        Some(1) => drop(TicketKeys::decode(&leaf).map_err(unreadable)?),
        Some(2) => drop(ChannelKeys::decode(&leaf).map_err(unreadable)?),
        Some(_) => drop(publication::last_serial(batch)?),
        None if is_tenant(batch, key) => drop(Tenant::decode(&leaf).map_err(unreadable)?),
        None => {
            account_leaf::decode(&leaf)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_tenant(batch: &mut Batch<'_>, key: &LeafKey) -> bool {
    let list = batch.read(&places::tenants()).ok().flatten();
    let list = list
        .and_then(|leaf| TenantList::decode(&leaf).ok())
        .unwrap_or_default();
    list.0.iter().any(|tenant| places::tenant(tenant) == *key)
}
