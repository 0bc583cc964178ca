//! Names: vault, tenant and account (PROTOCOL.md section 2). A value that exists is a valid one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name does not have the form of PROTOCOL.md section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} has 1 to {max_len} characters of {alphabet}")]
pub struct InvalidName {
    kind: &'static str,
    max_len: usize,
    alphabet: &'static str,
}

/// A vault's name: 1 to 64 characters of `a-z 0-9 . -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultId(String);

/// One app among those that share a vault: 1 to 32 characters of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

/// The app's stable id of a user: 1 to 128 characters of `A-Z a-z 0-9 - _ . ~ @ + :`, not `.` or
/// `..`. It names a person: it does not belong in a log, and its `Debug` is redacted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl VaultId {
    /// Refuses a name of another length or with another character.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        const RULE: InvalidName = InvalidName {
            kind: "vault id",
            max_len: 64,
            alphabet: "a-z 0-9 . -",
        };
        checked(name.into(), RULE, |c| is_lower(c) || c == b'.' || c == b'-').map(Self)
    }

    /// OPAQUE's server identity: `backup-key-vault/v1/` and the vault id (PROTOCOL.md section 4).
    pub fn server_identity(&self) -> String {
        format!("backup-key-vault/v1/{}", self.0)
    }
}

impl TenantId {
    /// Refuses a name of another length or with another character.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        const RULE: InvalidName = InvalidName {
            kind: "tenant",
            max_len: 32,
            alphabet: "a-z 0-9 -",
        };
        checked(name.into(), RULE, |c| is_lower(c) || c == b'-').map(Self)
    }
}

impl AccountId {
    /// Refuses an id of another length or with another character.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        const RULE: InvalidName = InvalidName {
            kind: "account id",
            max_len: 128,
            alphabet: "A-Z a-z 0-9 - _ . ~ @ + : (not . or ..)",
        };
        let name = name.into();
        // A path segment of dots would be rewritten by URL libraries.
        if name == "." || name == ".." {
            return Err(RULE);
        }
        checked(name, RULE, |c| {
            c.is_ascii_alphanumeric() || b"-_.~@+:".contains(&c)
        })
        .map(Self)
    }
}

/// One account in full. Every proof, wrapping and identity is bound to all three names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountScope {
    /// The vault that keeps the record.
    pub vault: VaultId,
    /// The app.
    pub tenant: TenantId,
    /// The app's user.
    pub account: AccountId,
}

impl AccountScope {
    /// OPAQUE's client identity: `tenant/account` (PROTOCOL.md section 4).
    pub fn client_identity(&self) -> String {
        format!("{}/{}", self.tenant, self.account)
    }

    /// All endpoints of the account are below this path (PROTOCOL.md section 6). It needs no
    /// escaping: no name has a character that a path treats specially.
    pub fn path(&self) -> String {
        format!("/v1/tenants/{}/accounts/{}", self.tenant, self.account)
    }
}

fn is_lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn checked(
    name: String,
    rule: InvalidName,
    allowed: impl Fn(u8) -> bool,
) -> Result<String, InvalidName> {
    let fits = (1..=rule.max_len).contains(&name.len());
    if fits && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(rule)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountId(…)")
    }
}

/// Every name is text on the wire, and checked by `new` where it is read.
macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            /// As it is written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

text!(VaultId, TenantId, AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_their_alphabet_or_length_are_refused() {
        for bad in ["", "A", "a_b", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(VaultId::new(bad).is_err(), "{bad}");
        }
        for bad in ["", "A", "a.b", "a/b", "a%41", &"a".repeat(33)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
        for bad in ["", ".", "..", "a/b", "a%41", "a b", "ü", &"a".repeat(129)] {
            assert!(AccountId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_at_their_limits_are_accepted() {
        assert!(VaultId::new("a".repeat(64)).is_ok());
        assert!(TenantId::new("0-z").is_ok());
        assert!(AccountId::new("+49170@example.org:Az_~-...").is_ok());
        assert!(AccountId::new("A".repeat(128)).is_ok());
    }

    #[test]
    fn an_account_is_not_printed_by_debug() {
        let account = AccountId::new("alice").unwrap();
        assert!(!format!("{account:?}").contains("alice"));
    }
}
