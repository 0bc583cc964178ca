//! [`Transport`] over HTTPS: to the vault itself, or through an app's backend that relays (PROTOCOL.md
//! section 5).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy as Redirects;
use reqwest::tls::Version;
use reqwest::{Certificate, Client, RequestBuilder, Url};
use vault_protocol::ohttp_keys::{REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE};
use vault_protocol::{AccountId, Timestamp};
use zeroize::Zeroizing;

use crate::error::NoAnswer;
use crate::outer::OuterAnswer;
use crate::transport::Transport;

/// The longest outer answer that is read, in bytes; the statement and sealed answers are far
/// shorter.
pub const MAX_ANSWER_LEN: usize = 64 * 1024;

/// The longest bearer token, in bytes.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;

const ACCOUNT_HEADER: HeaderName = HeaderName::from_static("vault-account");

/// A bearer token: a tenant's, or that of a user's session with the app's backend. Erased when
/// dropped, never printed. (The HTTP library keeps a copy of its own for as long as the transport
/// lives.)
pub struct BearerToken(Zeroizing<String>);

/// How to connect.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// For the connection and the TLS handshake.
    pub connect_timeout: Duration,
    /// For a request and its whole answer.
    pub total_timeout: Duration,
    /// PEM certificates that are trusted *instead* of the platform's: for a vault with a private
    /// certificate authority, and on platforms whose store needs its own preparation (Android).
    pub roots: Option<Vec<u8>>,
}

/// Why a transport could not be made; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTransport {
    /// The address is no base address.
    #[error("the address must look like https://host or https://host:port/path")]
    Address,
    /// Plain http to another machine.
    #[error("the address must begin with https:// (plain http is for 127.0.0.1 and [::1] only)")]
    Plaintext,
    /// The token cannot be sent.
    #[error("the token must be 1 to {MAX_TOKEN_LEN} visible ASCII characters")]
    Token,
    /// The root certificates cannot be used.
    #[error("the root certificates are not PEM certificates, or there are none")]
    Roots,
    /// TLS could not be set up, for example because the platform has no root certificates.
    #[error("TLS could not be set up: install the platform's root certificates, or name your own")]
    Tls(#[source] reqwest::Error),
}

/// A vault, or a relay, at one address.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    statement: Url,
    ohttp: Url,
    headers: HeaderMap,
}

impl HttpTransport {
    /// Straight to a vault, with a tenant's token of scope `use`: for command lines and backends,
    /// never in an app that users install.
    pub fn direct(
        base: &str,
        token: &BearerToken,
        account: &AccountId,
        options: &HttpOptions,
    ) -> Result<Self, InvalidTransport> {
        let mut transport = Self::through_relay(base, token, options)?;
        let mut account = HeaderValue::from_str(account.as_str())
            .expect("an account id has only characters that headers allow");
        // It names a person.
        account.set_sensitive(true);
        transport.headers.insert(ACCOUNT_HEADER, account);
        Ok(transport)
    }

