//! The example app backend as a process, relaying to a vault.

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::process::Running;
use crate::process::server::{ServerProcess, write_secret};
use crate::programs::{Program, Programs};

/// The backend prints it before its address.
const LISTENING: &str = "app-backend: listening on ";

/// A running app backend. Killed when dropped.
pub struct AppBackendProcess {
    running: Running,
    url: String,
    _files: TempDir,
}

impl AppBackendProcess {
    /// Starts one with these users (name, password), as a backend of the vault's first tenant.
    pub fn start(
        programs: &Programs,
        server: &ServerProcess,
        users: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let files = tempfile::Builder::new().prefix("backend-").tempdir()?;
        let users = users
            .iter()
            .map(|(name, password)| format!("{name} {password}\n"));
        let users = write_secret(&files.path().join("users"), &users.collect::<String>())?;
        let token = write_secret(&files.path().join("token"), server.token())?;
        let mut command = programs.command(Program::AppBackend);
        command.args(["--listen", "127.0.0.1:0", "--vault", &server.url()]);
        command.arg("--ca-file").arg(server.vault().file("ca.pem"));
        command
            .arg("--token-file")
            .arg(token)
            .arg("--users")
            .arg(users);
        let running = Running::start(command)?;
        let line = running.line_after(0, |line| line.starts_with(LISTENING));
        let url = line
            .context("the app backend does not start")?
            .split_off(LISTENING.len());
        Ok(Self {
            running,
            url,
            _files: files,
        })
    }

    /// Its base address, `http://…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Signs a user in; returns the session's token.
    pub async fn login(&self, user: &str, password: &str) -> anyhow::Result<String> {
        let body = serde_json::json!({ "user": user, "password": password });
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .build()?;
        let request = http
            .post(format!("{}/login", self.url))
            .body(body.to_string());
        let answer = request
            .header("content-type", "application/json")
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "the login was answered with {}",
            answer.status()
        );
        let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        let session = answer["session"]
            .as_str()
            .context("no session in the answer")?;
        Ok(session.to_owned())
    }
}
