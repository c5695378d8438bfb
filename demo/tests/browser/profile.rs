//! A browser profile and the person in front of it: finds things by what is written on them, and waits for pages.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use thirtyfour::{
    By, Capabilities, ChromiumLikeCapabilities as _, Cookie, DesiredCapabilities, LoggingPrefsLogLevel,
    WebDriver, WebElement, WindowHandle,
};

use crate::server::PATIENCE;

/// How wide the page is shown, in CSS pixels, and how many dots make one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    height: u32,
    dots: u32,
    is_phone: bool,
}

impl Screen {
    pub(crate) const DESKTOP: Self = Self { width: 1280, height: 800, dots: 1, is_phone: false };
    pub(crate) const PHONE: Self = Self { width: 360, height: 740, dots: 2, is_phone: true };
}

pub(crate) struct Profile {
    driver: WebDriver,
    pub(crate) screen: Screen,
    base: String,
    pages_left: Cell<u64>,
    expected_complaints: RefCell<Vec<&'static str>>,
}

impl Profile {
    pub(crate) async fn open(
        driver: &str,
        browser: &Path,
        arguments: Vec<String>,
        screen: Screen,
        address: &str,
    ) -> Self {
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(browser.to_str().unwrap()).unwrap();
        for argument in &arguments {
            capabilities.add_arg(argument).unwrap();
        }
        // A phone obeys the viewport that a page asks for, and zooms out of one that asks for none.
        let metrics = json!({"width": screen.width, "height": screen.height, "pixelRatio": screen.dots,
            "mobile": screen.is_phone, "touch": screen.is_phone});
        capabilities.add_experimental_option("mobileEmulation", json!({ "deviceMetrics": metrics })).unwrap();
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(2 * PATIENCE).build().unwrap();
        let capabilities = Capabilities::from(capabilities);
        let driver = WebDriver::builder(driver, capabilities).client(client).await.unwrap();
        driver.set_page_load_timeout(PATIENCE).await.unwrap();
        driver.set_script_timeout(PATIENCE).await.unwrap();
        let base = format!("http://{address}");
        Self { driver, screen, base, pages_left: Cell::new(0), expected_complaints: RefCell::default() }
    }

    pub(crate) async fn close(self) {
        self.driver.clone().quit().await.unwrap();
    }

