//! The attacks on resources. Each begins with a number of attackers that go on until they are
//! stopped; none waits for the server longer than it has to. What needs a processor to make is made
//! before: an attacker would do the same. Each counts what it has really done, and says how much of
//! that there has to be.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::body::Bytes;
use http::{Request, Version};
use ohttp::ClientResponse;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use vault_protocol::inner_http::decode_response;
use vault_protocol::messages::RegistrationStarted;
use vault_tests::device::{Device, InnerMessage};
use vault_tests::process::calls::{Calls, client_trusting};
use vault_tests::process::connection::Door;
use vault_tests::process::server::ServerProcess;

use super::tally::{Arrival, Deed, Tally};

/// One attack.
pub struct Attack {
    pub name: &'static str,
    /// Returns when all attackers are at work.
    pub begin: for<'a> fn(&'a AttackedServer, &'a mut Attackers) -> Beginning<'a>,
    /// It goes on until so much is done, at full strength and in the short version.
    demands: &'static [(Deed, u64, u64)],
}

pub type Beginning<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// The attackers at work, and the tally of their deeds.
#[derive(Default)]
pub struct Attackers {
    tasks: JoinSet<()>,
    pub tally: Tally,
}

pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "slow connections and drips",
        begin: |target, attackers| Box::pin(slow_connections(target, attackers)),
        demands: &[
            (Deed::Arrived, SLOW_CONNECTIONS as u64, 500),
            // Half of those that have a place.
            (Deed::Dripped, 500, 100),
        ],
    },
    Attack {
        name: "1 MB bodies",
        begin: |target, attackers| Box::pin(long_bodies(target, attackers)),
        demands: &[
            (Deed::Arrived, LONG_BODIES as u64, LONG_BODIES as u64),
            (Deed::Refused, LONG_BODIES as u64, LONG_BODIES as u64),
        ],
    },
    Attack {
        name: "deeply nested JSON",
        begin: |target, attackers| Box::pin(nested(target, attackers)),
        demands: &[(Deed::Nested, 400, 100)],
    },
    Attack {
        name: "tickets by the thousand",
        begin: |target, attackers| Box::pin(tickets(target, attackers)),
        // A message that is lost is not sent again.
        demands: &[(Deed::Ticket, 1_500, 400)],
    },
    Attack {
        name: "HTTP/2 resets",
        begin: |target, attackers| Box::pin(resets(target, attackers)),
        demands: &[(Deed::Reset, 1_000, 250)],
    },
];

/// The server under attack, and the doors to it.
pub struct AttackedServer {
    http1: Door,
    http2: Door,
    token: String,
    root: String,
    /// One account's calls; each attacker seals with them.
    calls: Calls,
    /// 1 is full strength, 4 a quarter of it.
    weakness: usize,
}

/// A slow attacker sends a byte so often.
const DRIP: Duration = Duration::from_secs(1);

/// The pause before an attacker that was cut comes back.
const AGAIN: Duration = Duration::from_secs(10);

/// So many drips make a slow connection.
const DRIPS: usize = 3;

/// Between two requests of an attacker that waits for nothing. What it costs the attacker it takes
/// from the server, on one machine; this keeps the attackers from being the load that is measured.
const PACE: Duration = Duration::from_millis(20);

const SLOW_CONNECTIONS: usize = 2_000;
const LONG_BODIES: usize = 400;
const LONG_BODY_LEN: usize = 1024 * 1024;
const REPEATERS: usize = 4;
const SEALED_TICKETS: usize = 2_000;
const RESETTERS: usize = 8;
const RESETS: usize = 100;

/// How a slow connection is slow.
#[derive(Clone, Copy)]
enum Slowness {
    /// TCP alone.
    Handshake,
    Head,
    Body,
    /// A whole connection, and no request.
    Silence,
}

impl Attack {
    /// Whether it was the attack that it says it is.
    pub fn is_done(&self, target: &AttackedServer, tally: &Tally) -> bool {
        let is_short = target.weakness > 1;
        self.demands
            .iter()
            .all(|(deed, full, short)| tally.of(*deed) >= if is_short { *short } else { *full })
    }
}

