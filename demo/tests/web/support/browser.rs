//! A browser: a cookie jar, forms, and no redirect followed unasked.

use std::sync::Arc;

use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Url, redirect};

use super::page::{self, Home, Row};
use super::server::{PATIENCE, Server};

/// Clones are tabs of one browser: they share the jar.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    jar: Arc<Jar>,
    base: Url,
}

impl Browser {
    /// A fresh one.
    pub(crate) fn new(server: &Server) -> Self {
        let jar = Arc::new(Jar::default());
        let client = Client::builder()
            .cookie_provider(jar.clone())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { client, jar, base: format!("http://{}/", server.address()).parse().unwrap() }
    }

    /// Another browser that has come by this token.
    pub(crate) fn with_token(server: &Server, token: &str) -> Self {
        let browser = Self::new(server);
        browser.jar.add_cookie_str(&format!("session={token}; Path=/"), &browser.base);
        browser
    }

    /// A fresh one in which somebody has signed in.
    pub(crate) async fn of(server: &Server, username: &str) -> Self {
        let browser = Self::new(server);
        browser.sign_in(username).await;
        browser
    }

    /// The same browser, visiting another server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { base: Self::new(server).base, ..self.clone() }
    }

    /// The token in the jar.
    pub(crate) fn token(&self) -> Option<String> {
        let cookies = self.jar.cookies(&self.base)?;
        Some(cookies.to_str().unwrap().strip_prefix("session=").unwrap().to_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    /// Asks for a page with this `Cookie` header and without the jar's.
    pub(crate) async fn get_with_cookie(&self, path: &str, header: &[u8]) -> Answer {
        let request = self.client.get(self.base.join(path).unwrap()).header(COOKIE, header);
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn try_password(&self, username: &str, password: &str) -> Answer {
        self.send(Method::POST, "/sign-in", Some(&[("username", username), ("password", password)])).await
    }

    /// Signs in with the right password, and sees that it worked.
    pub(crate) async fn sign_in(&self, username: &str) {
        let answer = self.try_password(username, password_of(username)).await;
        assert_eq!((answer.status, answer.location()), (303, Some("/")), "{}", answer.body);
    }

    pub(crate) async fn send(&self, method: Method, path: &str, form: Option<&[(&str, &str)]>) -> Answer {
        let mut request = self.client.request(method, self.base.join(path).unwrap());
        if let Some(form) = form {
            request = request.form(form);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// `GET /`, which is 200 for everybody.
    pub(crate) async fn home(&self) -> Home {
        Home::read(&self.get("/").await)
    }

    /// The rows of `GET /sessions`.
    pub(crate) async fn sessions(&self) -> Vec<Row> {
        page::rows(&self.get("/sessions").await)
    }

    /// `GET /api/views`.
    pub(crate) async fn views(&self) -> u64 {
        self.get("/api/views").await.views()
    }

    /// `POST /api/views`.
    pub(crate) async fn count_view(&self) -> u64 {
        self.post("/api/views").await.views()
    }
}

pub(crate) fn password_of(username: &str) -> &'static str {
    match username {
        "alice" => "wonderland",
        "bob" => "builder",
        other => panic!("nobody is called {other}"),
    }
}

/// What came back, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    pub(crate) fn set_cookie(&self) -> Option<&str> {
        assert!(self.headers.get_all(SET_COOKIE).iter().count() <= 1);
        self.header(SET_COOKIE.as_str())
    }

    pub(crate) fn location(&self) -> Option<&str> {
        self.header(LOCATION.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Reads `{"views":n}`, and nothing else.
    pub(crate) fn views(&self) -> u64 {
        assert_eq!(self.status, 200, "{}", self.body);
        let number = self.body.strip_prefix("{\"views\":").and_then(|rest| rest.strip_suffix('}'));
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{}", self.body))
    }
}
