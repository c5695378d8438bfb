//! Two accounts and their password check. Sessions know nothing of it: they take a principal.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use tokio::sync::Semaphore;

/// Who can sign in.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    hash: &'static str,
}

const ACCOUNTS: [Account; 2] = [
    Account {
        id: 1,
        name: "alice",
        hash: "$argon2id$v=19$m=19456,t=2,p=1$ettz73qTUfd/vgv+4RC+Ig$h/n5XVXp9r/xmhEWolMqt/NMZfwyrFF+GORu3NuDuXE",
    },
    Account {
        id: 2,
        name: "bob",
        hash: "$argon2id$v=19$m=19456,t=2,p=1$7Y8MHcKZOMSaKleuKzNTWQ$ADdD9KYWedqgETiZlpHQKz3BPHfdyWr13cwcj73tD+4",
    },
];

/// Checked for names that nobody has, so that the time taken does not tell which exist.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YLaqAHZ6pEbS74/d4Sw8Tg$Yck6EobW8hIZ2/kzZi0sLJWNDoPlqd7/GXnLDZRfO88";

/// Each check takes 19 MiB and a core for a while: a few at once, the others wait.
static CHECKS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// The account with this name and password, if there is one.
pub(crate) async fn check(name: &str, password: String) -> Option<&'static Account> {
    let account = ACCOUNTS.iter().find(|account| account.name == name);
    let _turn = CHECKS.acquire().await.ok()?;
    let hash = account.map_or(NOBODY, |account| account.hash);
    let matches = tokio::task::spawn_blocking(move || {
        PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    let matches = matches.await.unwrap_or(false);
    account.filter(|_| matches)
}
