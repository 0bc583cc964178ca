//! The Unix socket by which a running server is administered: one JSON line asked, one JSON line
//! answered. Every user who may open the file (mode 0600) may administer the vault.
//!
//! A request says which vault it means. An operator of several could otherwise change another
//! one by an `admin_socket` that was left in a copied configuration.

use std::fs::{self, Metadata};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::answers::Answer;
use super::requests::Request;
use super::use_cases::Admin;

/// The longest line, in bytes.
const MAX_LINE: u64 = 4 * 1024 * 1024;
/// How long a request may take to arrive, and its answer to be taken.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to arrive.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The server of another vault listens on the socket.
pub(crate) const ANOTHER_VAULT: &str = "it serves another vault, with another data folder, and nothing was \
     done: correct admin_socket or data_folder";

/// Device and inode.
type FileId = (u64, u64);

/// A line that is asked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked<R> {
    /// The data folder of the vault that is meant. Its name could be another inside a container.
    data_folder: FileId,
    request: R,
}

/// A listening socket; its file is removed when this is dropped.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The file we made, so that no other is removed.
    file: FileId,
    data_folder: FileId,
}

impl AdminSocket {
    /// Listens for the vault in `data_folder`. A socket that no process answers on is left over
    /// from a process that was killed, and is replaced; anything else at this path is refused.
    pub(crate) fn bind(path: &Path, data_folder: &Path) -> io::Result<Self> {
        let data_folder = id(&fs::metadata(data_folder)?);
        remove_left_over(path)?;
        let listener = bind_private(path)?;
        let file = id(&fs::symlink_metadata(path)?);
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
            data_folder,
        })
    }

    /// Answers until it is told to stop, and then finishes the conversations under way.
    pub(crate) async fn serve(self, admin: Admin, stop: CancellationToken) {
        let mut conversations = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let conversation = converse(stream, admin.clone(), self.data_folder);
                        conversations.spawn(conversation);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the administration socket does not accept");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(_) = conversations.join_next() => {}
            }
        }
        drop(self);
        while conversations.join_next().await.is_some() {}
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| id(&file) == self.file) {
            // At worst a socket is left that the next start replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Asks the server of the vault in `data_folder`; `None` if none listens on this socket.
///
/// The process that answers must belong to the owner of the data folder. Another user who listens
/// where the server should could otherwise show a fingerprint of their own.
pub(crate) fn ask(
    path: &Path,
    data_folder: &Path,
    request: &Request,
) -> io::Result<Option<Answer>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let mut stream = match BlockingStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if [NotFound, ConnectionRefused].contains(&error.kind()) => return Ok(None),
        Err(error) => return Err(error),
    };
    let data_folder = fs::metadata(data_folder).map_err(|error| {
        let text = format!("the data folder {}: {error}", data_folder.display());
        io::Error::new(error.kind(), text)
    })?;
    require_owner(&stream, data_folder.uid())?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let data_folder = id(&data_folder);
    let mut line = serde_json::to_vec(&Asked {
        data_folder,
        request,
    })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Zeroizing::new(String::new());
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::other(
            "it stopped before it answered, and the request may have been carried out: look before you repeat it",
        ));
    }
    match serde_json::from_str(&answer)? {
        Answer::AnotherVault => Err(io::Error::other(ANOTHER_VAULT)),
        answer => Ok(Some(answer)),
    }
}

fn require_owner(stream: &BlockingStream, owner: u32) -> io::Result<()> {
    let listener = socket_peercred(stream)?.uid.as_raw();
    if listener == owner {
        return Ok(());
    }
    let text = format!("user {listener} listens there, but user {owner} owns the data folder");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn remove_left_over(path: &Path) -> io::Result<()> {
    let refused = |text: &str| {
        let text = format!("{text}: configure another admin_socket");
        Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return refused("something else than a socket is there");
        }
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Ok(_) => refused("another server answers there"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// A socket gets its mode from the process's umask, for a moment too wide. So it is made in a
/// folder that only we can enter, and then moved to its place.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let hidden = hidden_folder(path);
    let _ = fs::remove_dir_all(&hidden);
    fs::DirBuilder::new().mode(0o700).create(&hidden)?;
    let inside = hidden.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    let _ = fs::remove_dir_all(&hidden);
    bound
}

/// `config` leaves room for this name: the path of a socket is short.
fn hidden_folder(path: &Path) -> PathBuf {
    path.with_file_name(format!(".s{}", std::process::id()))
}

fn id(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
}

async fn converse(stream: UnixStream, admin: Admin, data_folder: FileId) {
    if let Err(error) = answer(stream, &admin, data_folder).await {
        tracing::warn!(%error, "an administration request broke off");
    }
}

async fn answer(stream: UnixStream, admin: &Admin, data_folder: FileId) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(MAX_LINE));
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Asked<Request>>(&line) {
        Ok(asked) if asked.data_folder == data_folder => admin.answer(asked.request).await,
        Ok(_) => Answer::AnotherVault,
        Err(_) => Answer::Refused {
            reason: "the request is not understood: is the command of the server's version?"
                .to_owned(),
        },
    };
    let mut line = Zeroizing::new(serde_json::to_vec(&answer)?);
    line.push(b'\n');
    // A peer that does not read must not hold up a stop.
    tokio::time::timeout(REQUEST_TIMEOUT, writer.write_all(&line)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when `remove_left_over` removes whatever lies there.
    #[tokio::test]
    async fn a_file_that_is_no_socket_is_neither_replaced_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        fs::write(&path, "precious").unwrap();
        assert!(AdminSocket::bind(&path, folder.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_socket_that_a_process_answers_on_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = AdminSocket::bind(&path, folder.path()).unwrap();
        assert!(AdminSocket::bind(&path, folder.path()).is_err());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(first);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_left_over_socket_is_replaced_and_only_our_own_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = AdminSocket::bind(&path, folder.path()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "of another process").unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
