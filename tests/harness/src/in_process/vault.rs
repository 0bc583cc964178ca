//! A real vault inside the test's process: the whole server without its sockets, on a real SQLite
//! folder, at a time that only the test moves.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use rand::RngCore;
use rand::rngs::OsRng;
use serde::Serialize;
use tempfile::TempDir;
use tower::ServiceExt;
use vault_ledger::{LeafKey, Ledger, Options};
use vault_protocol::inner_http::PADDED_LEN;
use vault_protocol::messages::Status;
use vault_protocol::ohttp_keys::{REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE};
use vault_protocol::{AccountId, AccountScope, Policy, TenantId, Timestamp, VaultId};
use vault_server::admin::{Answer, Request as AdminRequest};
use vault_server::channel::statement::ChannelRotation;
use vault_server::keyring::Keyring;
use vault_server::keyring::unlock::Unlock;
use vault_server::maintenance::Schedule;
use vault_server::process::clock::Clock;
use vault_server::server::ledger;
use vault_server::server::{Vault, VaultOptions};
use vault_server::service::account::AccountLeaf;
use vault_server::stored::leaf::{Leaf, Leaves};
use vault_server::tenants::token::TokenScope;
use zeroize::Zeroizing;

use super::answer::{Answered, SealedAnswer};
use crate::device::{self, InnerMessage};

/// When every test vault begins: 2027-01-15T08:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The vault's name.
pub const VAULT_ID: &str = "vault-under-test";

/// The first tenant.
pub const TENANT: &str = "app";

/// Seconds of a day.
pub const DAY: u64 = 24 * 60 * 60;

/// A key of the sealed channel is published for 30 days and opens messages for 7 days more.
pub const CHANNEL: ChannelRotation = ChannelRotation {
    period_seconds: 30 * DAY,
    overlap_seconds: 7 * DAY,
};

const OPTIONS: VaultOptions = VaultOptions {
    schedule: Schedule {
        sweep_seconds: 60,
        ticket_key_seconds: DAY,
        channel: CHANNEL,
    },
    in_flight: 1024,
    body_timeout: Duration::from_secs(10),
};

/// A vault that can be stopped and started again.
pub struct TestVault {
    folder: TempDir,
    sealed_keyring: Vec<u8>,
    keyring_key: Zeroizing<[u8; 32]>,
    options: VaultOptions,
    /// How many changes may wait for the writer, from the next start on.
    pub queue_capacity: usize,
    running: Option<Running>,
    /// The first tenant.
    pub app: TestTenant,
}

/// A tenant with one token for each scope.
pub struct TestTenant {
    /// Its name.
    pub name: TenantId,
    /// Relays sealed messages, and nothing else.
    pub use_token: String,
    /// Asks for the status, and nothing else.
    pub status_token: String,
    /// Resets, and nothing else.
    pub reset_token: String,
}

struct Running {
    clock: Clock,
    ledger: Ledger,
    vault: Vault,
    router: Router,
}

/// An account as it lies in the ledger, whatever is due by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The last one that was begun.
    pub generation: u64,
    /// Whether there is a record that is not destroyed.
    pub is_live: bool,
}

impl TestVault {
    /// A new vault with the tenant `app`, whose new records get this policy.
    pub async fn start(policy: Policy) -> Self {
        Self::start_with(policy, |_| {}).await
    }

    /// The same with other options.
    pub async fn start_with(policy: Policy, adjust: impl FnOnce(&mut VaultOptions)) -> Self {
        let mut options = OPTIONS;
        adjust(&mut options);
        let folder = TempDir::new().expect("a temporary folder");
        let mut keyring_key = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(keyring_key.as_mut());
        let unlock = Unlock::KeyFile(keyring_key.clone());
        let vault_id = VaultId::new(VAULT_ID).expect("a valid name");
        let keyring = Keyring::generate(vault_id, &mut OsRng);
        let sealed_keyring = keyring.seal(&unlock, &mut OsRng);
        let ledger = Ledger::create(ledger_options(folder.path()), ledger::identity(&keyring))
            .expect("a new ledger in a new folder");
        let running = Running::start(ledger, keyring, Clock::manual(START), options).await;
        let app = running.add_tenant(TENANT, policy).await;
        Self {
            folder,
            sealed_keyring,
            keyring_key,
            options,
            queue_capacity: Options::QUEUE_CAPACITY,
            running: Some(running),
            app,
        }
    }

    /// Another tenant.
    pub async fn add_tenant(&self, name: &str, policy: Policy) -> TestTenant {
        self.running().add_tenant(name, policy).await
    }

    /// An account of the first tenant.
    pub fn account(&self, name: &str) -> AccountScope {
        self.account_of(&self.app, name)
    }

