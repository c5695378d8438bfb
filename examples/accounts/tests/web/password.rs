//! A change of the password ends every session that was opened by the old one.

use session_kit::Committed;

use crate::forms::form_token;
use crate::site::Site;

#[tokio::test]
async fn a_changed_password_ends_every_other_session() {
    let site = Site::new().await;
    let (mut here, mut there) = (site.alice().await, site.alice().await);
    let token = form_token(&mut here).await;
    let wrong = format!("form_token={token}&current=wrong&new=looking-glass");
    assert_eq!(here.post("/password", &wrong).await.0, 401);
    assert_eq!(there.get("/account").await.0, 200);

    let right = format!("form_token={token}&current=wonderland&new=looking-glass");
    assert_eq!(here.post("/password", &right).await.0, 303);
    assert_eq!(site.sessions.list("1").await.unwrap().len(), 1, "the other one has ended");
    assert_eq!(here.get("/account").await.0, 200);
    assert_eq!(there.get("/account").await.0, 303);
    assert_eq!(there.post("/sign-in", "name=alice&password=wonderland").await.0, 401);
    assert_eq!(there.post("/sign-in", "name=alice&password=looking-glass").await.0, 303);
}

#[tokio::test]
async fn a_sign_in_by_the_old_password_that_commits_late_opens_nothing() {
    let site = Site::new().await;
    let checked = site.accounts.check("alice", "wonderland".to_owned()).await.unwrap();
    // Meanwhile the password changes, and every session ends that there is.
    site.accounts.set_password("1", "looking-glass".to_owned()).await.unwrap();
    site.sessions.revoke_all("1").await.unwrap();

    let late = site.sessions.open(None).await.unwrap();
    late.sign_in(&checked.id).unwrap();
    late.insert("sign_in.password_epoch", checked.password_epoch).unwrap();
    let Committed::SetToken { token, .. } = late.commit().await.unwrap() else { panic!("no token") };
    let mut browser = site.browser();
    browser.cookie = Some(format!("__Host-session={}", token.expose()));
    assert_eq!(browser.get("/account").await.0, 303);
}
