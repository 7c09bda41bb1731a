//! The cookie jar that previews by port share, because cookies know no ports. What an app keeps out
//! of the reach of scripts (`HttpOnly`: sign-ins, as a rule) carries its port in the browser, and
//! reaches that app alone. Cookies that scripts may read they read on every port: nothing here can
//! help that, and `--preview-domain` does.

use crate::auth::cookie;
use axum::http::{HeaderMap, HeaderValue, header};
use std::collections::HashSet;

/// Names of apps' cookies in the browser. Begins like ours, so [`cookie::strip`] takes all that are
/// left and no app sets them itself.
fn prefix(port: u16) -> String {
    format!("{}app_{port}_", cookie::OURS)
}

/// Gives this app's own cookies their names back. One that a script tossed in under such a name goes:
/// a browser would not have let it. Answers the names.
pub(crate) fn unpack(headers: &mut HeaderMap, port: u16) -> HashSet<String> {
    let prefix = prefix(port);
    let pairs: Vec<String> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(|pair| pair.trim().to_owned())
        .filter(|pair| !pair.is_empty())
        .collect();
    let name_of = |pair: &str| pair.split_once('=').map_or("", |(name, _)| name).trim().to_owned();
    let own: Vec<&str> = pairs.iter().filter_map(|pair| pair.strip_prefix(&prefix)).collect();
    let names: HashSet<String> = own.iter().map(|pair| name_of(pair)).collect();
    let others = pairs
        .iter()
        .map(String::as_str)
        .filter(|pair| !pair.starts_with(&prefix) && !names.contains(&name_of(pair)));
    let joined = own.iter().copied().chain(others).collect::<Vec<_>>().join("; ");
    headers.remove(header::COOKIE);
    if !joined.is_empty()
        && let Ok(value) = HeaderValue::from_str(&joined)
    {
        headers.insert(header::COOKIE, value);
    }
    names
}

/// Marks what the app sets out of the reach of scripts as its own. `names` are those that it had: one
/// that it now sets within their reach replaces the other, as in a browser.
pub(crate) fn pack(headers: &mut HeaderMap, port: u16, names: &HashSet<String>) {
    let prefix = prefix(port);
    let set: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in set {
        let Ok(text) = value.to_str() else { continue };
        let mut parts = text.split(';').map(str::trim);
        let pair = parts.next().unwrap_or_default();
        let attributes: Vec<&str> = parts.collect();
        let hidden = attributes.iter().any(|a| a.eq_ignore_ascii_case("httponly"));
        let (name, _) = pair.split_once('=').unwrap_or(("", pair));
        let kept = if hidden && !name.trim().is_empty() {
            HeaderValue::from_str(&format!("{prefix}{}", text.trim_start())).ok()
        } else {
            if names.contains(name.trim()) {
                let path = attributes
                    .iter()
                    .find(|a| a.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("path=")));
                let path = path.map_or(String::new(), |p| format!("; {p}"));
                let gone = format!("{prefix}{}=; Max-Age=0{path}", name.trim());
                if let Ok(gone) = HeaderValue::from_str(&gone) {
                    headers.append(header::SET_COOKIE, gone);
                }
            }
            Some(value)
        };
        if let Some(value) = kept {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(text: &str) -> (Vec<String>, Vec<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, text.parse().unwrap());
        let mut names: Vec<String> = unpack(&mut headers, 4101).into_iter().collect();
        names.sort();
        cookie::strip(&mut headers);
        let left = headers.get_all(header::COOKIE).iter();
        (left.map(|v| v.to_str().unwrap().to_owned()).collect(), names)
    }

    #[test]
    fn an_app_gets_its_own_hidden_cookies_and_no_others() {
        let (left, names) = cookies(
            "theme=dark; sid=tossed; toft_app_4101_sid=mine; toft_app_4102_sid=other; \
             toft_session=x; toft_preview_4101=y; toft_app_4101_toft_session=evil",
        );
        assert_eq!(left, ["sid=mine; theme=dark"]);
        assert_eq!(names, ["sid", "toft_session"]);
        assert_eq!(cookies("toft_app_4102_a=1"), (vec![], vec![]));
        assert_eq!(cookies("a=1"), (vec!["a=1".to_owned()], vec![]));
    }

    #[test]
    fn only_what_scripts_cannot_read_is_marked() {
        let mut headers = HeaderMap::new();
        for cookie in [
            "sid=1; Path=/; HttpOnly",
            "theme=dark; Path=/",
            "old=; path=/x; Max-Age=0",
            "=v; httponly",
        ] {
            headers.append(header::SET_COOKIE, cookie.parse().unwrap());
        }
        pack(&mut headers, 4101, &HashSet::from(["old".to_owned()]));
        let got: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(
            got,
            [
                "toft_app_4101_sid=1; Path=/; HttpOnly",
                "theme=dark; Path=/",
                "toft_app_4101_old=; Max-Age=0; path=/x",
                "old=; path=/x; Max-Age=0",
                "=v; httponly",
            ]
        );
    }
}
