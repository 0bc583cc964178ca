//! The canaries, and the places where they are looked for.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use vault_protocol::inner_http::InnerResponse;
use vault_tests::canaries::Canaries;
use vault_tests::memory::Part;
use vault_tests::process::server::ServerProcess;
use zeroize::Zeroizing;

use super::credential::Credential;
use crate::gate::holds;

/// Everything that could tell, and everything that must not be told.
pub struct Observed {
    /// In no log line, error body or file.
    pub names: Canaries,
    /// Not in the server's memory either: it never had them.
    pub secrets: Canaries,
    /// In the server's memory of old, erased when they were used.
    pub erased: Canaries,
    /// The bodies of all problems, inner and outer.
    problems: Vec<u8>,
    /// In the memory of every running vault: if it is not found, nothing would be.
    always_there: Canaries,
}

impl Observed {
    /// Remembers the secrets of every vault.
    pub fn of(server: &ServerProcess) -> anyhow::Result<Self> {
        let mut observed = Self {
            names: Canaries::default(),
            secrets: Canaries::default(),
            erased: Canaries::default(),
            problems: Vec::new(),
            always_there: Canaries::default(),
        };
        let keyring = server.vault().keyring()?;
        let names = &mut observed.names;
        names.bytes("the master key", keyring.master_key());
        let setup = Zeroizing::new(keyring.opaque().expose_secret().serialize().to_vec());
        names.bytes("OPAQUE's server setup", &setup);
        names.text("a token", secret_of(server.token()));
        let identity = keyring.identity().identity_key();
        let always = &mut observed.always_there;
        always.bytes("the identity's public key", identity.0.as_bytes());
        Ok(observed)
    }

    /// Remembers what the vault has of a record: nowhere in clear, and when the record is destroyed not
    /// in its memory either.
    pub fn credential(&mut self, credential: &Credential) {
        let erased = &mut self.erased;
        erased.bytes("a credential identifier", &credential.identifier[..]);
        erased.bytes("an OPRF key's seed", &credential.seed[..]);
        erased.bytes("an OPRF key", &credential.oprf_key[..]);
    }

    /// Remembers an outer answer.
    pub fn outer(&mut self, status: u16, body: &[u8]) {
        if status >= 400 {
            self.problems.extend_from_slice(body);
        }
    }

    /// Remembers an inner answer with its headers.
    pub fn inner(&mut self, answer: &InnerResponse) {
        self.outer(answer.status, &answer.content);
        for (name, value) in &answer.headers {
            self.problems.extend([name.as_slice(), value].concat());
        }
    }

    /// How many patterns are looked for.
    pub fn patterns(&self) -> usize {
        let all = [&self.names, &self.secrets, &self.erased];
        all.map(Canaries::count).iter().sum()
    }

    /// Nothing of this is in a problem.
    pub fn search_answers(&self) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&self.problems);
        let count = text.matches("urn:backup-key-vault:problem:").count();
        ensure!(count > 50, "{count} problems were provoked, too few");
        self.search("an error's body", &self.problems)
    }

    /// Nor in the log, which must have something to say.
    pub fn search_log(&self, log: &str) -> anyhow::Result<()> {
        let answered = log.matches("\"answered\"").count();
        ensure!(answered > 50, "the log says little:\n{log}");
        holds(!log.contains("panicked"), || "a thread panicked".to_owned())?;
        self.search("the log", log.as_bytes())
    }

    /// Nor in any file of the data folder or beside an anchor, nor in the keyring.
    pub fn search_files(&self, server: &ServerProcess, when: &str) -> anyhow::Result<()> {
        for folder in ["data", "anchor"] {
            let files = files(&server.vault().file(folder))?;
            self.search(&format!("the {folder} folder {when}"), &files)?;
        }
        let keyring = fs::read(server.vault().file("keyring"))?;
        self.search("the keyring's file", &keyring)
    }

    /// Nor, of what only a device knows, in the memory.
    pub fn search_memory(&self, image: &[Part]) -> anyhow::Result<()> {
        let is_there = |part: &Part| !self.always_there.found_in(&part.bytes).is_empty();
        let complete = image.iter().any(is_there);
        ensure!(complete, "the image lacks what the server must have");
        for part in image {
            let place = format!("the server's memory, {}", part.name);
            nothing(&place, &self.secrets.found_in(&part.bytes))?;
            nothing(&place, &self.erased.found_in(&part.bytes))?;
        }
        Ok(())
    }

    fn search(&self, place: &str, bytes: &[u8]) -> anyhow::Result<()> {
        for canaries in [&self.names, &self.secrets, &self.erased] {
            nothing(place, &canaries.found_in(bytes))?;
        }
        Ok(())
    }
}

fn nothing(place: &str, found: &[&str]) -> anyhow::Result<()> {
    let is_clean = found.is_empty();
    Ok(holds(is_clean, || {
        format!("in {place}: {}", found.join(", "))
    })?)
}

/// The part of a token that is drawn: 32 bytes in base64url, at its end.
pub fn secret_of(token: &str) -> &str {
    let token = token.trim();
    &token[token.len().saturating_sub(43)..]
}

fn files(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Not the socket.
        if entry.file_type()?.is_file() {
            content.extend(fs::read(entry.path())?);
        }
    }
    ensure!(!content.is_empty(), "nothing is in {}", folder.display());
    Ok(content)
}
