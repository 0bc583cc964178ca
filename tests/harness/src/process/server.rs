//! A real vault as a process: its folder, its configuration, its certificate, its life.

use std::error::Error;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::{fmt, fs};

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use vault_protocol::{AccountId, AccountScope, TenantId, VaultId};
use vault_server::keyring::Keyring;
use vault_server::keyring::unlock::Unlock;
use vault_server::process::secret_file;

use crate::process::Running;
use crate::process::certificates::CertificateAuthority;
use crate::programs::{Program, Programs};

/// The server's log line when it can be connected to.
const SERVING: &str = "serving";

/// The settings of a test's vault.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The vault's name.
    pub vault_id: &'static str,
    /// The first tenant's name.
    pub tenant: &'static str,
    /// Further arguments of `tenant add`.
    pub tenant_arguments: Vec<String>,
    /// `log.filter`.
    pub log_filter: &'static str,
    /// Further sections of the configuration, as TOML.
    pub settings: &'static str,
    /// The setting that unseals the keyring with the file `unlock`: `key_file` or
    /// `passphrase_file`. `init` makes the key file, a passphrase has to be written before.
    pub unlock: &'static str,
    /// A command that starts the server, with the server as its last arguments.
    pub launcher: &'static [&'static str],
    /// Files of the folder: `anchor.path` and then the mirrors.
    pub anchors: &'static [&'static str],
}

/// A vault's files: everything that `vault-server` needs, in a temporary folder.
pub struct VaultFolder {
    folder: TempDir,
    programs: Programs,
    options: ServerOptions,
    authority: CertificateAuthority,
}

/// A vault that ended before it served.
#[derive(Debug)]
pub struct DidNotServe {
    /// How it ended.
    pub status: ExitStatus,
    /// All it printed.
    pub log: String,
}

/// A vault that serves. Killed when dropped.
pub struct ServerProcess {
    vault: VaultFolder,
    running: Running,
    address: SocketAddr,
    token: String,
    fingerprint: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            vault_id: "vault-under-test",
            tenant: "app",
            tenant_arguments: Vec::new(),
            log_filter: "info",
            settings: "",
            unlock: "key_file",
            launcher: &[],
            anchors: &["anchor/anchor"],
        }
    }
}

impl ServerOptions {
    /// No waits between attempts: `limit` failures in a row destroy, as fast as they come.
    #[must_use]
    pub fn without_waits(self, limit: usize) -> Self {
        self.with_waits(&vec![0; limit - 1])
    }

    /// One failure in a row more than these waits, in seconds, destroys.
    #[must_use]
    pub fn with_waits(mut self, waits: &[u64]) -> Self {
        let limit = (waits.len() + 1).to_string();
        let waits: Vec<String> = waits.iter().map(u64::to_string).collect();
        self.tenant_arguments = ["--limit", &limit, "--waits"].map(str::to_owned).to_vec();
        if !waits.is_empty() {
            self.tenant_arguments.push(waits.join(","));
        }
        self
    }

    /// So many failures of a generation destroy, whatever succeeds in between. To be called after
    /// one of the others.
    #[must_use]
    pub fn with_total_limit(mut self, total_limit: u64) -> Self {
        let total_limit = ["--total-limit".to_owned(), total_limit.to_string()];
        self.tenant_arguments.splice(0..0, total_limit);
        self
    }
}

impl VaultFolder {
    /// Certificate and configuration; `vault-server init` has not run yet.
    pub fn new(programs: &Programs, options: ServerOptions) -> anyhow::Result<Self> {
        let vault = Self {
            folder: tempfile::Builder::new().prefix("vault-").tempdir()?,
            programs: programs.clone(),
            options,
            authority: CertificateAuthority::new()?,
        };
        fs::write(vault.file("ca.pem"), vault.authority.pem())?;
        vault.renew_certificate()?;
        vault.configure("127.0.0.1:0", "")?;
        Ok(vault)
    }

    /// The same after `vault-server init`.
    pub fn create(programs: &Programs, options: ServerOptions) -> anyhow::Result<Self> {
        let vault = Self::new(programs, options)?;
        vault.done(["init", "--vault-id", vault.options.vault_id])?;
        Ok(vault)
    }

