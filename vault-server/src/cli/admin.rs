//! Administration from the command line: over the socket of a running server, or by opening the
//! vault when none runs.

use std::fmt::Debug;
use std::process::ExitCode;

use anyhow::{Context, bail};
use vault_ledger::Ledger;
use vault_protocol::messages::Status;

use super::arguments::{AccountCommand, TenantCommand, distinct};
use super::{keyring_secret, output};
use crate::admin::socket;
use crate::admin::{Answer, EventSummary, Request, TenantSummary};
use crate::config::Config;
use crate::process::clock::Clock;
use crate::server::{self, ledger};

/// A token cannot be shown again.
const TOKEN_LOST: &str = "the token was made, and lost because it could not be printed: make another with \
     `tenant rotate-token`, and revoke this one, which has the highest number in `tenant list`";

/// `tenant …`
pub(crate) fn tenant(config: &Config, command: TenantCommand) -> anyhow::Result<ExitCode> {
    let request = match command {
        TenantCommand::Add {
            name,
            scopes,
            policy,
        } => Request::AddTenant {
            tenant: name,
            policy: policy.policy()?,
            scopes: distinct(&scopes),
        },
        TenantCommand::List => Request::ListTenants,
        TenantCommand::RotateToken {
            name,
            revoke: Some(id),
            ..
        } => Request::RevokeToken { tenant: name, id },
        TenantCommand::RotateToken {
            name,
            scopes,
            revoke: None,
        } => Request::AddToken {
            tenant: name,
            scopes: scopes.map(|scopes| distinct(&scopes)),
        },
        TenantCommand::Remove { name } => Request::RemoveTenant { tenant: name },
    };
    print(ask(config, request)?)
}

/// `account …`
pub(crate) fn account(config: &Config, command: AccountCommand) -> anyhow::Result<ExitCode> {
    let request = match command {
        AccountCommand::Show { tenant, account } => Request::ShowAccount { tenant, account },
        AccountCommand::Reset {
            tenant,
            account,
            generation,
        } => Request::ResetAccount {
            tenant,
            account,
            generation,
        },
    };
    print(ask(config, request)?)
}

/// `fingerprint`
pub(crate) fn fingerprint(config: &Config) -> anyhow::Result<ExitCode> {
    print(ask(config, Request::Fingerprint)?)
}

fn ask(config: &Config, request: Request) -> anyhow::Result<Answer> {
    let socket = &config.admin_socket;
    let asked = socket::ask(socket, &config.data_folder, &request);
    let answer = asked.with_context(|| format!("the server at {}", socket.display()))?;
    match answer {
        Some(answer) => Ok(answer),
        None => ask_stopped_vault(config, request),
    }
}

/// Opens the ledger, and nothing that only serving needs.
fn ask_stopped_vault(config: &Config, request: Request) -> anyhow::Result<Answer> {
    let keyring = keyring_secret::keyring(config)?;
    if let Request::Fingerprint = request {
        let fingerprint = keyring.identity().identity_key().fingerprint();
        return Ok(Answer::Fingerprint { fingerprint });
    }
    let ledger = Ledger::open(ledger::options(config), ledger::identity(&keyring))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(async {
        let admin = server::admin(ledger.clone(), keyring, Clock::system()).await?;
        anyhow::Ok(admin.answer(request).await)
    });
    // The answer was committed before, and a token that is not shown would be lost.
    if let Err(error) = ledger.close() {
        output::note(format_args!("vault-server: {error}"));
    }
    answer
}

fn print(answer: Answer) -> anyhow::Result<ExitCode> {
    match answer {
        Answer::Token { token } => {
            output::note("The token for the app's backend; it is shown only now:");
            output::line(token).context(TOKEN_LOST)?;
        }
        Answer::Tenants { tenants } => tenants.iter().try_for_each(print_tenant)?,
        Answer::Account { status, events } => {
            print_account(&status)?;
            print_events(events.as_deref())?;
        }
        Answer::Done => output::line("Done.").context("it is done")?,
        Answer::Fingerprint { fingerprint } => output::line(fingerprint)?,
        Answer::AnotherVault => bail!(socket::ANOTHER_VAULT),
        Answer::Refused { reason } => bail!(reason),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_tenant(tenant: &TenantSummary) -> anyhow::Result<()> {
    let policy = &tenant.policy;
    output::line(&tenant.tenant)?;
    output::line(format_args!("  live records  {}", tenant.live_records))?;
    let (limit, total) = (policy.limit(), policy.total_limit());
    output::line(format_args!(
        "  limit         {limit} in a row, {total} in all"
    ))?;
    output::line(format_args!("  waits         {:?} s", policy.waits()))?;
    for token in &tenant.tokens {
        let (id, since) = (token.id, token.created_at.to_rfc3339());
        let scopes: Vec<String> = token.scopes.iter().map(lowercase).collect();
        let scopes = scopes.join(",");
        output::line(format_args!("  token {id:<7} {scopes}, since {since}"))?;
    }
    Ok(())
}

fn print_account(status: &Status) -> anyhow::Result<()> {
    output::line(format_args!(
        "state               {}",
        lowercase(&status.state)
    ))?;
    output::line(format_args!("generation          {}", status.generation))?;
    let remaining = status.attempts_remaining;
    output::line(format_args!("attempts remaining  {remaining}"))?;
    if let Some(time) = status.retry_at {
        output::line(format_args!("retry at            {}", time.to_rfc3339()))?;
    }
    if let (Some(time), Some(reason)) = (status.destroyed_at, status.reason) {
        output::line(format_args!("destroyed at        {}", time.to_rfc3339()))?;
        output::line(format_args!("reason              {}", lowercase(&reason)))?;
    }
    Ok(())
}

fn print_events(events: Option<&[EventSummary]>) -> anyhow::Result<()> {
    let Some(events) = events else {
        return output::line(
            "last events         cannot be read: one is missing or damaged; nothing else depends on them",
        );
    };
    if !events.is_empty() {
        output::line("last events")?;
    }
    for event in events {
        let EventSummary {
            at,
            generation,
            event,
        } = event;
        let at = at.to_rfc3339();
        output::line(format_args!("  {at}  generation {generation}  {event}"))?;
    }
    Ok(())
}

fn lowercase(name: &impl Debug) -> String {
    format!("{name:?}").to_lowercase()
}