impl Attackers {
    pub async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl AttackedServer {
    pub async fn new(server: &ServerProcess, weakness: usize) -> anyhow::Result<Self> {
        Ok(Self {
            http1: Door::new(server, "http/1.1")?,
            http2: Door::new(server, "h2")?,
            token: server.token().to_owned(),
            root: server.root_certificate(),
            calls: Calls::connect(server, "victim").await?,
            weakness,
        })
    }

    fn head(&self, length: usize) -> String {
        format!(
            "POST /v1/ohttp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Vault-Account: victim\r\nContent-Type: message/ohttp-req\r\nContent-Length: {length}\r\n\r\n",
            self.token
        )
    }
}

async fn slow_connections(
    target: &AttackedServer,
    attackers: &mut Attackers,
) -> anyhow::Result<()> {
    let kinds = [
        Slowness::Handshake,
        Slowness::Head,
        Slowness::Body,
        Slowness::Silence,
    ];
    let head = target.head(4096);
    let drips = (0..SLOW_CONNECTIONS / target.weakness).map(|number| {
        let (door, head) = (target.http1.clone(), head.clone());
        let kind = kinds[number % kinds.len()];
        move |arrival| connect_slowly(door.clone(), head.clone(), kind, arrival)
    });
    arrive(attackers, drips).await;
    Ok(())
}

/// Lets attackers in, one after the other; each that was cut comes back. Arriving all at once would
/// overrun the backlog, and measure the attackers' handshakes. When one cannot get in, no further one
/// can; then fewer have arrived than there have to be.
async fn arrive<A, F>(attackers: &mut Attackers, attacks: impl Iterator<Item = A>)
where
    A: Fn(Arrival) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (ready, mut arrived) = mpsc::channel(64);
    for attack in attacks {
        let tally = attackers.tally.clone();
        let arrival = Arrival::new(ready.clone(), &tally);
        attackers.tasks.spawn(async move {
            loop {
                tally.note(attack(arrival.clone()).await);
                sleep(AGAIN).await;
            }
        });
        if timeout(AGAIN, arrived.recv()).await.is_err() {
            break;
        }
    }
}

/// Until it is cut.
async fn connect_slowly(
    door: Door,
    head: String,
    kind: Slowness,
    arrival: Arrival,
) -> anyhow::Result<()> {
    let (first, next): (&[u8], &[u8]) = match kind {
        // The first bytes of a handshake record that never ends.
        Slowness::Handshake => return drip(door.knock().await?, &[22], &[22], &arrival).await,
        Slowness::Head => (b"P", b"O"),
        Slowness::Body => (head.as_bytes(), b"O"),
        Slowness::Silence => (b"", b""),
    };
    drip(door.enter().await?, first, next, &arrival).await
}

/// Sends the next byte again and again. What is read meanwhile is no patience: the answer to a
/// request that took too long, or the end.
async fn drip<C: AsyncRead + AsyncWrite + Unpin>(
    mut connection: C,
    first: &[u8],
    next: &[u8],
    arrival: &Arrival,
) -> anyhow::Result<()> {
    connection.write_all(first).await?;
    connection.flush().await?;
    arrival.is_in();
    let mut drips = 0;
    while let Err(_is_patient) = timeout(DRIP, connection.read(&mut [0; 64])).await {
        // Counted when the byte before has been waited out.
        if drips == DRIPS {
            arrival.tally().count(Deed::Dripped);
        }
        if !next.is_empty() {
            connection.write_all(next).await?;
            connection.flush().await?;
            drips += 1;
        }
    }
    Ok(())
}

/// All of a body but its last byte, which never comes; then again.
async fn long_bodies(target: &AttackedServer, attackers: &mut Attackers) -> anyhow::Result<()> {
    let head = target.head(LONG_BODY_LEN);
    let bodies = (0..LONG_BODIES).map(|_| {
        let (door, head) = (target.http1.clone(), head.clone());
        move |arrival| send_long_body(door.clone(), head.clone(), arrival)
    });
    arrive(attackers, bodies).await;
    Ok(())
}

/// The vault need not read a body to its end to refuse it, and then the end cannot be sent. A sender
/// without a pause may be cut before it reads the answer.
async fn send_long_body(door: Door, head: String, arrival: Arrival) -> anyhow::Result<()> {
    let mut connection = door.enter().await?;
    connection.write_all(head.as_bytes()).await?;
    connection.flush().await?;
    let mut sent = connection.write_all(&vec![b'x'; LONG_BODY_LEN - 1]).await;
    if sent.is_ok() {
        sent = connection.flush().await;
    }
    arrival.is_in();
    if sent.is_ok() {
        arrival.tally().count(Deed::Sent);
    }
    // Until the vault ends it: that it does is what is counted, and how is its business.
    while let Ok(1..) = connection.read(&mut [0; 1024]).await {}
    arrival.tally().count(Deed::Refused);
    Ok(sent?)
}

