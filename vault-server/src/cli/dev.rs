//! `dev`: a throw-away vault, and commands for a second terminal that work as printed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use rand::rngs::OsRng;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use vault_ledger::Ledger;
use vault_protocol::{Policy, TenantId, VaultId};
use zeroize::Zeroizing;

use super::output;
use super::serve::{self, OnHangup};
use crate::admin::{Answer, Request};
use crate::config::Config;
use crate::keyring::Keyring;
use crate::process::secret_file;
use crate::server::{Vault, ledger};
use crate::telemetry::logs;
use crate::tenants::token::TokenScope;

const TENANT: &str = "demo";

pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new()
        .prefix("backup-key-vault-dev-")
        .tempdir()?;
    let config = configure(folder.path(), listen)?;
    logs::init(&config.log)?;
    let keyring = Keyring::generate(VaultId::new("dev")?, &mut OsRng);
    let fingerprint = keyring.identity().identity_key().fingerprint().to_string();
    let ledger = Ledger::create(ledger::options(&config), ledger::identity(&keyring))?;
    let served = serve::serve_until_stopped(
        serve::runtime()?,
        &config,
        keyring,
        ledger.clone(),
        OnHangup::Stop,
        async |vault, address| {
            let token = add_tenant(vault).await?;
            secret_file::create(&folder.path().join("token"), token.as_bytes())?;
            fs::create_dir(folder.path().join("notes"))?;
            fs::write(
                folder.path().join("notes/first.txt"),
                "Something to back up.\n",
            )?;
            print_commands(&folder, address, &fingerprint)
        },
    );
    ledger.close()?;
    output::line(format_args!("Removed {}.", folder.path().display()))?;
    served
}

fn configure(folder: &Path, listen: SocketAddr) -> anyhow::Result<Config> {
    let names = vec!["localhost".to_owned(), listen.ip().to_string()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
    fs::write(folder.join("certificate.pem"), cert.pem())?;
    secret_file::create(
        &folder.join("certificate.key"),
        signing_key.serialize_pem().as_bytes(),
    )?;
    let file = folder.join("vault.toml");
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = serde_json::json!({
        "listen": listen,
        "data_folder": path("data"),
        "anchor": { "path": path("anchor/anchor") },
        "tls": {
            "certificate_file": path("certificate.pem"),
            "key_file": path("certificate.key"),
        },
        "log": { "filter": "warn" },
    });
    let text = toml::to_string(&settings)?;
    fs::write(&file, &text)?;
    // Without the environment: its variables are meant for a real vault.
    let environment: [(&str, &str); 0] = [];
    Config::from_sources(Some((&file, &text)), environment).context("the throw-away configuration")
}

async fn add_tenant(vault: &Vault) -> anyhow::Result<Zeroizing<String>> {
    let request = Request::AddTenant {
        tenant: TenantId::new(TENANT)?,
        policy: Policy::default(),
        scopes: vec![TokenScope::Use, TokenScope::Status, TokenScope::Reset],
    };
    match vault.admin.answer(request).await {
        Answer::Token { token } => Ok(Zeroizing::new(token)),
        _ => anyhow::bail!("the throw-away vault did not take its tenant"),
    }
}

fn print_commands(folder: &TempDir, address: SocketAddr, fingerprint: &str) -> anyhow::Result<()> {
    let client = match std::env::var_os("CARGO") {
        Some(_) => "cargo run --release -p vault-client-cli --",
        None => "vault-client",
    };
    let at = |name: &str| format!("'{}'", folder.path().join(name).display());
    let (certificate, token) = (at("certificate.pem"), at("token"));
    output::line(format_args!(
        "A throw-away vault listens on https://{address}.\n\
         Everything is in {}; Ctrl-C removes it.\n\
         \n\
         In a second terminal, protect a backup key with a password:\n\
         \n\
         \x20 export VAULT_CLIENT_STATE={}\n\
         \x20 {client} enable --url https://{address} --ca-file {certificate} \\\n\
         \x20   --fingerprint '{fingerprint}' \\\n\
         \x20   --tenant {TENANT} --account alice --token-file {token}\n\
         \n\
         Then, for example:\n\
         \n\
         \x20 {client} status\n\
         \x20 {client} backup {} --output {}\n\
         \x20 {client} --help\n\
         \n\
         The token as the backend of the app `{TENANT}` would hold it:\n\
         \n\
         \x20 curl --cacert {certificate} -H \"Authorization: Bearer $(cat {token})\" \\\n\
         \x20   https://{address}/v1/tenants/{TENANT}/accounts/alice",
        folder.path().display(),
        at("phone.json"),
        at("notes"),
        at(""),
    ))
}
