//! The Unix socket by which a running server is administered: one JSON line asked, one JSON line
//! answered. Who may open the socket is who may open the file (mode 0600).

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::admin::{Admin, Answer, Request};

/// The longest line, in bytes.
const MAX_LINE: u64 = 4 * 1024 * 1024;
/// How long a request may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening socket; its file is removed when this is dropped.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens. The caller holds the vault's lock, so a socket file that is there already is left
    /// over from a process that was killed.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = bind_private(path)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until the task is dropped.
    pub async fn serve(&self, admin: Admin) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let admin = admin.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, &admin).await {
                            tracing::warn!(%error, "an administration request broke off");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the administration socket does not accept");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A later server may have taken the path over only after we let go of the vault's lock.
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks a running server; `None` if none listens on this socket.
pub fn ask(path: &Path, request: &Request) -> io::Result<Option<Answer>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let mut stream = match std::os::unix::net::UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if [NotFound, ConnectionRefused].contains(&error.kind()) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut answer)?;
    Ok(Some(serde_json::from_str(&answer)?))
}

/// A socket gets its mode from the process's umask, for a moment too wide. So it is made in a
/// folder that only we can enter, and then moved to its place.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = PathBuf::from(hidden);
    if !parent.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the folder {} of admin_socket does not exist: create it", parent.display()),
        ));
    }
    let _ = fs::remove_dir_all(&hidden);
    fs::create_dir(&hidden)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700))?;
    let inside = hidden.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    let _ = fs::remove_dir_all(&hidden);
    bound
}

async fn converse(stream: UnixStream, admin: &Admin) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(MAX_LINE));
    tokio::time::timeout(READ_TIMEOUT, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => admin.answer(request).await,
        Err(_) => Answer::Refused {
            reason: "the request is not understood: is the command of the server's version?"
                .to_owned(),
        },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
