//! What a person reads off the demo's pages.

use super::browser::Answer;

/// The page at `/`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) user: Option<String>,
    pub(crate) views: u64,
    pub(crate) messages: Vec<String>,
}

impl Home {
    /// Reads it, and checks what holds for everybody: it is there, and offers to sign in exactly to those
    /// who are not.
    pub(crate) fn read(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = &answer.body;
        let user = between(page, "Signed in as ", "<").next().map(str::to_owned);
        assert_eq!(page.contains("action=\"/sign-in\""), user.is_none(), "{page}");
        assert_eq!(page.contains("action=\"/sign-out\""), user.is_some(), "{page}");
        let views = between(page, "id=\"views\">", "<").next().unwrap().parse().unwrap();
        Self { user, views, messages: messages(page) }
    }

    pub(crate) fn of(user: &str, views: u64) -> Self {
        Self { user: Some(user.to_owned()), views, messages: Vec::new() }
    }

    pub(crate) fn of_nobody(views: u64) -> Self {
        Self { user: None, views, messages: Vec::new() }
    }

    pub(crate) fn with_message(mut self, message: &str) -> Self {
        self.messages.push(message.to_owned());
        self
    }
}

/// The messages that a page shows once.
pub(crate) fn messages(page: &str) -> Vec<String> {
    between(page, "class=\"flash\" role=\"status\">", "<").map(str::to_owned).collect()
}

/// A session on the page at `/sessions`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) is_this_one: bool,
}

pub(crate) fn rows(answer: &Answer) -> Vec<Row> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = between(&answer.body, "<li>", "</li>");
    rows.map(|text| Row {
        id: between(text, "action=\"/sessions/", "/sign-out\"").next().unwrap().to_owned(),
        text: text.to_owned(),
        is_this_one: text.contains("(this one)"),
    })
    .collect()
}

/// The texts between each `start` and the next `end`.
pub(crate) fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}
