//! Reading and writing our own cookies. Other programs' cookies pass through elsewhere.

use axum::http::{HeaderMap, HeaderValue, header};

/// The sign-in of the control plane.
pub(crate) const SESSION: &str = "toft_session";
/// The right to see one preview.
pub(crate) const PREVIEW: &str = "toft_preview";
/// Names that begin so are ours: an app neither gets nor sets them.
pub(crate) const OURS: &str = "toft_";
/// Prefixes of a path at which a tossed cookie is removed: no path of ours has more parts.
const PREFIXES_MAX: usize = 8;

/// Values of the cookies with this name, in the order sent. Pages on other ports of this host can
/// toss more of them in: whoever looks at each decides how many.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// `Set-Cookie` for a sign-in; `max_age_s` 0 removes it.
pub(crate) fn session(token: &str, max_age_s: u64, tls: bool) -> HeaderValue {
    let secure = if tls { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{SESSION}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"
    ))
    .expect("tokens are hexadecimal")
}

/// `Set-Cookie` for a preview: it must work in a frame on another site, and only there.
pub(crate) fn preview(value: &str, max_age_s: u64) -> HeaderValue {
    HeaderValue::from_str(&format!(
        "{PREVIEW}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=None; Secure; \
         Partitioned"
    ))
    .expect("signed values are plain text")
}

/// `Set-Cookie` for a preview with a port of its own, `name` with that port in it. Over plain HTTP
/// no browser takes `Secure`; the dashboard's frame is of the same site there.
pub(crate) fn preview_at_port(name: &str, value: &str, max_age_s: u64) -> HeaderValue {
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax"
    ))
    .expect("signed values are plain text")
}

/// `Set-Cookie`s that remove what was tossed in beside our own sign-in, which is at `/`: cookies of
/// the same name for a part of our paths.
pub(crate) fn remove_tossed(path: &str) -> impl Iterator<Item = HeaderValue> {
    let ends = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
    let ends: Vec<usize> = ends.chain([path.len()]).take(PREFIXES_MAX).collect();
    let both =
        ends.into_iter().flat_map(|end| [path[..end].to_owned(), path[..end].to_owned() + "/"]);
    let below: Vec<String> =
        both.filter(|p| !p.trim_matches('/').is_empty() && !p.contains(';')).collect();
    below
        .into_iter()
        .filter_map(|p| HeaderValue::from_str(&format!("{SESSION}=; Path={p}; Max-Age=0")).ok())
}

/// Takes our cookies out of a request, for a program that must not see them.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let kept: Vec<HeaderValue> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| {
            // A value that is not text cannot be taken apart, so it does not pass.
            let text = value.to_str().ok()?;
            let kept: Vec<&str> =
                text.split(';').map(str::trim).filter(|p| !p.is_empty() && !is_ours(p)).collect();
            (!kept.is_empty()).then(|| HeaderValue::from_str(&kept.join("; ")).ok())?
        })
        .collect();
    headers.remove(header::COOKIE);
    for value in kept {
        headers.append(header::COOKIE, value);
    }
}

/// Takes out of an answer what an app must not set: our names, and cookies that reach beyond its
/// own host.
pub(crate) fn strip_set(headers: &mut HeaderMap, host: &str) {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let kept: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|value| {
            let Ok(text) = value.to_str() else { return false };
            let mut parts = text.split(';').map(str::trim);
            let ours = parts.next().is_none_or(is_ours);
            let beyond = parts.any(|p| match p.split_once('=') {
                Some((name, domain)) if name.trim().eq_ignore_ascii_case("domain") => {
                    !domain.trim().trim_start_matches('.').eq_ignore_ascii_case(host)
                }
                _ => false,
            });
            !ours && !beyond
        })
        .cloned()
        .collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

fn is_ours(pair: &str) -> bool {
    // Some programs join cookies by commas, and a cookie without a name is sent as its value alone.
    pair.split(',').any(|part| {
        let name = part.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
        // Browsers let `__Host-` and `__Secure-` names through as they are; ours never carry them.
        name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut out = HeaderMap::new();
        for value in values {
            out.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        out
    }

    #[test]
    fn our_cookies_are_taken_out_and_all_others_stay() {
        for (cookies, want) in [
            (vec!["a=1; toft_session=x; b=2"], vec!["a=1; b=2"]),
            (vec!["toft_preview=x"], vec![]),
            (vec!["TOFT_session=x;c=3"], vec!["c=3"]),
            (vec!["a=toft_session=1"], vec!["a=toft_session=1"]),
            (vec!["a=1", "toft_x=2; d=4"], vec!["a=1", "d=4"]),
            (vec![" toft_session = x ; e=5"], vec!["e=5"]),
            (vec!["a=1, toft_session=x; f=6,7"], vec!["f=6,7"]),
            (vec!["=toft_session=x; g=7"], vec!["g=7"]),
        ] {
            let mut headers = headers(&header::COOKIE, &cookies);
            strip(&mut headers);
            let got: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
            assert_eq!(got, want, "{cookies:?}");
        }
    }

    #[test]
    fn an_app_sets_cookies_for_its_own_host_only() {
        let host = "a23456789bcd.localhost:4000";
        for (cookie, stays) in [
            ("id=1; Path=/", true),
            ("id=1; Domain=a23456789bcd.localhost", true),
            ("id=1; Domain=.a23456789bcd.LOCALHOST", true),
            ("id=1; domain = localhost", false),
            ("id=1; Domain=other.localhost", false),
            ("toft_session=evil; Path=/", false),
            ("toft_preview=evil", false),
            ("=toft_preview=evil", false),
            (" ToFt_x=evil", false),
        ] {
            let mut headers = headers(&header::SET_COOKIE, &[cookie]);
            strip_set(&mut headers, host);
            assert_eq!(headers.contains_key(header::SET_COOKIE), stays, "{cookie}");
        }
    }

    #[test]
    fn a_tossed_cookie_is_removed_wherever_it_may_be_and_ours_stays() {
        let removed = |path| -> Vec<String> {
            remove_tossed(path).map(|v| v.to_str().unwrap().to_owned()).collect()
        };
        let at = |p: &str| format!("toft_session=; Path={p}; Max-Age=0");
        assert_eq!(removed("/v1/me"), [at("/v1"), at("/v1/"), at("/v1/me"), at("/v1/me/")]);
        assert_eq!(removed("/"), Vec::<String>::new());
        assert_eq!(removed("/a;b/c"), Vec::<String>::new());
        assert!(removed(&"/x".repeat(1000)).len() <= 2 * PREFIXES_MAX);
    }

    #[test]
    fn a_tossed_cookie_does_not_hide_the_real_one() {
        let headers = headers(&header::COOKIE, &["toft_session=evil; x=1; toft_session=real"]);
        assert_eq!(values(&headers, SESSION).collect::<Vec<_>>(), ["evil", "real"]);
    }
}
