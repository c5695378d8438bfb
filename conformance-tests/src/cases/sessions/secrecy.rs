//! Group J: what a thief finds who copies the store. Every key and every value of it is looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use session_core::{IdGenerator, Result, Session, SessionId, SessionToken, Sha512Ids};

use crate::case::{Case, case};
use crate::check::{CaseResult, ensure};
use crate::context::{Context, HOUR, MINUTE};
use crate::scan::holds;
use crate::site::{Site, id, token};

pub(super) const CASES: &[Case] = &[
    case!(
        "hostile",
        store_holds_no_secret,
        "the store holds no token and no secret, in any form, whatever became of the session",
        Scan,
    ),
    case!(
        "hostile",
        store_holds_no_secret_of_128_digits,
        "the store holds no token of 128 hexadecimal digits and no part of its secret",
        Scan,
    ),
];

/// Makes tokens whose secrets it remembers.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Mutex<Vec<[u8; 32]>>>);

impl IdGenerator for Known {
    fn generate(&self) -> Result<SessionToken> {
        let (id, secret) = (SessionId::from_bytes(rand::rng().random()), rand::rng().random());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(secret);
        Ok(SessionToken::from_parts(id, secret))
    }
}

async fn store_holds_no_secret(ctx: Context) -> CaseResult {
    let known = Known::default();
    let site = Site::with(&ctx, |builder| builder.ids(known.clone()).rotate_every(HOUR))?;
    let mut seen = Seen { site: site.clone(), forms: Vec::new() };
    let secrets = || {
        let secrets = known.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        secrets.into_iter().flat_map(|secret| binary_forms(&secret)).collect::<Vec<_>>()
    };
    let current = site.visit().await?;
    seen.and_look(&current, secrets(), "a create").await?;
    let current = token(site.request(&current, Session::rotate).await?)?;
    seen.and_look(&current, secrets(), "a rotation").await?;
    let current = token(site.request(&current, |session| session.sign_in("alice")).await?)?;
    seen.and_look(&current, secrets(), "a sign-in").await?;
    // One that is due, whose replaced secret goes on being valid.
    ctx.clock().advance(HOUR + MINUTE);
    let old = current;
    let current = token(site.open(&old).await?.commit().await?)?;
    seen.and_look(&current, secrets(), "a periodic rotation").await?;
    site.count(&old).await?;
    site.count(&current).await?;
    seen.and_look(&current, secrets(), "a request with the replaced secret").await?;
    ctx.clock().advance(Duration::from_secs(31));
    drop(site.manager.open(Some(&old)).await?);
    seen.and_look(&current, secrets(), "a replay").await?;
    let other = site.member("alice").await?;
    seen.and_look(&other, secrets(), "another sign-in").await?;
    site.open(&current).await?.revoke_others().await?;
    seen.and_look(&current, secrets(), "a revocation").await?;
    site.manager.revoke(id(&current)?).await?;
    ensure(seen.forms.len() > 20, "the case has lost its secrets")?;
    ensure(!seen.site_holds_a_form().await?, "the store holds a secret after the end of its session")
}

async fn store_holds_no_secret_of_128_digits(ctx: Context) -> CaseResult {
    let site = Site::with(&ctx, |builder| builder.ids(Sha512Ids::default()))?;
    let mut seen = Seen { site: site.clone(), forms: Vec::new() };
    let mut current = site.visit().await?;
    for step in [Session::rotate, |session: &Session| session.sign_in("alice")] {
        let secret = current.get(32..).unwrap_or_default();
        ensure(secret.len() == 96, "the token is not of 128 digits")?;
        let byte = |at: usize| u8::from_str_radix(secret.get(2 * at..2 * at + 2)?, 16).ok();
        let raw: Vec<u8> = (0..48).map_while(byte).collect();
        ensure(raw.len() == 48, "the secret is not hexadecimal")?;
        let forms = binary_forms(&raw);
        seen.and_look(&current, forms, "a commit").await?;
        current = token(site.request(&current, step).await?)?;
    }
    seen.and_look(&current, Vec::new(), "a sign-in").await
}

/// Every form of every secret so far.
struct Seen {
    site: Site,
    forms: Vec<Vec<u8>>,
}

impl Seen {
    /// Adds a token in its own forms, and what else is known, and fails if any of all is in the store.
    async fn and_look(&mut self, token: &str, others: Vec<Vec<u8>>, what: &str) -> CaseResult {
        let secret = token.split('.').next_back().unwrap_or(token);
        let standard = secret.replace('-', "+").replace('_', "/");
        let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
        let texts = [token, secret, &standard, &hex, &hex.to_uppercase()];
        self.forms.extend(texts.map(|text| text.as_bytes().to_vec()));
        self.forms.extend(others);
        let pieces = self.site.ctx.scan().await?;
        // That it looks at the right place.
        let named = holds(&pieces, id(token)?.as_bytes());
        ensure(named, format!("after {what}: the harness does not show the session's id"))?;
        ensure(!self.site_holds_a_form().await?, format!("after {what}: the store holds a secret"))
    }

    async fn site_holds_a_form(&self) -> CaseResult<bool> {
        let pieces = self.site.ctx.scan().await?;
        Ok(self.forms.iter().any(|form| holds(&pieces, form)))
    }
}

/// A secret in parts of 16 bytes: as they are, the other way round, and in hexadecimal digits.
fn binary_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let forms = secret.chunks(16).flat_map(|part| {
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let reversed = part.iter().rev().copied().collect();
        [part.to_vec(), reversed, hex.to_uppercase().into(), hex.into()]
    });
    forms.collect()
}
