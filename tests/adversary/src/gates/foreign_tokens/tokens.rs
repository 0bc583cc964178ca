//! Tokens, and strings that are none, each with its required answer.

use vault_tests::process::server::ServerProcess;

use super::kind::Kind;

use Expected::{AccountMismatch, Forbidden, NotAsked, Unauthenticated};

/// The credential in the place of a token that is allowed to ask, and its required answer.
#[derive(Clone)]
pub struct Credential {
    pub what: &'static str,
    /// Values of `Authorization`, each in a header of its own.
    pub values: Vec<String>,
    /// For the status outside, the reset, and everything sealed.
    expected: [Expected; 3],
}

/// The one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Unauthenticated,
    Forbidden,
    /// Inside the sealed channel: the relay is one of another tenant.
    AccountMismatch,
    /// It is not foreign for this request.
    NotAsked,
}

/// Tokens that the vault has issued.
pub struct Tokens {
    /// Of the victim's tenant, for one scope each.
    uses: String,
    status: String,
    reset: String,
    /// Of the victim's tenant, for every scope, until it was revoked.
    revoked: String,
    /// Of another tenant, for every scope.
    other: String,
    /// Of a tenant that was removed.
    removed: String,
}

impl Credential {
    /// The answer to a request of this kind.
    pub fn expected(&self, kind: Kind) -> Expected {
        match kind {
            Kind::Status => self.expected[0],
            Kind::Reset => self.expected[1],
            _ => self.expected[2],
        }
    }
}

impl Tokens {
    pub fn issue(server: &ServerProcess) -> anyhow::Result<Self> {
        let vault = server.vault();
        let done = |arguments: &[&str]| {
            let printed = vault.done(arguments)?;
            anyhow::Ok(printed.trim().to_owned())
        };
        let rotate = ["tenant", "rotate-token", "app"];
        let tokens = Self {
            uses: server.token().to_owned(),
            status: done(&[&rotate[..], &["--scopes", "status"]].concat())?,
            reset: done(&[&rotate[..], &["--scopes", "reset"]].concat())?,
            revoked: done(&[&rotate[..], &["--scopes", "use,status,reset"]].concat())?,
            other: done(&["tenant", "add", "other", "--scopes", "use,status,reset"])?,
            removed: done(&["tenant", "add", "gone", "--scopes", "use,status,reset"])?,
        };
        done(&[&rotate[..], &["--revoke", "4"]].concat())?;
        done(&["tenant", "remove", "gone"])?;
        Ok(tokens)
    }

    /// Every credential without the right that it is used for.
    pub fn foreign(&self) -> Vec<Credential> {
        let mut all = vec![
            bearer(
                "the scope use",
                &self.uses,
                [Forbidden, Forbidden, NotAsked],
            ),
            bearer(
                "the scope status",
                &self.status,
                [NotAsked, Forbidden, Forbidden],
            ),
            bearer(
                "the scope reset",
                &self.reset,
                [Forbidden, NotAsked, Forbidden],
            ),
            bearer(
                "another tenant's token",
                &self.other,
                [Forbidden, Forbidden, AccountMismatch],
            ),
        ];
        let unknown = self.unknown().into_iter();
        all.extend(unknown.map(|(what, token)| bearer(what, &token, [Unauthenticated; 3])));
        let malformed = self.malformed().into_iter();
        all.extend(malformed.map(|(what, values)| Credential {
            what,
            values,
            expected: [Unauthenticated; 3],
        }));
        all
    }

    /// Tokens in the right form that were never issued, or are no longer good.
    fn unknown(&self) -> Vec<(&'static str, String)> {
        let others = &self.other["bkv1_other_".len()..];
        let mine = &self.reset["bkv1_app_".len()..];
        vec![
            ("a revoked token", self.revoked.clone()),
            ("a removed tenant's token", self.removed.clone()),
            ("another tenant's secret", format!("bkv1_app_{others}")),
            ("a secret under another name", format!("bkv1_other_{mine}")),
            ("an unknown tenant", format!("bkv1_nobody_{mine}")),
            ("a secret of zeros", format!("bkv1_app_{}", "A".repeat(43))),
            ("an altered secret", with_another_digit(&self.reset)),
        ]
    }

    /// Strings that are no token, or not written in the one way.
    fn malformed(&self) -> Vec<(&'static str, Vec<String>)> {
        let good = &self.reset;
        let two = format!("Bearer {}, Bearer {good}", self.status);
        vec![
            ("no header", vec![]),
            ("an empty header", vec![String::new()]),
            ("no token", vec!["Bearer".to_owned()]),
            ("an empty token", vec!["Bearer ".to_owned()]),
            ("no scheme", vec![good.clone()]),
            ("another scheme", vec![format!("Basic {good}")]),
            (
                "a token cut off",
                vec![format!("Bearer {}", &good[..good.len() - 1])],
            ),
            ("a longer token", vec![format!("Bearer {good}A")]),
            ("a padded token", vec![format!("Bearer {good}=")]),
            (
                "a token in capitals",
                vec![format!("Bearer {}", good.to_uppercase())],
            ),
            (
                "a token without prefix",
                vec![format!("Bearer {}", &good[5..])],
            ),
            ("two tokens in a header", vec![two]),
            (
                "two headers",
                vec![format!("Bearer {good}"), format!("Bearer {}", self.uses)],
            ),
            (
                "8 KiB",
                vec![format!("Bearer bkv1_app_{}", "A".repeat(8192))],
            ),
        ]
    }
}

fn bearer(what: &'static str, token: &str, expected: [Expected; 3]) -> Credential {
    Credential {
        what,
        values: vec![format!("Bearer {token}")],
        expected,
    }
}

/// Another first digit of the secret: all of the first byte's bits are then significant.
fn with_another_digit(token: &str) -> String {
    let (name, secret) = token.split_at("bkv1_app_".len());
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    format!("{name}{first}{}", &secret[1..])
}
