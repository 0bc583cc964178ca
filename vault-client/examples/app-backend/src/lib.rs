//! A relay: the part that an app team adds to its own backend so that its users have a backup key
//! vault. It knows its users, and adds the two things that the vault asks of it: the tenant's token
//! and the account that the backend vouches for (PROTOCOL.md section 5). The messages are sealed
//! between device and vault; the relay reads none of them and keeps none of them.
//!
//! - `POST /login` `{"user", "password"}` → `{"session"}` stands for the login that the app has.
//! - `POST /v1/ohttp` passes sealed messages on, with the session as bearer token.
//! - `GET /v1/vault` passes the vault's signed statement on: devices need no way to the vault.
//!
//! ```sh
//! cargo run --release -p vault-app-backend -- \
//!     --vault https://127.0.0.1:8443 --ca-file ca.pem --token-file token --users users
//! ```
//!
//! In a real backend the two `/v1` routes stand beside the app's own, behind its TLS, its login and
//! its rate limits. An attacker that steals a login cannot read a key, but can use up its attempts.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{ffi::OsString, fs, net::SocketAddr, path::Path, path::PathBuf, process::ExitCode};

use anyhow::{Context, ensure};
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use rand::{RngCore, rngs::OsRng};
use reqwest::{Certificate, Client, RequestBuilder, redirect, retry, tls};
use sha2::{Digest, Sha256};

/// In bytes; sealed messages have a few KiB. The vault refuses requests of more than 16 KiB.
const MAX_REQUEST: usize = 16 * 1024;
const MAX_ANSWER: u64 = 64 * 1024;
const MAX_SESSIONS: usize = 10_000;

/// A small app backend that relays sealed messages to a backup key vault.
#[derive(Parser)]
#[command(name = "app-backend")]
struct Options {
    /// Where to listen, in plain HTTP: the app's own TLS stands before it
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The vault, https://host:port
    #[arg(long, value_name = "URL")]
    vault: String,
    /// Root certificates (PEM) for the vault's, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The tenant's token with the scope `use`, mode 0600
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The app's users, a name and a password on each line, mode 0600
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
}

struct Backend {
    vault: String,
    http: Client,
    /// The tenant's token as a header, which goes nowhere but to the vault.
    authorization: HeaderValue,
    /// Stands for the app's user database: SHA-256 of each user's password.
    users: HashMap<String, Hash>,
    /// SHA-256 of each session's token, and whose session it is.
    sessions: Mutex<VecDeque<(Hash, String)>>,
}

type Hash = [u8; 32];

/// Passes a sealed message on. Of the device's headers only the content type goes along, so that
/// nothing that a device sends can become the token or the account.
async fn relay(
    State(backend): State<Arc<Backend>>,
    SignedIn(account): SignedIn,
    headers: HeaderMap,
    sealed: Bytes,
) -> Response {
    let request = backend.http.post(format!("{}/v1/ohttp", backend.vault));
    let request = request.header(AUTHORIZATION, backend.authorization.clone());
    let mut request = request.header("vault-account", account).body(sealed);
    if let Some(content_type) = headers.get(CONTENT_TYPE) {
        request = request.header(CONTENT_TYPE, content_type);
    }
    pass_back(request).await
}

/// The statement is public; strangers are refused all the same, so that they cannot make us call.
async fn statement(State(backend): State<Arc<Backend>>, SignedIn(_): SignedIn) -> Response {
    pass_back(backend.http.get(format!("{}/v1/vault", backend.vault))).await
}

/// The answer as the vault gave it. Nothing is repeated: the device decides what may be.
async fn pass_back(request: RequestBuilder) -> Response {
    answer(request).await.unwrap_or_else(|error| {
        eprintln!("app-backend: no answer from the vault: {error:#}");
        StatusCode::BAD_GATEWAY.into_response()
    })
}

