//! A tenant: one app with its policy and its tokens. It is one leaf, together with the count
//! of its live records, so that a tenant with keys in the vault cannot be removed.

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use vault_protocol::{Policy, TenantId, Timestamp};

use super::token::{Token, TokenScope};
use crate::stored::codec::Versioned;
use crate::stored::keys;
use crate::stored::leaf::Leaf;

/// The most tokens a tenant can have at a time; a rotation needs two.
pub const MAX_TOKENS: usize = 16;

/// The tenant as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// Copied into new registrations.
    pub(crate) policy: Policy,
    /// Valid tokens, oldest first.
    pub tokens: Vec<StoredToken>,
    /// The id the next token gets.
    next_token_id: u32,
    /// How many accounts have a record that is not destroyed.
    pub(crate) live_records: u64,
}

/// A token as it is stored: its hash. A token has 256 random bits, so a plain hash hides it.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredToken {
    /// Names the token when it is revoked.
    pub(crate) id: u32,
    hash: [u8; 32],
    /// The kinds of requests that it allows.
    pub(crate) scopes: Vec<TokenScope>,
    created_at_ms: u64,
}

/// The tenant has [`MAX_TOKENS`] tokens already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tenant has {MAX_TOKENS} tokens already: revoke one first (tenant rotate-token --revoke ID)"
)]
pub struct TooManyTokens;

impl Tenant {
    /// Where a tenant is stored.
    pub(crate) fn leaf(name: &TenantId) -> Leaf<Self> {
        Leaf::at(keys::tenant(name))
    }

    /// A tenant without tokens.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            tokens: Vec::new(),
            next_token_id: 1,
            live_records: 0,
        }
    }

    /// Adds a token and returns it; it cannot be shown again.
    pub fn add_token<R: RngCore + CryptoRng>(
        &mut self,
        tenant: &TenantId,
        scopes: Vec<TokenScope>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Token, TooManyTokens> {
        if self.tokens.len() >= MAX_TOKENS {
            return Err(TooManyTokens);
        }
        // An id is never given twice, whatever count was stored.
        let next_token_id = self.next_token_id.checked_add(1).ok_or(TooManyTokens)?;
        let token = Token::draw(tenant.clone(), rng);
        self.tokens.push(StoredToken {
            id: self.next_token_id,
            hash: token.hash(),
            scopes,
            created_at_ms: now.millis(),
        });
        self.next_token_id = next_token_id;
        Ok(token)
    }

    /// Revokes a token; false if there is none with this id.
    pub(crate) fn revoke_token(&mut self, id: u32) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.id != id);
        self.tokens.len() < before
    }

    /// The token's scopes; `None` if it is not valid. Every stored hash is compared, each in
    /// constant time.
    pub fn scopes_of(&self, token: &Token) -> Option<&[TokenScope]> {
        let hash = token.hash();
        let mut found = None;
        for stored in &self.tokens {
            if bool::from(stored.hash.ct_eq(&hash)) {
                found = Some(stored.scopes.as_slice());
            }
        }
        found
    }
}

impl Versioned for Tenant {}

impl StoredToken {
    /// When it was made.
    pub(crate) fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(self.created_at_ms)
    }
}

/// The names of all tenants, in order.
#[derive(Default, Serialize, Deserialize)]
pub struct TenantList(pub Vec<TenantId>);

impl TenantList {
    /// Where it is stored.
    pub(crate) const LEAF: Leaf<Self> = Leaf::fixed(keys::tenants);
}

impl Versioned for TenantList {}

#[cfg(test)]
mod tests {
    use base16ct::lower;
    use rand::rngs::OsRng;

    use super::*;
    use crate::stored::leaf::Stored;

    fn tenant_with_token(scopes: Vec<TokenScope>) -> (Tenant, Token) {
        let mut tenant = Tenant::new(Policy::default());
        let token = tenant
            .add_token(
                &TenantId::new("app").unwrap(),
                scopes,
                Timestamp::from_millis(5),
                &mut OsRng,
            )
            .unwrap();
        (tenant, token)
    }