    pub(crate) async fn visit(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.base)).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        self.driver.refresh().await.unwrap();
    }

    pub(crate) async fn back(&self) {
        self.leave_by(async || self.driver.back().await.unwrap()).await;
    }

    /// Clicks the button or link with this text, and waits for the page that comes.
    pub(crate) async fn click(&self, text: &str) {
        let target = self.find(&format!("//*[self::button or self::a][normalize-space()='{text}']")).await;
        self.leave_by(async || target.click().await.unwrap()).await;
    }

    /// Types into the field that is labelled so.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let field = self.find(&format!("//input[@id=//label[normalize-space()='{label}']/@for]")).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub(crate) async fn sign_in(&self, username: &str) {
        self.visit("/").await;
        self.fill_credentials(username, password_of(username)).await;
        self.click("Sign in").await;
        assert_eq!(self.user().await.as_deref(), Some(username));
    }

    pub(crate) async fn fill_credentials(&self, username: &str, password: &str) {
        self.fill("Name", username).await;
        self.fill("Password", password).await;
    }

    /// Whom the home page says to be signed in; it must offer to sign in exactly to those who are not.
    pub(crate) async fn user(&self) -> Option<String> {
        let who = self.text_of("#who").await.pop().expect("the home page says who is signed in");
        let user = who.strip_prefix("Signed in as ").map(str::to_owned);
        assert_eq!(self.has("form[action='/sign-in']").await, user.is_none(), "{who}");
        assert_eq!(self.has("form[action='/sign-out']").await, user.is_some(), "{who}");
        user
    }

    pub(crate) async fn views(&self) -> u64 {
        self.text_of("#views").await.pop().expect("the home page counts").parse().unwrap()
    }

    pub(crate) async fn messages(&self) -> Vec<String> {
        self.text_of("[role=status]").await
    }

    /// The sessions that the list shows.
    pub(crate) async fn sessions(&self) -> Vec<String> {
        assert_eq!(self.path().await, "/sessions");
        self.text_of(".sessions li").await
    }

    /// The status of the answer that the page came with.
    pub(crate) async fn status(&self) -> u64 {
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        self.run(script, &[]).await.as_u64().unwrap()
    }

    pub(crate) async fn path(&self) -> String {
        self.driver.current_url().await.unwrap().path().to_owned()
    }

    /// All that can be read on the page.
    pub(crate) async fn text(&self) -> String {
        self.text_of("body").await.pop().unwrap()
    }

    /// The session's cookie with its attributes; there is no other.
    pub(crate) async fn cookie(&self) -> Cookie {
        let mut cookies = self.driver.get_all_cookies().await.unwrap();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        cookies.remove(0)
    }

    pub(crate) async fn token(&self) -> String {
        self.cookie().await.value
    }

    pub(crate) async fn tabs(&self) -> Vec<WindowHandle> {
        self.driver.windows().await.unwrap()
    }

    pub(crate) async fn switch_to(&self, tab: &WindowHandle) {
        self.driver.switch_to_window(tab.clone()).await.unwrap();
    }

    /// Runs a script in the page: the demo has none of its own.
    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.driver.execute(script, arguments).await.unwrap().json().clone()
    }

    /// Waits until a script says `true`. One that a new page cuts short has not said it.
    pub(crate) async fn wait_until(&self, what: &str, script: &str, arguments: &[Value]) {
        let started = Instant::now();
        loop {
            let said = self.driver.execute(script, arguments).await;
            if said.as_ref().is_ok_and(|said| *said.json() == true) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}; last: {said:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A complaint of the browser that belongs to the step, by a part of its text.
    pub(crate) fn expect_complaint(&self, part: &'static str) {
        self.expected_complaints.borrow_mut().push(part);
    }

    /// What the browser's console holds besides the expected.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.driver.browser_log().await.unwrap();
        let expected = self.expected_complaints.borrow();
        let is_expected = |text: &String| expected.iter().any(|part| text.contains(part));
        entries.into_iter().map(|entry| entry.message).filter(|text| !is_expected(text)).collect()
    }

    /// A picture of the whole page, `target/screenshots/<name>-<width>.png`.
    pub(crate) async fn photograph(&self, name: &str) {
        let options = json!({"captureBeyondViewport": true});
        let answer = self.driver.cdp().send_raw("Page.captureScreenshot", options).await.unwrap();
        let picture = answer["data"].as_str().unwrap();
        let picture = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        let directory = screenshots();
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}-{}.png", self.screen.width)), picture).unwrap();
    }

    async fn find(&self, path: &str) -> WebElement {
        match self.driver.find(By::XPath(path)).await {
            Ok(element) => element,
            Err(error) => panic!("{path}: {error}; the page: {}", self.text().await),
        }
    }

    async fn has(&self, selector: &str) -> bool {
        !self.driver.find_all(By::Css(selector)).await.unwrap().is_empty()
    }

    async fn text_of(&self, selector: &str) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(found => found.innerText.trim())";
        serde_json::from_value(self.run(script, &[selector.into()]).await).unwrap()
    }

    /// Does what leads to another page, and waits until that is there.
    async fn leave_by(&self, act: impl AsyncFnOnce()) {
        self.pages_left.set(self.pages_left.get() + 1);
        let mark = [Value::from(self.pages_left.get())];
        self.run("document.left = arguments[0]", &mark).await;
        act().await;
        let is_new = "return document.left !== arguments[0] && document.readyState === 'complete'";
        self.wait_until("the next page", is_new, &mark).await;
    }
}

/// The library would wait for an answer on a connection that nobody serves any more: after a step that failed the
/// stage ends the browser.
impl Drop for Profile {
    fn drop(&mut self) {
        let _ = self.driver.clone().leak();
    }
}

pub(crate) fn password_of(username: &str) -> &'static str {
    match username {
        "alice" => "wonderland",
        "bob" => "builder",
        other => panic!("nobody is called {other}"),
    }
}

fn screenshots() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}