    /// The path of a file of the folder: `vault.toml`, `ca.pem`, `certificate.pem`,
    /// `certificate-key.pem`, `keyring`, `unlock`, `data/…`, `anchor/anchor`, or any other.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The vault's keyring, opened with its key file.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        let unlock = Unlock::KeyFile(secret_file::read_key(&self.file("unlock"))?);
        Ok(Keyring::unseal(&fs::read(self.file("keyring"))?, &unlock)?)
    }

    /// Writes a file that only we can read.
    pub fn write_secret(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        write_secret(&self.file(name), content)
    }

    /// Writes the configuration: where to listen, and more sections.
    pub fn configure(&self, listen: &str, more: &str) -> anyhow::Result<()> {
        self.write_configuration(listen, "data", self.options.anchors, more)
    }

    /// The same with another data folder and other anchors, the first of them `anchor.path`.
    pub fn configure_places(&self, data: &str, anchors: &[&str]) -> anyhow::Result<()> {
        self.write_configuration("127.0.0.1:0", data, anchors, "")
    }

    fn write_configuration(
        &self,
        listen: &str,
        data: &str,
        anchors: &[&str],
        more: &str,
    ) -> anyhow::Result<()> {
        let file = |name: &str| self.file(name).display().to_string();
        let [data, certificate, key, keyring, unlock] = [
            data,
            "certificate.pem",
            "certificate-key.pem",
            "keyring",
            "unlock",
        ]
        .map(file);
        let anchors: Vec<String> = anchors.iter().map(|name| file(name)).collect();
        let (anchor, mirrors) = anchors.split_first().context("a vault has an anchor")?;
        let ServerOptions {
            log_filter,
            settings,
            unlock: unlock_key,
            ..
        } = &self.options;
        let text = format!(
            "listen = '{listen}'\n\
             data_folder = '{data}'\n\
             [anchor]\npath = '{anchor}'\nmirrors = {mirrors:?}\n\
             [tls]\ncertificate_file = '{certificate}'\nkey_file = '{key}'\n\
             [keyring]\nfile = '{keyring}'\n{unlock_key} = '{unlock}'\n\
             [log]\nformat = 'json'\nfilter = '{log_filter}'\n{settings}\n{more}\n"
        );
        Ok(fs::write(self.file("vault.toml"), text)?)
    }

    /// Puts a new certificate and its key in place; returns the certificate as DER.
    pub fn renew_certificate(&self) -> anyhow::Result<Vec<u8>> {
        let issued = self.authority.issue()?;
        self.write_secret("certificate-key.pem", &issued.key)?;
        fs::write(self.file("certificate.pem"), issued.certificate)?;
        Ok(issued.certificate_der)
    }

    /// Runs `vault-server` with these arguments and this vault's configuration, to its end.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Output> {
        Ok(self.command(arguments).output()?)
    }

    /// The same, not started yet.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.programs.command(Program::VaultServer);
        command
            .arg("--config")
            .arg(self.file("vault.toml"))
            .args(arguments);
        command
    }

    /// The same, which has to succeed; returns its output.
    pub fn done<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            bail!(
                "{}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same, which has to fail with exit code 1; returns the error it printed.
    pub fn refused<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        if output.status.code() != Some(1) {
            bail!("{} where exit code 1 was expected", output.status);
        }
        let error = String::from_utf8(output.stderr)?;
        let (error, _code) = error.split_once("\ncode: ").unwrap_or((&error, ""));
        let error = error
            .trim_end()
            .strip_prefix("vault-server: ")
            .map(str::to_owned);
        error.context("no error was printed")
    }

    /// Starts `vault-server serve` and waits until it serves. Fails with [`DidNotServe`] if it ends
    /// first.
    pub fn serve(&self) -> anyhow::Result<(Running, SocketAddr)> {
        self.serve_below(|_| {})
    }

    fn serve_below(
        &self,
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<(Running, SocketAddr)> {
        let mut running = self.start(prepare)?;
        let line = match running.line_after(0, |line| has_message(line, SERVING)) {
            Ok(line) => line,
            Err(_) => {
                let (status, log) = (running.wait()?, running.text());
                return Err(DidNotServe { status, log }.into());
            }
        };
        let address = field(&line, "address").context("no address in the log")?;
        Ok((running, address.parse()?))
    }

    /// Starts `vault-server serve`, which has to end with exit code 1 before it serves; returns
    /// its error text.
    pub fn refuses_to_serve(&self) -> anyhow::Result<String> {
        let mut running = self.start(|_| {})?;
        if running
            .line_after(0, |line| has_message(line, SERVING))
            .is_ok()
        {
            bail!("it serves");
        }
        let status = running.wait()?;
        if status.code() != Some(1) {
            bail!("{status} where exit code 1 was expected");
        }
        let text = running.text();
        let error = text
            .lines()
            .find_map(|line| line.strip_prefix("vault-server: "));
        error
            .map(str::to_owned)
            .with_context(|| format!("no error was printed:\n{text}"))
    }

    /// Starts `vault-server serve`, and waits for nothing.
    pub fn start(&self, prepare: impl FnOnce(&mut Command)) -> anyhow::Result<Running> {
        let (programs, launcher) = (&self.programs, self.options.launcher);
        let mut command = programs.command_through(launcher, Program::VaultServer);
        command
            .arg("--config")
            .arg(self.file("vault.toml"))
            .arg("serve");
        prepare(&mut command);
        Running::start(command)
    }
}

