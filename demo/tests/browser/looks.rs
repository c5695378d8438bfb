//! How the pages look and read: no sideways scrolling, also with long words and large type, everything labelled,
//! nothing in the console, and a picture of each page to judge with one's own eyes.

use serde::Deserialize;

use crate::profile::{Profile, Screen};
use crate::server::Server;
use crate::stage::step;

#[derive(Deserialize)]
struct Look {
    shown: u32,
    available: u32,
    needed: u32,
    problems: Vec<String>,
}

/// A control's accessible name holds what is written on it (WCAG 2.5.3); a field has a label that can be seen.
const LOOK: &str = "
    const problems = [];
    const is = (condition, problem) => { if (!condition) problems.push(problem); };
    const text = element => element.innerText.trim().toLowerCase();
    is(document.documentElement.lang, 'no language');
    is(document.title, 'no title');
    is(document.querySelectorAll('h1').length === 1, 'not one heading');
    is(document.querySelector('main'), 'no main part');
    for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
        is([...field.labels].some(label => text(label)), `no label: ${field.outerHTML}`);
    for (const control of document.querySelectorAll('a, button')) {
        const label = control.getAttribute('aria-label');
        is(text(control), `nothing on it: ${control.outerHTML}`);
        is(label === null || label.toLowerCase().includes(text(control)), `another label: ${control.outerHTML}`);
    }
    const labels = [...document.querySelectorAll('button')].map(button => button.ariaLabel ?? text(button));
    is(new Set(labels).size === labels.length, `labels that repeat: ${labels}`);
    const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
    is(new Set(ids).size === ids.length, `ids that repeat: ${ids}`);
    for (const control of document.querySelectorAll('a, button')) {
        const written = document.createTreeWalker(control, NodeFilter.SHOW_TEXT).nextNode();
        for (const word of written.data.matchAll(/\\S+/g)) {
            const range = new Range();
            range.setStart(written, word.index);
            range.setEnd(written, word.index + word[0].length);
            is(range.getClientRects().length === 1, `a word in pieces: ${control.outerHTML}`);
        }
    }
    const { scrollWidth, clientWidth } = document.documentElement;
    return { shown: innerWidth, available: clientWidth, needed: scrollWidth, problems };
";

/// Type of twice the size (WCAG 1.4.4), and back.
const ENLARGE: &str = "document.documentElement.style.fontSize = arguments[0]";

/// In every text a word that cannot be broken at a hyphen or a space, as a name may be, and back.
const LENGTHEN: &str = "
    for (const text of document.querySelectorAll('h1, p, label, strong, dt, dd'))
        text.append('w'.repeat(200));
";
const SHORTEN: &str = "
    for (const text of document.querySelectorAll('h1, p, label, strong, dt, dd'))
        text.lastChild.remove();
";

/// Checks the page that is shown, and keeps a picture of it.
pub(crate) async fn inspect(browser: &Profile, name: &str) {
    browser.photograph(name).await;
    look(browser, name).await;
    browser.run(ENLARGE, &["200%".into()]).await;
    look(browser, &format!("{name}, enlarged")).await;
    browser.run(ENLARGE, &["".into()]).await;
    browser.run(LENGTHEN, &[]).await;
    look(browser, &format!("{name}, with long words")).await;
    browser.run(SHORTEN, &[]).await;
}

async fn look(browser: &Profile, name: &str) {
    let look: Look = serde_json::from_value(browser.run(LOOK, &[]).await).unwrap();
    assert_eq!(look.problems, [""; 0], "{name}");
    assert_eq!(look.shown, browser.screen.width, "{name}: the page asks for another width");
    assert!(look.needed <= look.available, "{name}: {} of {} pixels", look.needed, look.available);
}

#[tokio::test]
async fn at_360() {
    step("no sideways scrolling and all labelled at 360", async |stage| {
        let server = Server::on_sqlite().await;
        let (browser, other) = (stage.profile(&server, Screen::PHONE).await, stage.desktop(&server).await);
        other.sign_in("alice").await;
        walk(&browser).await;
    })
    .await;
}

#[tokio::test]
async fn at_1280() {
    step("no sideways scrolling and all labelled at 1280", async |stage| {
        let server = Server::on_sqlite().await;
        let (browser, other) = (stage.desktop(&server).await, stage.desktop(&server).await);
        other.sign_in("alice").await;
        walk(&browser).await;
    })
    .await;
}

/// Sees every page but the one of a stopped store.
async fn walk(browser: &Profile) {
    browser.expect_complaint("/sign-in - Failed to load resource: the server responded with a status of 40");
    browser.expect_complaint("/nowhere - Failed to load resource: the server responded with a status of 404");
    browser.visit("/").await;
    inspect(browser, "home").await;
    browser.fill_credentials(&"longname".repeat(25), "wrong").await;
    browser.click("Sign in").await;
    inspect(browser, "refused").await;
    browser.visit("/sign-in").await;
    inspect(browser, "only-for-forms").await;
    browser.visit("/nowhere").await;
    inspect(browser, "not-found").await;
    browser.sign_in("alice").await;
    inspect(browser, "home-signed-in").await;
    browser.click("Your sessions").await;
    inspect(browser, "sessions").await;
    browser.click("Sign out the others").await;
    inspect(browser, "sessions-one").await;
    browser.click("Home").await;
    browser.click("Sign out").await;
    inspect(browser, "home-signed-out").await;
}

/// Every step ends with a look into the console; this one sees that a complaint would be there.
#[tokio::test]
async fn quiet_console() {
    step("nothing in the console", async |stage| {
        let server = Server::on_sqlite().await;
        let browser = stage.desktop(&server).await;
        browser.sign_in("alice").await;
        browser.click("Your sessions").await;
        assert_eq!(browser.complaints().await, [""; 0]);
        browser.run("console.error('canary')", &[]).await;
        let complaints = browser.complaints().await;
        assert!(complaints.len() == 1 && complaints[0].contains("canary"), "{complaints:?}");
    })
    .await;
}
