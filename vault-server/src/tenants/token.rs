//! A tenant's token, as its backend holds it.

use std::fmt;
use std::str::FromStr;

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vault_protocol::TenantId;
use vault_protocol::binary::{from_base64url, to_base64url};
use zeroize::Zeroizing;

const TOKEN_PREFIX: &str = "bkv1_";
const SECRET_LEN: usize = 32;

/// A kind of request that a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Relay sealed messages.
    Use,
    /// Ask for the status of an account outside the sealed channel.
    Status,
    /// Reset an account.
    Reset,
}

/// A tenant's token as its backend holds it: `bkv1_<tenant>_<43 characters>`. Shown once.
pub struct Token {
    tenant: TenantId,
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

/// The text was no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tenant token")]
pub struct NotAToken;

impl Token {
    pub(super) fn draw<R: RngCore + CryptoRng>(tenant: TenantId, rng: &mut R) -> Self {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        rng.fill_bytes(secret.as_mut());
        Self { tenant, secret }
    }

    /// The tenant that the token names. Only its hash shows whether the tenant made it.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The token as text.
    pub fn expose_secret(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(to_base64url(self.secret.as_slice()));
        Zeroizing::new(format!("{TOKEN_PREFIX}{}_{}", self.tenant, secret.as_str()))
    }

    /// Whether the bytes are the secret of this token.
    #[cfg(test)]
    pub(super) fn is_secret(&self, bytes: &[u8]) -> bool {
        bytes == self.secret.as_slice()
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_slice()).into()
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let rest = text.strip_prefix(TOKEN_PREFIX).ok_or(NotAToken)?;
        // A tenant has no underscore in its name, the secret may.
        let (tenant, secret) = rest.split_once('_').ok_or(NotAToken)?;
        let bytes = Zeroizing::new(from_base64url(secret).ok_or(NotAToken)?);
        let secret: [u8; SECRET_LEN] = bytes.as_slice().try_into().map_err(|_| NotAToken)?;
        let tenant = TenantId::new(tenant).map_err(|_| NotAToken)?;
        Ok(Self {
            tenant,
            secret: Zeroizing::new(secret),
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::OsRng;

    use super::*;

    fn token() -> Token {
        Token::draw(TenantId::new("app").unwrap(), &mut OsRng)
    }

    #[test]
    fn texts_that_are_no_token_are_refused() {
        let text = token().expose_secret();
        for bad in [
            "",
            "bkv1_app",
            "bkv1_App_x",
            &text[1..],
            &text[..text.len() - 1],
        ] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_read_as_it_is_written_and_not_printed() {
        let token = token();
        let again: Token = token.expose_secret().parse().unwrap();
        assert_eq!(again.hash(), token.hash());
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