    /// An account of any tenant.
    pub fn account_of(&self, tenant: &TestTenant, name: &str) -> AccountScope {
        AccountScope {
            vault: VaultId::new(VAULT_ID).expect("a valid name"),
            tenant: tenant.name.clone(),
            account: AccountId::new(name).expect("a valid name"),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.running().clock.now()
    }

    /// Lets time pass, without anything happening by itself.
    pub fn advance(&self, by: Duration) {
        self.running().clock.advance(by);
    }

    /// Lets so many seconds pass.
    pub fn advance_seconds(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Sweeps once.
    pub async fn sweep(&self) {
        let maintenance = &self.running().vault.maintenance;
        maintenance.sweep().await.expect("the ledger runs");
    }

    /// All maintenance once: keys, statement, sweep.
    pub async fn maintain(&self) {
        let maintenance = &self.running().vault.maintenance;
        maintenance.once().await.expect("the ledger runs");
    }

    /// Stops, and starts again on the same folder when the wall clock shows this, earlier or later.
    pub async fn restart(&mut self, at: Timestamp) {
        self.stop();
        let keyring = self.keyring();
        let identity = ledger::identity(&keyring);
        let mut options = ledger_options(self.folder.path());
        options.queue_capacity = self.queue_capacity;
        let ledger = Ledger::open(options, identity).expect("an intact folder");
        let running = Running::start(ledger, keyring, Clock::manual(at), self.options).await;
        self.running = Some(running);
    }

    /// Stops in order. Only the folder is left.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.ledger.close().expect("no storage error");
        }
    }

    /// The ledger under the running service.
    pub fn ledger(&self) -> &Ledger {
        &self.running().ledger
    }

    /// Closes the ledger under the running service, as a storage error would.
    pub fn lose_the_ledger(&self) {
        let ledger = self.running().ledger.clone();
        ledger.close().expect("no storage error");
    }

    /// The account as it lies in the ledger. Unlike the status, looking changes nothing.
    pub async fn stored(&self, scope: &AccountScope) -> Option<Stored> {
        let key = LeafKey(self.keyring().account_key(&scope.tenant, &scope.account));
        let leaf = Leaf::<AccountLeaf>::at(key);
        let read = self.running().ledger.commit(move |batch| batch.get(&leaf));
        let account = read.await.expect("an intact leaf").into_inner()?.account;
        Some(Stored {
            generation: account.generation(),
            is_live: account.is_live(),
        })
    }

    /// Where the database is.
    pub fn data_folder(&self) -> std::path::PathBuf {
        data_folder(self.folder.path())
    }

    /// The file with the database's key.
    pub fn anchor(&self) -> std::path::PathBuf {
        anchor(self.folder.path())
    }

    /// The vault itself.
    pub fn vault(&self) -> &Vault {
        &self.running().vault
    }

    /// Administers the vault.
    pub async fn admin(&self, request: AdminRequest) -> Answer {
        self.running().vault.admin.answer(request).await
    }

