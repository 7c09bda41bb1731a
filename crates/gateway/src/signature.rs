//! Amazon's signatures (Signature Version 4): a request is signed with the key of an account, which never
//! leaves with it. Signed are the method, the path, the query, the host, the type of the body, the body
//! itself and the time; a copy of the request is good for minutes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, InvalidHeaderValue},
};
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use time::OffsetDateTime;
use toft_model::id::hex;
use toft_vault::Secret;
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SESSION: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Headers with it are Amazon's: each of a request has to be signed.
const AMAZON: &str = "x-amz-";

/// The key of an account, for one service in one region.
pub(crate) struct AccountKey {
    access: String,
    secret: Secret,
    /// Goes with keys that last for hours.
    session: Option<Secret>,
    pub(crate) service: &'static str,
    pub(crate) region: String,
}

impl AccountKey {
    /// Of `ACCESS:SECRET` or `ACCESS:SECRET:SESSION`, none of which has a `:` in it, and a region as there are
    /// any: letters, digits and `-`.
    pub(crate) fn parse(text: &str, service: &'static str, region: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (access, secret, session) = (parts.next()?, parts.next()?, parts.next());
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let fits = plain(access)
            && access.bytes().all(|b| b.is_ascii_alphanumeric())
            && plain(secret)
            && session.is_none_or(plain)
            && parts.next().is_none()
            && is_region(region);
        fits.then(|| Self {
            access: access.to_owned(),
            secret: Secret::new(secret),
            session: session.map(Secret::new),
            service,
            region: region.to_owned(),
        })
    }

    /// What of it nobody may see.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let secrets = [Some(&self.secret), self.session.as_ref()].into_iter().flatten();
        secrets.map(Secret::expose).chain([self.access.as_str()])
    }

    /// Signs a request as it goes out; `body` is all of it.
    pub(crate) fn sign(
        &self,
        request: &mut reqwest::Request,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), InvalidHeaderValue> {
        let (method, url) = (request.method().clone(), request.url().clone());
        let headers = request.headers_mut();
        // Whoever asks us signs nothing here.
        let theirs: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with(AMAZON)).cloned().collect();
        for name in theirs {
            headers.remove(name);
        }
        let stamp = stamp(now);
        headers.insert(DATE, HeaderValue::from_str(&stamp)?);
        if let Some(session) = &self.session {
            let mut session = HeaderValue::from_str(session.expose())?;
            session.set_sensitive(true);
            headers.insert(SESSION, session);
        }
        let authorization = self.authorization(method.as_str(), &url, headers, body, &stamp);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&authorization)?);
        Ok(())
    }

    /// The header that shows the signature. `stamp`: that of the header with the time.
    pub(crate) fn authorization(
        &self,
        method: &str,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
        stamp: &str,
    ) -> String {
        let mut signed: Vec<(&str, String)> = headers
            .iter()
            .filter(|(name, _)| *name == header::CONTENT_TYPE || name.as_str().starts_with(AMAZON))
            .map(|(name, value)| (name.as_str(), one_line(value)))
            .chain([("host", host(url))])
            .collect();
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: Vec<String> =
            signed.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let lines = lines.join("\n");
        let canonical = format!(
            "{method}\n{}\n{}\n{lines}\n\n{names}\n{}",
            path(url.path()),
            query(url.query().unwrap_or_default()),
            hex(&Sha256::digest(body))
        );
        let day = &stamp[..8];
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let first = Zeroizing::new(format!("AWS4{}", self.secret.expose()));
        let key = [day, &self.region, self.service, "aws4_request"]
            .iter()
            .fold(Zeroizing::new(first.as_bytes().to_vec()), |key, part| mac(&key, part));
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.access,
            hex(&mac(&key, &text))
        )
    }
}

/// Whether it can be the name of a region.
pub(crate) fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn mac(key: &[u8], text: &str) -> Zeroizing<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// `20150830T123600Z`.
fn stamp(now: OffsetDateTime) -> String {
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month))
}

/// As the client sends it.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Each part written as in an address once more, one slash where there are several.
fn path(sent: &str) -> String {
    let parts: Vec<String> = sent.split('/').filter(|part| !part.is_empty()).map(escaped).collect();
    let end = if sent.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

/// As it is sent, in the order of its bytes.
fn query(sent: &str) -> String {
    let pairs = sent.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(&str, &str)> =
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Without spaces at its ends, and with one where there are several.
fn one_line(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of Amazon's published test vectors.
    const KEY: &str = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SESSION: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signed(
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> String {
        let key = AccountKey::parse(key, "service", "us-east-1").unwrap();
        let url = format!("https://example.amazonaws.com{path}").parse().unwrap();
        let mut request = reqwest::Request::new(method.parse().unwrap(), url);
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        // 2015-08-30 12:36:00.
        let now = OffsetDateTime::from_unix_timestamp(1_440_938_160).unwrap();
        key.sign(&mut request, body.as_bytes(), now).unwrap();
        assert_eq!(request.headers()[DATE], "20150830T123600Z");
        let authorization = request.headers()[header::AUTHORIZATION].to_str().unwrap();
        let head = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=";
        authorization.strip_prefix(head).unwrap().replace(", Signature=", " ")
    }

    #[test]
    fn amazons_published_vectors_come_out() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let theirs = [("x-amz-date", "19990101T000000Z"), ("x-amz-other", "x"), ("accept", "y")];
        for (method, path, headers, body, want) in [
            (
                "GET",
                "/",
                &[][..],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            // What a program has signed itself is not sent on.
            (
                "GET",
                "/",
                &theirs,
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "/",
                &[],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                &[],
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "GET",
                "//example//",
                &[],
                "",
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
        ] {
            assert_eq!(
                signed(KEY, method, path, headers, body),
                format!("host;x-amz-date {want}"),
                "{path}"
            );
        }
        assert_eq!(
            signed(KEY, "POST", "/", &form, "Param1=value1"),
            "content-type;host;x-amz-date ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
        assert_eq!(
            signed(&format!("{KEY}:{SESSION}"), "POST", "/", &[], ""),
            "host;x-amz-date;x-amz-security-token 85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
    }

    #[test]
    fn what_is_escaped_in_a_path_is_escaped_once_more() {
        for (sent, want) in [
            ("", "/"),
            ("/", "/"),
            ("/model/a.b-v1:0/converse", "/model/a.b-v1%3A0/converse"),
            ("/model/a.b-v1%3A0/converse", "/model/a.b-v1%253A0/converse"),
            ("/a//b/", "/a/b/"),
        ] {
            assert_eq!(path(sent), want);
        }
    }

    #[test]
    fn a_key_is_of_two_or_three_parts() {
        let parse = |text: &str| AccountKey::parse(text, "bedrock", "eu-west-1");
        let parts =
            |text: &str| parse(text).map(|key| key.parts().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parts("A:b").unwrap(), ["b", "A"]);
        assert_eq!(parts("A:b:c").unwrap(), ["b", "c", "A"]);
        for bad in ["", "A", "A:", ":b", "A:b:", "A:b:c:d", "A b:c", "A:b c", "A/x:b"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        // What cannot stand in a signature is no region.
        for bad in ["", "eu west", "eu-wést-1", "eu\n", "a/b"] {
            assert!(AccountKey::parse("A:b", "bedrock", bad).is_none(), "{bad:?}");
        }
    }
}
