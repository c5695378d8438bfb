//! Accounts and their passwords. Sessions know nothing of them: they take a principal.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// One account, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Account {
    /// What never changes: the principal of its sessions.
    pub id: String,
    /// What its owner signs in by.
    pub name: String,
    /// How often the password has changed.
    pub password_epoch: u64,
    password_hash: String,
}

/// What a database is elsewhere.
#[derive(Debug, Default)]
pub struct Accounts {
    by_id: Mutex<BTreeMap<String, Account>>,
}

/// Each check takes 19 MiB and a core for a while: a few at once, the others wait.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// Checked for names that nobody has, so that the time taken does not tell which exist.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YLaqAHZ6pEbS74/d4Sw8Tg$Yck6EobW8hIZ2/kzZi0sLJWNDoPlqd7/GXnLDZRfO88";

impl Accounts {
    /// Adds an account; `None` if the password could not be hashed.
    pub async fn add(&self, id: &str, name: &str, password: &str) -> Option<Account> {
        let password_hash = hashed(password.to_owned()).await?;
        let account = Account { id: id.to_owned(), name: name.to_owned(), password_epoch: 0, password_hash };
        self.lock().insert(account.id.clone(), account.clone());
        Some(account)
    }

    /// The account with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Account> {
        self.lock().get(id).cloned()
    }

    /// The account with this name and password, epoch and hash from one read.
    pub async fn check(&self, name: &str, password: String) -> Option<Account> {
        let account = self.lock().values().find(|account| account.name == name).cloned();
        let hash = account.as_ref().map_or(NOBODY, |account| &account.password_hash).to_owned();
        let _turn = CHECKS.acquire().await.ok()?;
        let matches = spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        let matches = matches.await.unwrap_or(false);
        account.filter(|_| matches)
    }

    /// Changes the password, and counts it in the same write.
    pub async fn set_password(&self, id: &str, password: String) -> Option<Account> {
        let password_hash = hashed(password).await?;
        let mut accounts = self.lock();
        let account = accounts.get_mut(id)?;
        account.password_hash = password_hash;
        account.password_epoch += 1;
        Some(account.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hashed(password: String) -> Option<String> {
    let _turn = CHECKS.acquire().await.ok()?;
    spawn_blocking(move || hash(&password)).await.ok()?
}

/// `None` if the operating system has no random salt.
fn hash(password: &str) -> Option<String> {
    Some(Argon2::default().hash_password(password.as_bytes()).ok()?.to_string())
}
