//! Calls of the tests' own device to a vault that runs as a process: sealed messages over TLS.

use anyhow::{Context, anyhow, bail};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, ClientBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_protocol::inner_http::{InnerResponse, decode_response};
use vault_protocol::messages::{RegistrationFinished, RetrievalStarted, Status};
use vault_protocol::ohttp_keys::REQUEST_MEDIA_TYPE;
use vault_protocol::problem::ProblemDetails;
use vault_protocol::{AccountId, AccountScope, BackupKey, Problem};

use crate::device::{self, Device, Guess, InnerMessage};
use crate::process::backend::AppBackendProcess;
use crate::process::server::ServerProcess;

/// The vault's answer inside the sealed channel.
pub type Said<T> = Result<T, Problem>;

/// One account's calls over connections of their own. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Calls {
    http: Client,
    url: String,
    token: String,
    scope: AccountScope,
    key_list: Vec<u8>,
}

impl Calls {
    /// Connects for an account of the vault's first tenant.
    pub async fn connect(server: &ServerProcess, account: &str) -> anyhow::Result<Self> {
        Self::connect_through(client(server)?, server, account).await
    }

    /// The same over HTTP/1.1: a connection has one request at a time, and carries nothing else.
    pub async fn connect_http1(server: &ServerProcess, account: &str) -> anyhow::Result<Self> {
        let http = trusting(&server.root_certificate())?.http1_only().build()?;
        Self::connect_through(http, server, account).await
    }

    async fn connect_through(
        http: Client,
        server: &ServerProcess,
        account: &str,
    ) -> anyhow::Result<Self> {
        let answer = http
            .get(format!("{}/v1/ohttp-keys", server.url()))
            .send()
            .await?;
        Ok(Self {
            http,
            url: format!("{}/v1/ohttp", server.url()),
            token: server.token().to_owned(),
            scope: server.account(account),
            key_list: answer.bytes().await?.to_vec(),
        })
    }

    /// Connects to the app's backend instead, with a session of the same account.
    pub async fn relayed(
        server: &ServerProcess,
        backend: &AppBackendProcess,
        session: &str,
        account: &str,
    ) -> anyhow::Result<Self> {
        let direct = Self::connect(server, account).await?;
        Ok(Self {
            http: Client::builder().tls_certs_only([]).no_proxy().build()?,
            url: format!("{}/v1/ohttp", backend.url()),
            token: session.to_owned(),
            ..direct
        })
    }

    /// The same connections for another account, with a token of its tenant.
    #[must_use]
    pub fn of_account(&self, scope: AccountScope, token: &str) -> Self {
        let token = token.to_owned();
        Self {
            scope,
            token,
            ..self.clone()
        }
    }

    /// The same connections for another account of the same tenant.
    #[must_use]
    pub fn for_account(&self, account: AccountId) -> Self {
        let mut other = self.clone();
        other.scope.account = account;
        other
    }

    /// The same over other connections.
    pub fn over(&self, http: Client) -> Self {
        Self {
            http,
            ..self.clone()
        }
    }

    /// Whose calls they are.
    pub fn scope(&self) -> &AccountScope {
        &self.scope
    }

    /// A sealed message, as its HTTP request.
    pub fn seal(&self, inner: &InnerMessage) -> (reqwest::RequestBuilder, ohttp::ClientResponse) {
        let (sealed, key) = self.sealed(inner);
        (self.request(sealed), key)
    }

    /// A sealed message, and the key that opens its answer.
    pub fn sealed(&self, inner: &InnerMessage) -> (Vec<u8>, ohttp::ClientResponse) {
        device::seal(&self.key_list, &inner.encode())
    }

    /// The HTTP request of a sealed message. The same one can be sent again and again.
    pub fn request(&self, sealed: Vec<u8>) -> reqwest::RequestBuilder {
        self.request_without_token(sealed).bearer_auth(&self.token)
    }

