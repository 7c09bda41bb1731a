//! Speaking to a server: is it there, and a way in. Not the dashboard's requests, which the window
//! makes itself.

use crate::place;
use serde::Deserialize;
use std::{fs, io, net::SocketAddr, path::Path, time::Duration};
use tauri::webview::Cookie;
use ureq::{
    Agent,
    http::{Response, header},
    tls::{RootCerts, TlsConfig},
};
use url::Url;

/// How long a server may take to answer what needs no work: many times what it takes, and short
/// enough that a person does not wonder.
const ANSWER_MS: u64 = 3_000;
/// The sign-in of the dashboard (`docs/http-api.md` §1).
const SESSION: &str = "toft_session";
/// The right to see a preview (`docs/http-api.md` §4).
const PREVIEW: &str = "toft_preview";
/// What a server is led to at most: from http to https, and no further.
const REDIRECTS_MAX: usize = 2;

/// Why there is no way in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("no server runs on the data folder {0}")]
    NoneRuns(String),
    #[error("{path} cannot be read: {source}")]
    Announcement { path: String, source: io::Error },
    #[error("{path} is no announcement of a server: {source}")]
    Damaged { path: String, source: serde_json::Error },
    #[error("{url} does not answer: {source}")]
    Silent { url: Url, source: Box<ureq::Error> },
    #[error("{0} answers, but it is no Toft server")]
    Stranger(Url),
    #[error("the server made no sign-in link: it answered {0}")]
    NoLink(u16),
    #[error("the server did not take its own sign-in link")]
    NotSignedIn,
}

/// `<data>/run/server.json`: written by the server, readable by its owner only.
#[derive(Deserialize)]
pub(crate) struct Announcement {
    addr: SocketAddr,
    token: String,
}

/// The server that announced itself in a data folder. It may be gone.
pub(crate) fn announced(data: &Path) -> Result<Announcement, ServerError> {
    let path = data.join("run/server.json");
    let shown = path.display().to_string();
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|source| ServerError::Damaged { path: shown, source }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(ServerError::NoneRuns(data.display().to_string()))
        }
        Err(source) => Err(ServerError::Announcement { path: shown, source }),
    }
}

impl Announcement {
    /// Where it can be spoken to.
    pub(crate) fn url(&self) -> Url {
        let text = format!("http://{}/", self.addr);
        Url::parse(&text).expect("an address and a port make a URL")
    }
}

/// What speaks HTTP, for the shell.
pub(crate) struct Web {
    near: Agent,
    far: Agent,
}

impl Web {
    pub(crate) fn new() -> Self {
        let config = || {
            Agent::config_builder()
                .timeout_global(Some(Duration::from_millis(ANSWER_MS)))
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .user_agent("Toft desktop")
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        };
        // No proxy stands between this computer and itself.
        Self { near: config().proxy(None).build().into(), far: config().build().into() }
    }

    fn agent(&self, url: &Url) -> &Agent {
        if place::is_this_computer(url) { &self.near } else { &self.far }
    }

    /// Whether a Toft server answers there; returns where it is really at home, which is elsewhere
    /// when it leads from http to https.
    pub(crate) fn home(&self, at: &Url) -> Result<Url, ServerError> {
        let mut home = at.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.agent(&home).get(below(&home, "/health").as_str()).call();
            let mut answer = answer
                .map_err(|e| ServerError::Silent { url: home.clone(), source: Box::new(e) })?;
            if let Some(next) = led_to(&home, &answer) {
                home = next;
                continue;
            }
            let health: serde_json::Value =
                answer.body_mut().read_json().map_err(|_| ServerError::Stranger(home.clone()))?;
            return match health["status"].as_str() {
                Some("ok") => Ok(home),
                Some(_) | None => Err(ServerError::Stranger(home)),
            };
        }
        Err(ServerError::Stranger(home))
    }

    /// Asks for a one-time sign-in link. It is worth as much as a password while it lives: never
    /// shown, never logged, never put into a window.
    pub(crate) fn link(&self, server: &Announcement) -> Result<Url, ServerError> {
        let url = server.url();
        let answer = self
            .agent(&url)
            .post(below(&url, "/v1/sign-in-links").as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
            .send_json(serde_json::json!({}));
        let mut answer = answer.map_err(|e| ServerError::Silent { url, source: Box::new(e) })?;
        let status = answer.status().as_u16();
        let body: serde_json::Value =
            answer.body_mut().read_json().map_err(|_| ServerError::NoLink(status))?;
        let link = body["data"]["url"].as_str().and_then(|text| Url::parse(text).ok());
        link.ok_or(ServerError::NoLink(status))
    }

    /// Turns a sign-in link into the cookie that it is for.
    pub(crate) fn sign_in(&self, link: &Url) -> Result<Cookie<'static>, ServerError> {
        let answer = self.agent(link).get(link.as_str()).call().map_err(|e| {
            let url = below(link, "/");
            ServerError::Silent { url, source: Box::new(e) }
        })?;
        cookie(&answer, SESSION, link).ok_or(ServerError::NotSignedIn)
    }

    /// Whether one of these cookies still is a sign-in.
    pub(crate) fn is_signed_in(&self, home: &Url, cookies: &[Cookie<'_>]) -> bool {
        cookies.iter().filter(|c| c.name() == SESSION).any(|c| {
            let url = below(home, "/v1/me");
            let pair = format!("{SESSION}={}", c.value());
            let answer = self.agent(home).get(url.as_str()).header(header::COOKIE, pair).call();
            answer.is_ok_and(|a| a.status().is_success())
        })
    }

    /// Goes through a signed entry in the window's place and brings back the cookie.
    ///
    /// The engine of the window takes no `Secure` cookie from an address without TLS, not even of
    /// this computer, and no cookie at all from a frame of another site. So the shell asks, and puts
    /// the cookie there itself. `None` leaves the window to ask again and to show what it is told.
    pub(crate) fn enter(&self, entry: &Url, home: &Url) -> Option<Cookie<'static>> {
        // `*.localhost` is this computer for browsers only; others go by the dashboard's address.
        let mut through = entry.clone();
        through.set_host(home.host_str()).ok()?;
        let host = format!("{}:{}", entry.host_str()?, entry.port_or_known_default()?);
        let answer = self.near.get(through.as_str()).header(header::HOST, host).call().ok()?;
        cookie(&answer, PREVIEW, entry)
    }
}