    /// Through the app's backend, which authenticates the user by the session's token, passes on
    /// `GET /v1/vault` and `POST /v1/ohttp`, and adds the rest itself.
    pub fn through_relay(
        base: &str,
        session: &BearerToken,
        options: &HttpOptions,
    ) -> Result<Self, InvalidTransport> {
        let base = checked_base(base)?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", session.0.as_str()))
            .map_err(|_| InvalidTransport::Token)?;
        authorization.set_sensitive(true);
        Ok(Self {
            client: client(&base, options)?,
            statement: below(&base, "v1/vault"),
            ohttp: below(&base, "v1/ohttp"),
            headers: HeaderMap::from_iter([(AUTHORIZATION, authorization)]),
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<OuterAnswer, NoAnswer> {
        let sent = request.headers(self.headers.clone()).send().await;
        let mut response = sent.map_err(no_answer)?;
        let mut content = Vec::new();
        // Not `bytes()`, which would read whatever comes.
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if content.len() + chunk.len() > MAX_ANSWER_LEN {
                return Err(NoAnswer::TooLarge);
            }
            content.extend_from_slice(&chunk);
        }
        Ok(OuterAnswer {
            status: response.status().as_u16(),
            content,
        })
    }
}

impl Transport for HttpTransport {
    async fn statement(&self) -> Result<OuterAnswer, NoAnswer> {
        self.send(self.client.get(self.statement.clone())).await
    }

    async fn post_sealed(&self, message: Vec<u8>) -> Result<OuterAnswer, NoAnswer> {
        let request = self
            .client
            .post(self.ohttp.clone())
            .header(CONTENT_TYPE, REQUEST_MEDIA_TYPE)
            .header(ACCEPT, RESPONSE_MEDIA_TYPE)
            .body(message);
        self.send(request).await
    }
}

impl BearerToken {
    /// Checks that the token can be sent: visible ASCII, no spaces.
    pub fn new(token: &str) -> Result<Self, InvalidTransport> {
        let is_sendable = (1..=MAX_TOKEN_LEN).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sendable {
            return Err(InvalidTransport::Token);
        }
        Ok(Self(Zeroizing::new(token.to_owned())))
    }
}

impl Default for HttpOptions {
    /// 10 s to connect, 30 s in all, the platform's root certificates.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
            roots: None,
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// The device's clock, for [`crate::client::VaultClient`].
#[expect(
    clippy::disallowed_methods,
    reason = "the device's edge: everything below takes the time as a parameter"
)]
pub fn system_clock() -> Timestamp {
    let now = std::time::SystemTime::now();
    // Before 1970 counts as 1970: the statement's check then says that the clock is wrong.
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn checked_base(base: &str) -> Result<Url, InvalidTransport> {
    let url = Url::parse(base).map_err(|_| InvalidTransport::Address)?;
    let is_plain_base = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_plain_base || url.host_str().is_none() {
        return Err(InvalidTransport::Address);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(InvalidTransport::Plaintext),
        _ => Err(InvalidTransport::Address),
    }
}

/// An address of this very machine, given as a number: a name could resolve to anything.
fn is_loopback(url: &Url) -> bool {
    url.host_str()
        .map(|host| host.trim_start_matches('[').trim_end_matches(']'))
        .and_then(|host| host.parse::<IpAddr>().ok())
        .is_some_and(|address| address.is_loopback())
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn client(base: &Url, options: &HttpOptions) -> Result<Client, InvalidTransport> {
    let mut builder = Client::builder()
        .connect_timeout(options.connect_timeout)
        .timeout(options.total_timeout)
        // A redirect would take the token to another place.
        .redirect(Redirects::none())
        // Repeats are decided above, in `client`.
        .retry(reqwest::retry::never())
        // Nothing in the environment reroutes a token.
        .no_proxy()
        .tls_version_min(Version::TLS_1_3)
        .https_only(base.scheme() == "https");
    if let Some(pem) = &options.roots {
        builder = builder.tls_certs_only(roots(pem)?);
    } else if base.scheme() == "http" {
        // Without TLS there is no need for the platform's roots, which a bare machine lacks.
        builder = builder.tls_certs_only([]);
    }
    // The `rustls` feature brings its cryptography (aws-lc-rs) along; a process-wide default is
    // used if there is one, and its absence is no panic.
    builder.build().map_err(InvalidTransport::Tls)
}

fn roots(pem: &[u8]) -> Result<Vec<Certificate>, InvalidTransport> {
    let certificates = Certificate::from_pem_bundle(pem).map_err(|_| InvalidTransport::Roots)?;
    if certificates.is_empty() {
        return Err(InvalidTransport::Roots);
    }
    Ok(certificates)
}

fn no_answer(error: reqwest::Error) -> NoAnswer {
    // Nothing is sent before the handshake is over.
    let is_unsent = error.is_connect() || error.is_builder();
    let source = Box::new(error.without_url());
    if is_unsent {
        NoAnswer::Unreachable(source)
    } else {
        NoAnswer::Lost(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(base: &str) -> Result<HttpTransport, InvalidTransport> {
        let token = BearerToken::new("token").unwrap();
        let options = HttpOptions {
            roots: None,
            ..HttpOptions::default()
        };
        HttpTransport::through_relay(base, &token, &options)
    }

    // Fails if `checked_base` lets every `http` pass.
    #[test]
    fn plain_http_to_another_machine_is_refused() {
        for base in [
            "http://vault.example",
            "http://10.0.0.1:8080",
            "http://localhost:8080",
            "http://127.0.0.1.example",
            "http://[2001:db8::1]",
        ] {
            assert!(
                matches!(relay(base), Err(InvalidTransport::Plaintext)),
                "{base}"
            );
        }
        for base in ["http://127.0.0.1:8080", "http://[::1]:8080/relay/"] {
            assert!(relay(base).is_ok(), "{base}");
        }
    }

    #[test]
    fn what_is_no_base_address_is_refused() {
        for base in [
            "",
            "vault.example",
            "ftp://vault.example",
            "https://user@vault.example",
            "https://vault.example/?a=b",
            "https://vault.example/#a",
            "file:///etc",
        ] {
            assert!(
                matches!(relay(base), Err(InvalidTransport::Address)),
                "{base}"
            );
        }
    }

    #[test]
    fn tokens_that_would_break_a_header_are_refused() {
        for bad in ["", "a b", "a\r\nvault-account: b", "ä"] {
            assert!(BearerToken::new(bad).is_err());
        }
        assert!(BearerToken::new(&"a".repeat(MAX_TOKEN_LEN + 1)).is_err());
        let token = BearerToken::new("secret").unwrap();
        assert_eq!(format!("{token:?}"), "BearerToken(…)");
        let transport = relay("http://127.0.0.1:1").unwrap();
        assert!(!format!("{transport:?}").contains("token\""));
    }

    // Fails if the header is not marked as sensitive.
    #[test]
    fn a_transport_that_is_printed_names_no_user() {
        let token = BearerToken::new("secret").unwrap();
        let account = AccountId::new("alice-the-person").unwrap();
        let options = HttpOptions::default();
        let transport = HttpTransport::direct("http://[::1]:1", &token, &account, &options);
        let printed = format!("{:?}", transport.unwrap());
        assert!(!printed.contains("alice") && !printed.contains("secret"));
    }

    #[test]
    fn roots_that_are_no_certificates_are_refused() {
        let token = BearerToken::new("token").unwrap();
        for roots in [&b""[..], b"no certificate"] {
            let options = HttpOptions {
                roots: Some(roots.to_vec()),
                ..HttpOptions::default()
            };
            let made = HttpTransport::through_relay("https://127.0.0.1", &token, &options);
            assert!(matches!(made, Err(InvalidTransport::Roots)));
        }
    }

    #[test]
    fn paths_stand_below_the_base_address() {
        let transport = relay("http://127.0.0.1:8080/relay/").unwrap();
        assert_eq!(transport.ohttp.path(), "/relay/v1/ohttp");
        let transport = relay("http://127.0.0.1:8080").unwrap();
        assert_eq!(transport.statement.path(), "/v1/vault");
    }
}