    #[test]
    fn a_foreign_or_revoked_token_has_no_scopes() {
        let (mut tenant, token) = tenant_with_token(vec![TokenScope::Use]);
        let (_, foreign) = tenant_with_token(vec![TokenScope::Use]);
        assert_eq!(tenant.scopes_of(&foreign), None);
        assert_eq!(tenant.scopes_of(&token), Some([TokenScope::Use].as_slice()));
        assert!(!tenant.revoke_token(7));
        assert!(tenant.revoke_token(1));
        assert_eq!(tenant.scopes_of(&token), None);
    }

    #[test]
    fn tokens_are_bounded() {
        let (mut tenant, token) = tenant_with_token(vec![]);
        for _ in 1..MAX_TOKENS {
            tenant
                .add_token(
                    token.tenant(),
                    vec![],
                    Timestamp::from_millis(0),
                    &mut OsRng,
                )
                .unwrap();
        }
        let more = tenant.add_token(
            token.tenant(),
            vec![],
            Timestamp::from_millis(0),
            &mut OsRng,
        );
        assert!(more.is_err());
    }

    #[test]
    fn a_stored_tenant_does_not_have_its_tokens() {
        let (tenant, token) = tenant_with_token(vec![TokenScope::Status, TokenScope::Reset]);
        let again: Token = token.expose_secret().parse().unwrap();
        assert!(tenant.scopes_of(&again).is_some());
        let stored = tenant.encode();
        assert!(!stored.windows(32).any(|bytes| token.is_secret(bytes)));
    }

    // Version 1: default policy, one token of both scopes, three live records.
    const FIXTURE: &str = concat!(
        "010a640900000000ac028407901cc07080a3050107111111",
        "1111111111111111111111111111111111111111111111111111111111020002",
        "050803"
    );

    #[test]
    fn the_stored_form_is_the_committed_one() {
        let mut tenant = Tenant::new(Policy::default());
        tenant.tokens.push(StoredToken {
            id: 7,
            hash: [0x11; 32],
            scopes: vec![TokenScope::Use, TokenScope::Reset],
            created_at_ms: 5,
        });
        tenant.next_token_id = 8;
        tenant.live_records = 3;
        assert_eq!(lower::encode_string(&tenant.encode()), FIXTURE);
    }

    #[test]
    fn the_committed_tenant_is_still_read() {
        let tenant = Tenant::decode(&from_hex(FIXTURE)).unwrap();
        assert_eq!(tenant.policy, Policy::default());
        assert_eq!((tenant.next_token_id, tenant.live_records), (8, 3));
        let [token] = tenant.tokens.as_slice() else {
            panic!("one token");
        };
        assert_eq!((token.id, token.hash), (7, [0x11; 32]));
        assert_eq!(token.scopes, [TokenScope::Use, TokenScope::Reset]);
        assert_eq!(token.created_at(), Timestamp::from_millis(5));
        assert_eq!(lower::encode_string(&tenant.encode()), FIXTURE);
    }

    // Fails when `add_token` adds without looking: the sum overflows.
    #[test]
    fn a_tenant_that_has_used_up_its_token_ids_gets_no_more() {
        let mut tenant = Tenant::new(Policy::default());
        tenant.next_token_id = u32::MAX;
        let name = TenantId::new("app").unwrap();
        let now = Timestamp::from_millis(0);
        let added = tenant.add_token(&name, vec![], now, &mut OsRng);
        assert_eq!(added.err(), Some(TooManyTokens));
        assert!(tenant.tokens.is_empty());
    }

    // Version 1: `app` and `b-2`.
    const LIST_FIXTURE: &str = "01020361707003622d32";

    #[test]
    fn the_committed_list_of_tenants_is_still_read() {
        let list = TenantList::decode(&from_hex(LIST_FIXTURE)).unwrap();
        let names: Vec<&str> = list.0.iter().map(TenantId::as_str).collect();
        assert_eq!(names, ["app", "b-2"]);
        assert_eq!(lower::encode_string(&list.encode()), LIST_FIXTURE);
    }

    fn from_hex(digits: &str) -> Vec<u8> {
        lower::decode_vec(digits).unwrap()
    }
}
