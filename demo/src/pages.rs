//! The HTML: plain forms and tables, readable from 360 pixels on, no script.

use std::time::{Duration, SystemTime};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use session_kit::{SessionId, Timestamp};

const STYLE: &str = include_str!("style.css");

/// Inline, or else browsers ask for `/favicon.ico`.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='4' fill='%232456c7'/%3E\
    %3Ccircle cx='8' cy='8' r='3.5' fill='%23fff'/%3E%3C/svg%3E";

pub(crate) struct Home {
    pub(crate) user: Option<String>,
    pub(crate) views: u64,
    pub(crate) messages: Vec<String>,
}

impl Home {
    pub(crate) fn draw(&self) -> Markup {
        layout(
            "session-kit demo",
            &self.messages,
            html! {
                p.counter { "Views in this session: " output id="views" { (self.views) } }
                @match &self.user {
                    Some(user) => {
                        p id="who" { "Signed in as " (user) }
                        nav aria-label="Account" {
                            a href="/sessions" { "Your sessions" }
                            (button("/sign-out", "Sign out", "Sign out"))
                        }
                    }
                    None => {
                        p id="who" { "You are not signed in." }
                        (sign_in_form("", None))
                    }
                }
            },
        )
    }
}

pub(crate) struct Sessions<'a> {
    pub(crate) user: &'a str,
    pub(crate) rows: Vec<SessionRow>,
    pub(crate) messages: Vec<String>,
}

pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) created: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) browser: String,
    pub(crate) is_current: bool,
}

impl SessionRow {
    fn name(&self) -> String {
        format!("{}{}", self.browser, if self.is_current { " (this one)" } else { "" })
    }
}

impl Sessions<'_> {
    pub(crate) fn draw(&self) -> Markup {
        layout(
            "Your sessions",
            &self.messages,
            html! {
                p { "Where " (self.user) " is signed in. End what you do not recognise." }
                ul.sessions {
                    @for row in &self.rows {
                        li {
                            div {
                                strong { (row.name()) }
                                dl {
                                    dt { "Created" } dd { (date(row.created)) }
                                    dt { "Last seen" } dd { (ago(row.last_seen)) }
                                }
                            }
                            (button(
                                &format!("/sessions/{}/sign-out", row.id),
                                "Sign out",
                                &format!("Sign out {}, created {}", row.name(), date(row.created)),
                            ))
                        }
                    }
                }
                nav aria-label="Account" {
                    a href="/" { "Home" }
                    (button("/sessions/sign-out-others", "Sign out the others", "Sign out the others: end every session but this one"))
                }
            },
        )
    }
}

pub(crate) fn sign_in_refused(username: &str) -> Markup {
    layout("Sign in", &[], sign_in_form(username, Some("That name and password do not belong together.")))
}

/// A page with one message and a way on.
pub(crate) fn message(title: &str, text: &str, way_on: WayOn) -> Markup {
    layout(
        title,
        &[],
        html! {
            p { (text) }
            nav aria-label="Way on" {
                @match way_on {
                    WayOn::Link { to, text } => a href=(to) { (text) },
                    WayOn::SignOut => {
                        (button("/sign-out", "Sign out", "Sign out"))
                        a href="/" { "Home" }
                    }
                }
            }
        },
    )
}

pub(crate) enum WayOn {
    Link {
        to: &'static str,
        text: &'static str,
    },
    /// The form again, which holds nothing.
    SignOut,
}

impl WayOn {
    pub(crate) const HOME: Self = Self::Link { to: "/", text: "Home" };
}

fn layout(title: &str, messages: &[String], content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    @for message in messages {
                        p.flash role="status" { (message) }
                    }
                    (content)
                }
            }
        }
    }
}

fn sign_in_form(username: &str, error: Option<&str>) -> Markup {
    html! {
        form method="post" action="/sign-in" {
            @if let Some(error) = error {
                p.error role="alert" { (error) }
            }
            label for="username" { "Name" }
            input id="username" name="username" value=(username) autocomplete="username" required;
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" required;
            button type="submit" { "Sign in" }
            p.hint { "Accounts to try: alice with the password wonderland, bob with builder." }
        }
    }
}

fn button(action: &str, text: &str, label: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            button type="submit" aria-label=(label) { (text) }
        }
    }
}

/// `22 Nov 2026 05:10:26 GMT`, which fits a small screen as it would not with the day of the week.
fn date(at: Timestamp) -> String {
    let date = httpdate::fmt_http_date(at.into());
    date.split_once(", ").map_or(date.as_str(), |(_, date)| date).to_owned()
}

fn ago(at: Timestamp) -> String {
    let elapsed = SystemTime::now().duration_since(at.into()).unwrap_or(Duration::ZERO).as_secs();
    let (count, unit) = match elapsed {
        0..60 => return "just now".to_owned(),
        60..3600 => (elapsed / 60, "minute"),
        3600..86_400 => (elapsed / 3600, "hour"),
        _ => (elapsed / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// A browser by the name that people know it by.
pub(crate) fn browser_name(user_agent: Option<&str>) -> &'static str {
    let Some(agent) = user_agent else { return "unknown" };
    // Most claim to be several: the most specific first.
    [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]
    .into_iter()
    .find_map(|(mark, name)| agent.contains(mark).then_some(name))
    .unwrap_or("another browser")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let page = Home { user: Some("<b>".into()), views: 1, messages: vec!["<script>".into()] };
        let text = page.draw().into_string();
        assert!(text.contains("Signed in as &lt;b&gt;") && !text.contains("<script>"));
    }

    #[test]
    fn times_are_told_in_words() {
        let before = |seconds| ago((SystemTime::now() - Duration::from_secs(seconds)).into());
        assert_eq!(before(5), "just now");
        assert_eq!(before(61), "1 minute ago");
        assert_eq!(before(2 * 86_400), "2 days ago");
    }
}