/// Arrays and objects as deep as a body is long, in every field of a message and around it.
async fn nested(target: &AttackedServer, attackers: &mut Attackers) -> anyhow::Result<()> {
    let path = format!("{}/registration/start", target.calls.scope().path());
    let deep = |open: &str, times: usize| open.repeat(times).into_bytes();
    let bodies = [
        deep("[", 8000),
        deep("{\"a\":", 1600),
        format!("{{\"registration_request\":{}", "[".repeat(7000)).into_bytes(),
        format!("{{\"unknown\":{}", "{\"a\":".repeat(1500)).into_bytes(),
    ];
    for body in bodies.iter().cycle().take(2 * REPEATERS) {
        let message = InnerMessage::json("POST", &path, body);
        let (sealed, _) = target.calls.sealed(&message);
        let calls = target.calls.over(client_trusting(&target.root)?);
        let tally = attackers.tally.clone();
        attackers.tasks.spawn(async move {
            loop {
                let answered = is_answered(&calls, &sealed).await;
                if answered.is_ok() {
                    tally.count(Deed::Nested);
                }
                tally.note(answered);
                sleep(PACE).await;
            }
        });
    }
    Ok(())
}

/// Outside the seal: it was opened, and its content has an answer.
async fn is_answered(calls: &Calls, sealed: &[u8]) -> anyhow::Result<()> {
    let answer = calls.request(sealed.to_vec()).send().await?;
    let status = answer.status();
    ensure!(status == 200, "outer status {status}");
    Ok(())
}

/// Registrations that are started and never finished, each message once; then all of them again,
/// which are not counted.
async fn tickets(target: &AttackedServer, attackers: &mut Attackers) -> anyhow::Result<()> {
    let scope = target.calls.scope();
    let path = format!("{}/registration/start", scope.path());
    let device = Device::new(scope);
    let count = SEALED_TICKETS / target.weakness;
    for number in 0..REPEATERS {
        let mut own = Vec::new();
        for _ in (number..count).step_by(REPEATERS) {
            let message = serde_json::to_vec(&device.register("anything").message)?;
            let message = InnerMessage::json("POST", &path, &message);
            own.push(target.calls.sealed(&message));
        }
        let calls = target.calls.over(client_trusting(&target.root)?);
        let tally = attackers.tally.clone();
        attackers
            .tasks
            .spawn(start_registrations(calls, own, tally));
    }
    Ok(())
}

async fn start_registrations(calls: Calls, messages: Vec<(Vec<u8>, ClientResponse)>, tally: Tally) {
    let mut sent = Vec::new();
    for (message, key) in messages {
        let started = start_registration(&calls, &message, key).await;
        if started.is_ok() {
            tally.count(Deed::Ticket);
        }
        tally.note(started);
        sent.push(message);
        sleep(PACE).await;
    }
    for message in sent.iter().cycle() {
        tally.note(is_answered(&calls, message).await);
        sleep(PACE).await;
    }
}

async fn start_registration(
    calls: &Calls,
    sealed: &[u8],
    key: ClientResponse,
) -> anyhow::Result<()> {
    let answer = calls.request(sealed.to_vec()).send().await?;
    let opened = decode_response(&key.decapsulate(&answer.bytes().await?)?)?;
    serde_json::from_slice::<RegistrationStarted>(&opened.content)
        .map(drop)
        .with_context(|| format!("inner status {}", opened.status))
}

/// Streams that are opened and reset at once ("rapid reset", CVE-2023-44487).
async fn resets(target: &AttackedServer, attackers: &mut Attackers) -> anyhow::Result<()> {
    for _ in 0..RESETTERS {
        let (door, token) = (target.http2.clone(), target.token.clone());
        let tally = attackers.tally.clone();
        attackers.tasks.spawn(async move {
            loop {
                tally.note(reset(&door, &token, &tally).await);
            }
        });
    }
    Ok(())
}

/// Over one connection, until the vault cuts it or all are sent.
async fn reset(door: &Door, token: &str, tally: &Tally) -> anyhow::Result<()> {
    let (sender, connection) = match door.enter().await {
        Ok(connection) => h2::client::handshake(connection).await?,
        Err(error) => {
            sleep(5 * PACE).await;
            return Err(error);
        }
    };
    // Without a sender the connection would end by itself.
    let _kept = sender.clone();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut made = 0;
    let sent = send_resets(sender, token, &mut made).await;
    // The requests are sent meanwhile, unless the vault is the first to end it.
    let ended = timeout(5 * PACE, driver.join_next()).await;
    tally.add(Deed::Reset, made);
    if ended.is_ok() {
        tally.count(Deed::Cut);
        sleep(5 * PACE).await;
    }
    sent
}

async fn send_resets(
    mut sender: h2::client::SendRequest<Bytes>,
    token: &str,
    made: &mut u64,
) -> anyhow::Result<()> {
    for _ in 0..RESETS {
        sender = sender.ready().await?;
        let request = Request::post("https://localhost/v1/ohttp")
            .version(Version::HTTP_2)
            .header("authorization", format!("Bearer {token}"))
            .header("vault-account", "victim")
            .header("content-type", "message/ohttp-req")
            .body(())?;
        let (_answer, mut stream) = sender.send_request(request, false)?;
        stream.send_reset(h2::Reason::CANCEL);
        *made += 1;
    }
    Ok(())
}