    /// The same without a token, or with another one.
    pub fn request_without_token(&self, sealed: Vec<u8>) -> reqwest::RequestBuilder {
        let request = self.http.post(&self.url);
        let request = request.header("vault-account", self.scope.account.as_str());
        request
            .header(CONTENT_TYPE, REQUEST_MEDIA_TYPE)
            .body(sealed)
    }

    /// Sends JSON to an endpoint of the account. An outer problem, or no answer, is an error.
    pub async fn post<M: Serialize, T: DeserializeOwned>(
        &self,
        endpoint: &str,
        message: &M,
    ) -> anyhow::Result<Said<T>> {
        let path = format!("{}/{endpoint}", self.scope.path());
        let inner = InnerMessage::json("POST", &path, &serde_json::to_vec(message)?);
        said(&self.send(&inner).await?)
    }

    /// The account's status.
    pub async fn status(&self) -> anyhow::Result<Status> {
        granted(self.ask_status().await?)
    }

    /// The same, which may be refused.
    pub async fn ask_status(&self) -> anyhow::Result<Said<Status>> {
        let inner = InnerMessage::request("GET", &self.scope.path());
        said(&self.send(&inner).await?)
    }

    /// Registers a new key with cheap stretching; returns the device that holds it.
    pub async fn register(&self, password: &str) -> anyhow::Result<Device> {
        let device = Device::new(&self.scope);
        let started = device.register(password);
        let answer = granted(self.post("registration/start", &started.message).await?)?;
        let evaluated = device.evaluated(&started, &answer);
        let finished = self.post("registration/finish", &evaluated.message).await?;
        granted::<RegistrationFinished>(finished)?;
        Ok(device)
    }

    /// Starts a guess: the call after which an attempt is charged.
    pub async fn start(&self, guess: &Guess) -> anyhow::Result<Said<RetrievalStarted>> {
        self.post("retrieval/start", &guess.message).await
    }

    /// Retrieves with the right password.
    pub async fn retrieve(&self, password: &str) -> anyhow::Result<BackupKey> {
        let guess = Guess::new(&self.scope, password);
        let started = granted(self.start(&guess).await?)?;
        let login = guess
            .evaluated(&started)
            .ok()
            .context("the password is wrong")?;
        let finished = granted(self.post("retrieval/finish", &login.message).await?)?;
        login
            .open(&finished)
            .ok()
            .context("the released key does not open")
    }

    /// Sends an inner message, whatever it is, and opens the answer.
    pub async fn send(&self, inner: &InnerMessage) -> anyhow::Result<InnerResponse> {
        let (request, key) = self.seal(inner);
        let answer = request.send().await?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        if status != StatusCode::OK {
            bail!("outer status {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(decode_response(&key.decapsulate(&body)?)?)
    }
}

/// The answer; a problem is an error.
pub fn granted<T>(said: Said<T>) -> anyhow::Result<T> {
    said.map_err(|problem| anyhow!("the vault refused: {problem:?}"))
}

/// An HTTP client that trusts this vault's certificate, with connections of its own.
pub fn client(server: &ServerProcess) -> anyhow::Result<Client> {
    client_trusting(&server.root_certificate())
}

/// The same from the certificate alone, as PEM.
pub fn client_trusting(root: &str) -> anyhow::Result<Client> {
    Ok(trusting(root)?.build()?)
}

fn trusting(root: &str) -> anyhow::Result<ClientBuilder> {
    let roots = Certificate::from_pem_bundle(root.as_bytes())?;
    Ok(Client::builder()
        .tls_certs_only(roots)
        .https_only(true)
        .no_proxy())
}

fn said<T: DeserializeOwned>(answer: &InnerResponse) -> anyhow::Result<Said<T>> {
    if (200..300).contains(&answer.status) {
        return Ok(Ok(serde_json::from_slice(&answer.content)?));
    }
    let details: ProblemDetails = serde_json::from_slice(&answer.content)?;
    Ok(Err(
        Problem::from_details(&details).context("a problem that is not listed")?
    ))
}