async fn answer(request: RequestBuilder) -> anyhow::Result<Response> {
    let answer = request.send().await?;
    let is_short = answer
        .content_length()
        .is_some_and(|length| length <= MAX_ANSWER);
    ensure!(
        is_short,
        "an answer without a length or of more than {MAX_ANSWER} bytes"
    );
    let kept = [CONTENT_TYPE, RETRY_AFTER].into_iter();
    let kept = kept.filter_map(|name| Some((name.clone(), answer.headers().get(name)?.clone())));
    let (status, headers) = (answer.status(), HeaderMap::from_iter(kept));
    Ok((status, headers, Body::from(answer.bytes().await?)).into_response())
}

/// The user whose session came with the request: the account that we vouch for. It stands before
/// the body in a handler's arguments: nothing of a stranger's body is read.
struct SignedIn(String);

impl FromRequestParts<Arc<Backend>> for SignedIn {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        backend: &Arc<Backend>,
    ) -> Result<Self, StatusCode> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let hash = sha256(token.ok_or(StatusCode::UNAUTHORIZED)?);
        let sessions = backend.sessions();
        let session = sessions.iter().find(|(session, _)| *session == hash);
        session
            .map(|(_, user)| Self(user.clone()))
            .ok_or(StatusCode::UNAUTHORIZED)
    }
}

async fn login(
    State(backend): State<Arc<Backend>>,
    Json(login): Json<HashMap<String, String>>,
) -> Result<Json<HashMap<&'static str, String>>, StatusCode> {
    let [user, password] = ["user", "password"].map(|name| login.get(name));
    let (user, password) = user.zip(password).ok_or(StatusCode::BAD_REQUEST)?;
    if backend.users.get(user) != Some(&sha256(password)) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let mut token = [0; 32];
    OsRng.fill_bytes(&mut token);
    let session = base16ct::lower::encode_string(&token);
    let mut sessions = backend.sessions();
    sessions.truncate(MAX_SESSIONS - 1);
    sessions.push_front((sha256(&session), user.clone()));
    Ok(Json(HashMap::from([("session", session)])))
}

/// Runs the program with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = Options::parse_from(arguments);
    let runtime = tokio::runtime::Runtime::new().context("no runtime");
    match runtime.and_then(|runtime| runtime.block_on(serve(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("app-backend: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let router = Router::new()
        .route("/login", post(login))
        .route("/v1/ohttp", post(relay))
        .route("/v1/vault", get(statement))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Arc::new(Backend::new(&options)?));
    let address = listener.local_addr()?;
    println!("app-backend: listening on http://{address}");
    Ok(axum::serve(listener, router).await?)
}

impl Backend {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let token = read_private(&options.token_file)?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.trim()))?;
        authorization.set_sensitive(true);
        Ok(Self {
            vault: options.vault.trim_end_matches('/').to_owned(),
            http: client(options.ca_file.as_deref())?,
            authorization,
            users: read_private(&options.users)?
                .lines()
                .map(user)
                .collect::<Result<_, _>>()?,
            sessions: Mutex::default(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, VecDeque<(Hash, String)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLS 1.3 to the vault, and nothing in the environment or in an answer leads elsewhere.
fn client(ca_file: Option<&Path>) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .https_only(true)
        .tls_version_min(tls::Version::TLS_1_3)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(30));
    if let Some(path) = ca_file {
        let pem = fs::read(path).with_context(|| path.display().to_string())?;
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem)?);
    }
    Ok(builder.build()?)
}

/// Here the app's user ids are account names already (PROTOCOL.md section 2); others are encoded
/// or hashed, always in the same way.
fn user(line: &str) -> anyhow::Result<(String, Hash)> {
    let (name, password) = line.split_once(' ').context("a user without a password")?;
    let account = vault_protocol::AccountId::new(name)?;
    Ok((account.to_string(), sha256(password)))
}

fn read_private(path: &Path) -> anyhow::Result<String> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    ensure!(mode & 0o077 == 0, "{path:?} is open to others: chmod 600");
    Ok(fs::read_to_string(path)?)
}

fn sha256(text: &str) -> Hash {
    Sha256::digest(text).into()
}