fn below(url: &Url, path: &str) -> Url {
    let mut out = url.clone();
    out.set_path(path);
    out.set_query(None);
    out.set_fragment(None);
    out
}

/// Where an answer leads, if it is the same host by TLS.
fn led_to<B>(from: &Url, answer: &Response<B>) -> Option<Url> {
    if !answer.status().is_redirection() {
        return None;
    }
    let to = from.join(answer.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    (to.scheme() == "https" && from.scheme() == "http" && to.host() == from.host())
        .then(|| below(&to, "/"))
}

/// The cookie of this name, made to fit the window's jar at this address.
fn cookie<B>(answer: &Response<B>, name: &str, at: &Url) -> Option<Cookie<'static>> {
    answer
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| Cookie::parse(value.to_str().ok()?.to_owned()).ok())
        .find(|cookie| cookie.name() == name && !cookie.value().is_empty())
        .and_then(|cookie| fitted(cookie, at))
}

/// Host-only, as the server meant it; `Secure` only where the address is.
fn fitted(mut cookie: Cookie<'static>, at: &Url) -> Option<Cookie<'static>> {
    cookie.set_domain(at.host_str()?.to_owned());
    if at.scheme() != "https" {
        cookie.set_secure(false);
    }
    Some(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let mut out = Response::builder().status(status);
        for (name, value) in headers {
            out = out.header(*name, *value);
        }
        out.body(()).unwrap()
    }

    #[test]
    fn the_cookie_of_a_preview_loses_what_the_engine_refuses_and_nothing_else() {
        let at = Url::parse("http://3000-k3v9q1mzt0ab.localhost:4000/.toft/enter?e=1").unwrap();
        let got = answer(
            303,
            &[
                ("set-cookie", "other=1"),
                (
                    "set-cookie",
                    "toft_preview=1.s.m; Path=/; Max-Age=60; HttpOnly; SameSite=None; Secure; \
                     Partitioned",
                ),
            ],
        );
        let cookie = cookie(&got, PREVIEW, &at).unwrap();
        assert_eq!(cookie.value(), "1.s.m");
        assert_eq!(cookie.domain(), Some("3000-k3v9q1mzt0ab.localhost"));
        assert_eq!((cookie.secure(), cookie.http_only()), (Some(false), Some(true)));
        assert_eq!(cookie.max_age().unwrap().whole_seconds(), 60);
    }

    #[test]
    fn a_cookie_that_is_taken_away_is_none() {
        let at = Url::parse("http://localhost:4000/").unwrap();
        assert!(cookie(&answer(303, &[("set-cookie", "toft_session=")]), SESSION, &at).is_none());
        assert!(cookie(&answer(303, &[]), SESSION, &at).is_none());
    }

    #[test]
    fn a_cookie_over_tls_stays_secure() {
        let at = Url::parse("https://toft.example.org/").unwrap();
        let got = answer(303, &[("set-cookie", "toft_session=a; Secure")]);
        assert_eq!(cookie(&got, SESSION, &at).unwrap().secure(), Some(true));
    }

    #[test]
    fn a_server_may_lead_to_itself_by_tls_and_nowhere_else() {
        let from = Url::parse("http://toft.example.org/").unwrap();
        let to = |target: &str| led_to(&from, &answer(301, &[("location", target)]));
        assert_eq!(to("https://toft.example.org/x").unwrap().as_str(), "https://toft.example.org/");
        assert!(to("https://evil.example/").is_none());
        assert!(to("/elsewhere").is_none());
    }

    #[test]
    fn a_missing_announcement_and_a_damaged_one_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(announced(dir.path()), Err(ServerError::NoneRuns(_))));
        fs::create_dir(dir.path().join("run")).unwrap();
        fs::write(dir.path().join("run/server.json"), "{}").unwrap();
        assert!(matches!(announced(dir.path()), Err(ServerError::Damaged { .. })));
        fs::write(
            dir.path().join("run/server.json"),
            r#"{"addr":"[::1]:4000","token":"t","pid":1}"#,
        )
        .unwrap();
        assert_eq!(announced(dir.path()).unwrap().url().as_str(), "http://[::1]:4000/");
    }
}