    /// Sends any request.
    pub async fn call(&self, request: Request<Body>) -> Answered {
        let answered = self.running().router.clone().oneshot(request).await;
        let (parts, body) = answered.unwrap_or_else(|never| match never {}).into_parts();
        let body = body.collect().await.expect("a body from memory");
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes().to_vec(),
        }
    }

    /// `GET`, outside the sealed channel.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Answered {
        self.call(outer_request(Method::GET, path, token, Body::empty()))
            .await
    }

    /// `POST` of JSON, outside the sealed channel.
    pub async fn post_outside(&self, path: &str, token: Option<&str>, body: Vec<u8>) -> Answered {
        let mut request = outer_request(Method::POST, path, token, Body::from(body));
        let media_type = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, media_type);
        self.call(request).await
    }

    /// The key configurations as the vault publishes them.
    pub async fn key_list(&self) -> Vec<u8> {
        self.get("/v1/ohttp-keys", None).await.body
    }

    /// Sends sealed bytes as a relay of this tenant for this account.
    pub async fn relay(&self, tenant: &TestTenant, account: &str, sealed: Vec<u8>) -> Answered {
        let request = relayed(&tenant.use_token, account, sealed);
        self.call(request).await
    }

    /// Seals an inner message, sends it as a relay of this tenant, and opens the answer.
    ///
    /// # Panics
    /// If an outer answer of 200 is no padded inner answer.
    pub async fn sealed(&self, tenant: &TestTenant, account: &str, inner: &[u8]) -> SealedAnswer {
        let (sealed, key) = device::seal(&self.key_list().await, inner);
        let outer = self.relay(tenant, account, sealed).await;
        let inner = (outer.status == StatusCode::OK).then(|| {
            assert_eq!(outer.headers[CONTENT_TYPE], RESPONSE_MEDIA_TYPE);
            let opened = key.decapsulate(&outer.body).expect("an answer to this");
            assert_eq!(opened.len() % PADDED_LEN, 0, "not padded");
            Answered::from_inner(&opened)
        });
        SealedAnswer { outer, inner }
    }

    /// Sends JSON through the sealed channel, with any path, as the first tenant.
    pub async fn sealed_call(
        &self,
        account: &str,
        method: &str,
        path: &str,
        json: &[u8],
    ) -> SealedAnswer {
        let message = match json {
            [] => InnerMessage::request(method, path),
            json => InnerMessage::json(method, path, json),
        };
        self.sealed(&self.app, account, &message.encode()).await
    }

    /// Sends a message to an endpoint of an account of the first tenant; returns the inner answer.
    ///
    /// # Panics
    /// If the outer answer is not 200: after the message was opened it always is.
    pub async fn post<T: Serialize>(
        &self,
        scope: &AccountScope,
        endpoint: &str,
        message: &T,
    ) -> Answered {
        self.post_as(&self.app, scope, endpoint, message).await
    }

    /// The same for any tenant.
    ///
    /// # Panics
    /// As [`TestVault::post`].
    pub async fn post_as<T: Serialize>(
        &self,
        tenant: &TestTenant,
        scope: &AccountScope,
        endpoint: &str,
        message: &T,
    ) -> Answered {
        let json = serde_json::to_vec(message).expect("messages are JSON");
        let path = format!("{}/{endpoint}", scope.path());
        let inner = InnerMessage::json("POST", &path, &json).encode();
        let answer = self.sealed(tenant, scope.account.as_str(), &inner).await;
        answer.opened()
    }

    /// The status, through the sealed channel.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn status(&self, scope: &AccountScope) -> Status {
        self.status_as(&self.app, scope).await
    }

    /// The same for any tenant.
    ///
    /// # Panics
    /// As [`TestVault::status`].
    pub async fn status_as(&self, tenant: &TestTenant, scope: &AccountScope) -> Status {
        let inner = InnerMessage::request("GET", &scope.path()).encode();
        let answer = self.sealed(tenant, scope.account.as_str(), &inner).await;
        answer.opened().read(StatusCode::OK)
    }

    /// The vault's long-term secrets.
    pub fn keyring(&self) -> Keyring {
        let unlock = Unlock::KeyFile(self.keyring_key.clone());
        Keyring::unseal(&self.sealed_keyring, &unlock).expect("the same key")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the vault was not stopped")
    }
}

impl Running {
    async fn start(ledger: Ledger, keyring: Keyring, clock: Clock, options: VaultOptions) -> Self {
        let vault = Vault::start(ledger.clone(), keyring, clock.clone(), options)
            .await
            .expect("an intact ledger");
        let router = vault.router();
        Self {
            clock,
            ledger,
            vault,
            router,
        }
    }

    async fn add_tenant(&self, name: &str, policy: Policy) -> TestTenant {
        let tenant = TenantId::new(name).expect("a valid name");
        let request = AdminRequest::AddTenant {
            tenant: tenant.clone(),
            policy,
            scopes: vec![TokenScope::Use],
        };
        TestTenant {
            use_token: token(self.vault.admin.answer(request).await),
            status_token: self.add_token(&tenant, TokenScope::Status).await,
            reset_token: self.add_token(&tenant, TokenScope::Reset).await,
            name: tenant,
        }
    }

    async fn add_token(&self, tenant: &TenantId, scope: TokenScope) -> String {
        let request = AdminRequest::AddToken {
            tenant: tenant.clone(),
            scopes: Some(vec![scope]),
        };
        token(self.vault.admin.answer(request).await)
    }
}

/// A relay's request, as it should be.
pub fn relayed(token: &str, account: &str, sealed: Vec<u8>) -> Request<Body> {
    let mut request = outer_request(Method::POST, "/v1/ohttp", Some(token), Body::from(sealed));
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(REQUEST_MEDIA_TYPE));
    let account = HeaderValue::from_str(account).expect("an account fits a header");
    headers.insert("vault-account", account);
    request
}

/// A request with or without a token.
pub fn outer_request(method: Method, path: &str, token: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a header's value");
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    request
}

/// The token of an administration's answer.
///
/// # Panics
/// If it is none.
pub fn token(answer: Answer) -> String {
    match answer {
        Answer::Token { token } => token,
        _ => panic!("no token was added"),
    }
}

fn data_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("data")
}

fn anchor(folder: &Path) -> std::path::PathBuf {
    folder.join("anchor/anchor")
}

fn ledger_options(folder: &Path) -> Options {
    Options::new(data_folder(folder), anchor(folder))
}
