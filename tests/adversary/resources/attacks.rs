//! The attacks on resources. Each begins with a number of attackers that go on until they are
//! stopped; none waits for the server longer than it has to. What needs a processor to make is made
//! before, and sent again and again: an attacker would do the same.

use std::pin::Pin;
use std::time::Duration;

use http::{Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::device::{Device, InnerMessage};
use crate::process_calls::{Calls, client_trusting};
use crate::process_connection::Door;
use crate::process_server::ServerProcess;

/// One attack.
pub struct Attack {
    pub name: &'static str,
    /// Returns when all attackers are at work.
    pub begin: for<'a> fn(&'a Target, &'a mut JoinSet<()>) -> Beginning<'a>,
}

pub type Beginning<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "slow connections and drips",
        begin: |target, attackers| Box::pin(slow_connections(target, attackers)),
    },
    Attack {
        name: "1 MB bodies",
        begin: |target, attackers| Box::pin(long_bodies(target, attackers)),
    },
    Attack {
        name: "deeply nested JSON",
        begin: |target, attackers| Box::pin(nested(target, attackers)),
    },
    Attack {
        name: "tickets by the thousand",
        begin: |target, attackers| Box::pin(tickets(target, attackers)),
    },
    Attack {
        name: "HTTP/2 resets",
        begin: |target, attackers| Box::pin(resets(target, attackers)),
    },
];

/// What is attacked.
pub struct Target {
    http1: Door,
    http2: Door,
    token: String,
    root: String,
    /// One account's calls; each attacker seals with them.
    calls: Calls,
    /// 1 is full strength, 4 a quarter of it.
    weakness: usize,
}

/// Where an attacker says that it is in.
type Ready = mpsc::Sender<()>;

/// A slow attacker sends a byte so often.
const DRIP: Duration = Duration::from_secs(1);

/// Who was cut comes back after so long.
const AGAIN: Duration = Duration::from_secs(10);

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

impl Target {
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

async fn slow_connections(target: &Target, attackers: &mut JoinSet<()>) -> anyhow::Result<()> {
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
        move |ready| drip(door.clone(), head.clone(), kind, ready)
    });
    arrive(attackers, drips).await;
    Ok(())
}

/// Lets attackers in, one after the other; who was cut comes back. Arriving all at once would overrun
/// the backlog, and measure the attackers' handshakes. When one cannot get in, no further one can.
async fn arrive<A, F>(attackers: &mut JoinSet<()>, attacks: impl Iterator<Item = A>)
where
    A: Fn(Ready) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (ready, mut arrived) = mpsc::channel(64);
    for attack in attacks {
        let ready = ready.clone();
        attackers.spawn(async move {
            loop {
                let _ = attack(ready.clone()).await;
                sleep(AGAIN).await;
            }
        });
        if timeout(AGAIN, arrived.recv()).await.is_err() {
            break;
        }
    }
}

/// Until it is cut.
async fn drip(door: Door, head: String, kind: Slowness, ready: Ready) -> anyhow::Result<()> {
    if let Slowness::Handshake = kind {
        let mut connection = door.knock().await?;
        let _ = ready.try_send(());
        loop {
            // The first bytes of a handshake record that never ends.
            connection.write_all(&[22]).await?;
            sleep(DRIP).await;
        }
    }
    let mut connection = door.enter().await?;
    let bytes = match kind {
        Slowness::Handshake | Slowness::Silence => "",
        Slowness::Head => "P",
        Slowness::Body => &head,
    };
    connection.write_all(bytes.as_bytes()).await?;
    connection.flush().await?;
    let _ = ready.try_send(());
    loop {
        sleep(DRIP).await;
        if !bytes.is_empty() {
            connection.write_all(b"O").await?;
            connection.flush().await?;
        } else if connection.read(&mut [0; 64]).await? == 0 {
            return Ok(());
        }
    }
}

/// All of a body but its last byte, which never comes; then again.
async fn long_bodies(target: &Target, attackers: &mut JoinSet<()>) -> anyhow::Result<()> {
    let head = target.head(LONG_BODY_LEN);
    let bodies = (0..LONG_BODIES).map(|_| {
        let (door, head) = (target.http1.clone(), head.clone());
        move |ready| send_long_body(door.clone(), head.clone(), ready)
    });
    arrive(attackers, bodies).await;
    Ok(())
}

async fn send_long_body(door: Door, head: String, ready: Ready) -> anyhow::Result<()> {
    let mut connection = door.enter().await?;
    connection.write_all(head.as_bytes()).await?;
    let sent = connection.write_all(&vec![b'x'; LONG_BODY_LEN - 1]).await;
    let _ = ready.try_send(());
    sent?;
    connection.flush().await?;
    while connection.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Arrays and objects as deep as a body is long, in every field of a message and around it.
async fn nested(target: &Target, attackers: &mut JoinSet<()>) -> anyhow::Result<()> {
    let path = format!("{}/registration/start", target.calls.scope().path());
    let deep = |open: &str, times: usize| open.repeat(times).into_bytes();
    let bodies = [
        deep("[", 8000),
        deep("{\"a\":", 1600),
        format!("{{\"registration_request\":{}", "[".repeat(7000)).into_bytes(),
        format!("{{\"unknown\":{}", "{\"a\":".repeat(1500)).into_bytes(),
    ];
    for (number, body) in bodies.iter().cycle().take(2 * REPEATERS).enumerate() {
        let sealed = target
            .calls
            .sealed(&InnerMessage::json("POST", &path, body))
            .0;
        repeat(target, attackers, vec![sealed], number)?;
    }
    Ok(())
}

/// Registrations that are started and never finished.
async fn tickets(target: &Target, attackers: &mut JoinSet<()>) -> anyhow::Result<()> {
    let scope = target.calls.scope();
    let path = format!("{}/registration/start", scope.path());
    let device = Device::new(scope);
    let mut sealed = Vec::new();
    for _ in 0..SEALED_TICKETS / target.weakness / 10 {
        let message = serde_json::to_vec(&device.register("anything").message)?;
        sealed.push(
            target
                .calls
                .sealed(&InnerMessage::json("POST", &path, &message))
                .0,
        );
    }
    for number in 0..REPEATERS {
        repeat(target, attackers, sealed.clone(), number)?;
    }
    Ok(())
}

/// Sends the same messages again and again over a connection of its own.
fn repeat(
    target: &Target,
    attackers: &mut JoinSet<()>,
    messages: Vec<Vec<u8>>,
    first: usize,
) -> anyhow::Result<()> {
    let calls = target.calls.over(client_trusting(&target.root)?);
    attackers.spawn(async move {
        for message in messages.iter().cycle().skip(first) {
            let _ = calls.request(message.clone()).send().await;
            sleep(PACE).await;
        }
    });
    Ok(())
}

/// Streams that are opened and reset at once ("rapid reset", CVE-2023-44487).
async fn resets(target: &Target, attackers: &mut JoinSet<()>) -> anyhow::Result<()> {
    for _ in 0..RESETTERS {
        let (door, token) = (target.http2.clone(), target.token.clone());
        attackers.spawn(async move {
            loop {
                let _ = reset(&door, &token).await;
                sleep(5 * PACE).await;
            }
        });
    }
    Ok(())
}

async fn reset(door: &Door, token: &str) -> anyhow::Result<()> {
    let (mut sender, connection) = h2::client::handshake(door.enter().await?).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
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
    }
    Ok(())
}
