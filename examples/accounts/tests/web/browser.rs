//! A browser's part: it keeps the cookie that it was given, and sends it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::request::Builder;
use axum::http::{Request, StatusCode};
use tower::ServiceExt as _;

pub(crate) struct Browser {
    app: Router,
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) fn new(app: &Router) -> Self {
        Self { app: app.clone(), cookie: None }
    }

    pub(crate) async fn get(&mut self, path: &str) -> (StatusCode, String) {
        self.send(Request::get(path), "").await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &str) -> (StatusCode, String) {
        self.post_from("same-origin", path, form).await
    }

    /// `sender` is where the page is from, in the words of `Sec-Fetch-Site`.
    pub(crate) async fn post_from(&mut self, sender: &str, path: &str, form: &str) -> (StatusCode, String) {
        let request = Request::post(path).header("sec-fetch-site", sender);
        self.send(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"), form).await
    }

    async fn send(&mut self, mut request: Builder, body: &str) -> (StatusCode, String) {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = self.app.clone().oneshot(request).await.unwrap();
        if let Some(header) = answer.headers().get(SET_COOKIE) {
            let header = header.to_str().unwrap();
            let pair = header.split(';').next().unwrap();
            self.cookie = (!header.contains("Max-Age=0")).then(|| pair.to_owned());
        }
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }
}