impl ServerProcess {
    /// Makes a vault, starts it, adds its first tenant.
    pub fn start(programs: &Programs, options: ServerOptions) -> anyhow::Result<Self> {
        let vault = VaultFolder::create(programs, options)?;
        let (running, address) = vault.serve()?;
        let add = ["tenant", "add", vault.options.tenant].into_iter();
        let token =
            vault.done(add.chain(vault.options.tenant_arguments.iter().map(String::as_str)))?;
        let fingerprint = vault.done(["fingerprint"])?.trim().to_owned();
        Ok(Self {
            running,
            address,
            token: token.trim().to_owned(),
            fingerprint,
            vault,
        })
    }

    /// Its files and its command line.
    pub fn vault(&self) -> &VaultFolder {
        &self.vault
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// The same, to look at only.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Its log since its last start.
    pub fn log(&self) -> String {
        self.running.text()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://` and where it listens.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The vault's fingerprint, which devices pin.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The first tenant's token with the scope `use`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The root certificate as PEM, which clients trust.
    pub fn root_certificate(&self) -> String {
        self.vault.authority.pem()
    }

    /// An account of the first tenant.
    ///
    /// # Panics
    /// If the name is not valid.
    pub fn account(&self, name: &str) -> AccountScope {
        AccountScope {
            vault: VaultId::new(self.vault.options.vault_id).expect("a valid vault id"),
            tenant: TenantId::new(self.vault.options.tenant).expect("a valid tenant"),
            account: AccountId::new(name).expect("a valid account"),
        }
    }

    /// Waits for a message in its log after a mark of [`Running::mark`].
    pub fn logged(&self, mark: usize, message: &str) -> anyhow::Result<String> {
        self.running
            .line_after(mark, |line| has_message(line, message))
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running.kill()
    }

    /// SIGTERM; returns how it ended.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.running.terminate()
    }

    /// SIGHUP; returns when the certificate was read again.
    pub fn reload(&self) -> anyhow::Result<()> {
        let mark = self.running.mark();
        self.running.signal(Signal::HUP)?;
        self.logged(mark, "the TLS certificate was reloaded")
            .map(drop)
    }

    /// Starts it again on the same folder, after it has ended. The address stays: clients and
    /// relays were told it.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.restart_below(|_| {})
    }

    /// The same with something done to its command, which may end it before it serves; then it is
    /// [`DidNotServe`].
    pub fn restart_below(&mut self, prepare: impl FnOnce(&mut Command)) -> anyhow::Result<()> {
        self.vault.configure(&self.address.to_string(), "")?;
        (self.running, self.address) = self.vault.serve_below(prepare)?;
        Ok(())
    }
}

impl fmt::Display for DidNotServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the vault does not start: {}\n{}", self.status, self.log)
    }
}

impl Error for DidNotServe {}

fn has_message(line: &str, message: &str) -> bool {
    field(line, "message").is_some_and(|text| text == message)
}

/// A field of a JSON log line, as text.
fn field(line: &str, name: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get(name)?.as_str().map(str::to_owned)
}

/// Writes a file of mode 0600.
pub(crate) fn write_secret(path: &Path, content: &str) -> anyhow::Result<PathBuf> {
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(path.to_owned())
}
