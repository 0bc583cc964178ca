//! The app's backend in the adversary's hands: everything that a device sends to the vault, and
//! everything that the vault says, passes through it, and it does with that what it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use reqwest::Client;
use tokio::task::JoinHandle;
use vault_protocol::ohttp_keys::{REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE};

use vault_tests::process::calls;
use vault_tests::process::server::ServerProcess;

/// The relay. It ends when it is dropped.
pub struct Relay {
    state: Arc<ProxyState>,
    url: String,
    serving: JoinHandle<()>,
}

/// The relay's deed to one message.
#[derive(Clone)]
pub enum Mischief {
    /// It does not arrive.
    LoseRequest,
    /// It arrives; its answer does not.
    LoseAnswer,
    /// It arrives just before the next message, when its sender no longer waits.
    Late,
    /// It arrives twice; the first answer comes back.
    TwiceFirst,
    /// It arrives twice; the second answer comes back.
    TwiceSecond,
    /// An earlier message, if need be of another device, goes in its place.
    Earlier(usize),
    /// It arrives; an earlier answer comes back.
    EarlierAnswer(usize),
    /// It goes as another account's.
    OtherAccount,
    /// It goes with another app's token.
    OtherTenant,
    /// A bit of it is turned over.
    BrokenRequest,
    /// A bit of its answer is turned over.
    BrokenAnswer,
    /// Its answer is cut off.
    ShortAnswer,
    /// The relay answers by itself, without having passed it on.
    Says(u16, Vec<u8>),
    /// It arrives, and the relay answers by itself.
    SaysAfter(u16, Vec<u8>),
}

/// A message in one direction, as far as it can be seen outside the seal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Method and path, or status.
    pub line: String,
    /// Their names.
    pub headers: Vec<String>,
    /// The body's.
    pub length: usize,
}

/// The messages that the relay has seen, and its plans.
#[derive(Default)]
pub struct Seen {
    /// Every sealed message of a device.
    pub sent: Vec<Vec<u8>>,
    /// Devices' messages.
    pub requests: BTreeSet<Row>,
    /// The vault's answers.
    pub answers: BTreeSet<Row>,
    /// Served instead of the vault's statement.
    pub statement: Option<(u16, Vec<u8>)>,
    account: String,
    plans: BTreeMap<usize, Mischief>,
    /// From the message with this number on.
    lasting: Option<(usize, Mischief)>,
    held_back: Vec<Vec<u8>>,
    came_back: Vec<Vec<u8>>,
    /// How often it has carried out the last plan.
    done: usize,
}

struct ProxyState {
    http: Client,
    vault: String,
    /// Of the app, and of another one.
    tokens: [String; 2],
    seen: Mutex<Seen>,
}

/// Status, headers and body.
type Answer = (StatusCode, HeaderMap, Bytes);

impl Relay {
    /// Starts one for this vault, with the app's token and another app's.
    pub async fn start(server: &ServerProcess, tokens: [&str; 2]) -> anyhow::Result<Self> {
        let state = Arc::new(ProxyState {
            http: calls::client(server)?,
            vault: server.url(),
            tokens: tokens.map(str::to_owned),
            seen: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/v1/vault", get(statement))
            .route("/v1/ohttp", post(sealed))
            .with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self {
            state,
            url,
            serving,
        })
    }

    /// Where devices find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The messages so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.state.seen()
    }

    /// Vouches for this account, forgets its plans, and passes on what comes. What is late of the
    /// same account still comes.
    pub fn behave(&self, account: &str) {
        let mut seen = self.seen();
        if seen.account != account {
            account.clone_into(&mut seen.account);
            seen.held_back.clear();
        }
        seen.statement = None;
        seen.plans.clear();
        seen.lasting = None;
    }

    /// Plans something for the message that comes after so many others.
    pub fn plan(&self, after: usize, mischief: Mischief, lasting: bool) {
        let mut seen = self.seen();
        let number = seen.sent.len() + after;
        seen.done = 0;
        if lasting {
            seen.lasting = Some((number, mischief));
        } else {
            seen.plans.insert(number, mischief);
        }
    }

    /// Whether it has carried out the last plan on any message.
    pub fn has_done_it(&self) -> bool {
        self.seen().done > 0
    }

    /// Sends everything again that devices have sent since, last things first, and then in order.
    pub async fn replay(&self, since: usize) {
        let messages = self.seen().sent[since..].to_vec();
        let again = messages.iter().rev().chain(&messages);
        for message in again {
            drop(self.state.pass_on(message, 0, true).await);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn statement(State(state): State<Arc<ProxyState>>) -> Response {
    let own = state.seen().statement.clone();
    let (status, body) = match own {
        Some(own) => own,
        None => match state.statement().await {
            Ok(body) => (200, body.to_vec()),
            Err(_) => (502, Vec::new()),
        },
    };
    answer(status, body)
}

async fn sealed(State(state): State<Arc<ProxyState>>, headers: HeaderMap, body: Bytes) -> Response {
    let (mischief, held_back) = state.seen().take(&headers, &body);
    for message in held_back {
        if state.pass_on(&message, 0, true).await.is_ok() {
            state.seen().done += 1;
        }
    }
    let done = state.relay(mischief, body.to_vec()).await;
    done.unwrap_or_else(|_| answer(502, Vec::new()))
}

impl ProxyState {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn statement(&self) -> reqwest::Result<Bytes> {
        let request = self.http.get(format!("{}/v1/vault", self.vault));
        request.send().await?.bytes().await
    }

    async fn relay(
        &self,
        mischief: Option<Mischief>,
        message: Vec<u8>,
    ) -> reqwest::Result<Response> {
        match mischief {
            None => Ok(back(self.pass_on(&message, 0, true).await?)),
            Some(mischief) => {
                let came_back = self.deliver(&mischief, message).await?;
                // A message that is held back is not late before it arrives.
                if !matches!(mischief, Mischief::Late) {
                    self.seen().done += 1;
                }
                Ok(self.answered(mischief, came_back))
            }
        }
    }

    /// Carries out the mischief, and returns the vault's answer.
    async fn deliver(
        &self,
        mischief: &Mischief,
        mut message: Vec<u8>,
    ) -> reqwest::Result<Option<Answer>> {
        match mischief {
            Mischief::LoseRequest | Mischief::Says(..) => return Ok(None),
            Mischief::Late => {
                self.seen().held_back.push(message);
                return Ok(None);
            }
            Mischief::TwiceSecond => drop(self.pass_on(&message, 0, true).await?),
            Mischief::Earlier(before) => message = self.seen().earlier(*before),
            Mischief::BrokenRequest => turn_over_a_bit(&mut message),
            _ => {}
        }
        let token = usize::from(matches!(mischief, Mischief::OtherTenant));
        let own_account = !matches!(mischief, Mischief::OtherAccount);
        let came_back = self.pass_on(&message, token, own_account).await?;
        if let Mischief::TwiceFirst = mischief {
            self.pass_on(&message, 0, true).await?;
        }
        Ok(Some(came_back))
    }

    /// The answer to the device.
    fn answered(&self, mischief: Mischief, came_back: Option<Answer>) -> Response {
        let Some(mut came_back) = came_back else {
            return match mischief {
                Mischief::Says(status, body) => answer(status, body),
                _ => answer(504, Vec::new()),
            };
        };
        let mut body = came_back.2.to_vec();
        match mischief {
            Mischief::LoseAnswer => return answer(504, Vec::new()),
            Mischief::SaysAfter(status, body) => return answer(status, body),
            Mischief::EarlierAnswer(before) => body = self.seen().earlier_answer(before),
            Mischief::BrokenAnswer => turn_over_a_bit(&mut body),
            Mischief::ShortAnswer => body.truncate(body.len() / 2),
            _ => {}
        }
        came_back.2 = body.into();
        back(came_back)
    }

    /// To the vault and back, as a backend does it.
    async fn pass_on(
        &self,
        message: &[u8],
        token: usize,
        own_account: bool,
    ) -> reqwest::Result<Answer> {
        let account = match own_account {
            true => self.seen().account.clone(),
            false => "somebody-else".to_owned(),
        };
        let request = self.http.post(format!("{}/v1/ohttp", self.vault));
        let request = request
            .bearer_auth(&self.tokens[token])
            .header("vault-account", account)
            .header(CONTENT_TYPE, REQUEST_MEDIA_TYPE);
        let answer = request.body(message.to_vec()).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await?;
        let mut seen = self.seen();
        let line = status.as_u16().to_string();
        seen.answers.insert(Row::new(line, &headers, body.len()));
        seen.came_back.push(body.to_vec());
        Ok((status, headers, body))
    }
}

impl Seen {
    /// Takes a device's message in: what was planned for it, and what has to go before it.
    fn take(&mut self, headers: &HeaderMap, body: &Bytes) -> (Option<Mischief>, Vec<Vec<u8>>) {
        let row = Row::new("POST /v1/ohttp".to_owned(), headers, body.len());
        self.requests.insert(row);
        let number = self.sent.len();
        self.sent.push(body.to_vec());
        let lasting = self.lasting.clone().filter(|(from, _)| number >= *from);
        let planned = self.plans.remove(&number);
        let mischief = planned.or(lasting.map(|(_, mischief)| mischief));
        let mischief = mischief.filter(|mischief| self.can_do(mischief));
        (mischief, std::mem::take(&mut self.held_back))
    }

    /// A message that is sent instead must have come before.
    fn can_do(&self, mischief: &Mischief) -> bool {
        match mischief {
            Mischief::Earlier(before) => self.sent.len() > *before,
            Mischief::EarlierAnswer(before) => self.came_back.len() >= *before,
            _ => true,
        }
    }

    /// So many messages before the one that just came.
    fn earlier(&self, before: usize) -> Vec<u8> {
        let last = self.sent.len() - 1;
        self.sent[last.saturating_sub(before)].clone()
    }

    fn earlier_answer(&self, before: usize) -> Vec<u8> {
        let last = self.came_back.len() - 1;
        self.came_back[last.saturating_sub(before)].clone()
    }
}

impl Mischief {
    /// Whether the relay answers by itself.
    pub fn is_said(&self) -> bool {
        matches!(self, Self::Says(..) | Self::SaysAfter(..))
    }
}

/// Bodies as text.
impl fmt::Debug for Mischief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |body| String::from_utf8_lossy(body).into_owned();
        match self {
            Self::Says(status, body) => write!(f, "says {status} {}", text(body)),
            Self::SaysAfter(status, body) => write!(f, "then says {status} {}", text(body)),
            Self::Earlier(before) => write!(f, "the message {before} before it"),
            Self::EarlierAnswer(before) => write!(f, "the answer {before} before it"),
            Self::LoseRequest => f.write_str("does not arrive"),
            Self::LoseAnswer => f.write_str("is not answered"),
            Self::Late => f.write_str("is late"),
            Self::TwiceFirst | Self::TwiceSecond => f.write_str("arrives twice"),
            Self::OtherAccount => f.write_str("is another account's"),
            Self::OtherTenant => f.write_str("is another app's"),
            Self::BrokenRequest => f.write_str("is altered"),
            Self::BrokenAnswer => f.write_str("has an altered answer"),
            Self::ShortAnswer => f.write_str("has a short answer"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, headers) = (&self.line, self.headers.join(", "));
        write!(f, "{line} ({headers}), {} bytes", self.length)
    }
}

impl Row {
    fn new(line: String, headers: &HeaderMap, length: usize) -> Self {
        let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
        names.sort();
        Self {
            line,
            headers: names,
            length,
        }
    }
}

fn turn_over_a_bit(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}

fn back((status, headers, body): Answer) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Some(media_type) = headers.get(CONTENT_TYPE) {
        let media_type = media_type.clone();
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    response
}

fn answer(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, [(CONTENT_TYPE, RESPONSE_MEDIA_TYPE)], body).into_response()
}
