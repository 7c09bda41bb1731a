//! Signed rights to see one preview host: short ones in URLs, longer ones in cookies. Each is bound
//! to the host label, its end, and the sign-in that made it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use zeroize::Zeroizing;

/// Stands where the id of a sign-in or key would stand, for a program with a key that does not end.
const PROGRAM: &str = "key";
/// Longest name of a right in a grant.
const SIGN_IN_CHARS_MAX: usize = 64;

/// A right to see something, with its proof. Worth nothing before it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Unix milliseconds.
    ends_at: u64,
    /// Name of the right, or [`PROGRAM`].
    pub(crate) sign_in: String,
    proof: Vec<u8>,
}

impl Grant {
    fn new(ends_at: &str, sign_in: &str, proof: &str) -> Option<Self> {
        let plain = (1..=SIGN_IN_CHARS_MAX).contains(&sign_in.len())
            && sign_in.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        Some(Self {
            ends_at: ends_at.parse().ok()?,
            sign_in: plain.then(|| sign_in.to_owned())?,
            proof: URL_SAFE_NO_PAD.decode(proof).ok()?,
        })
    }

    /// From `e=…&s=…&m=…`.
    pub(crate) fn from_query(query: &str) -> Option<Self> {
        let get =
            |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        Self::new(get("e")?, get("s")?, get("m")?)
    }

    /// From `end.sign-in.proof`.
    pub(crate) fn from_cookie(value: &str) -> Option<Self> {
        let mut parts = value.split('.');
        let grant = Self::new(parts.next()?, parts.next()?, parts.next()?)?;
        parts.next().is_none().then_some(grant)
    }

    /// The name of the right that it was made with; `None` for one that does not end.
    pub(crate) fn pass(&self) -> Option<&str> {
        (self.sign_in != PROGRAM).then_some(self.sign_in.as_str())
    }
}

/// Entries that were used and have not ended: one person opens a few in the minute that they last.
/// Beyond this none is taken until some have ended.
const USED_MAX: usize = 10_000;

/// Makes and checks grants.
pub(crate) struct Signer {
    key: Zeroizing<[u8; 32]>,
    /// Proofs of entries that were used, with their ends. In memory: a new server may see an entry
    /// twice in its minute.
    used: Mutex<HashMap<Vec<u8>, u64>>,
    /// End of the entry made last: no two are the same.
    last_end: AtomicU64,
}

impl Signer {
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key, used: Mutex::default(), last_end: AtomicU64::new(0) }
    }

    fn mac(&self, what: &str, label: &str, ends_at: u64, sign_in: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.as_ref()).expect("HMAC takes any key length");
        // No part can hold the separator.
        mac.update(format!("{what}\n{label}\n{ends_at}\n{sign_in}").as_bytes());
        mac
    }

    fn proof(&self, what: &str, label: &str, ends_at: u64, sign_in: &str) -> String {
        let mac = self.mac(what, label, ends_at, sign_in).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(mac)
    }

    fn holds(&self, what: &str, label: &str, grant: &Grant, now_ms: u64) -> bool {
        // Compared in constant time.
        self.mac(what, label, grant.ends_at, &grant.sign_in).verify_slice(&grant.proof).is_ok()
            && now_ms < grant.ends_at
    }

    /// Query of an entry URL that ends at about `ends_at`, unlike any other.
    pub(crate) fn entry_query(&self, label: &str, ends_at: u64, sign_in: Option<&str>) -> String {
        let sign_in = sign_in.unwrap_or(PROGRAM);
        let last = self.last_end.fetch_max(ends_at, Ordering::Relaxed);
        let ends_at = if last < ends_at {
            ends_at
        } else {
            self.last_end.fetch_add(1, Ordering::Relaxed) + 1
        };
        format!("e={ends_at}&s={sign_in}&m={}", self.proof("entry", label, ends_at, sign_in))
    }

    /// Value of a cookie.
    pub(crate) fn cookie(&self, label: &str, ends_at: u64, sign_in: &str) -> String {
        format!("{ends_at}.{sign_in}.{}", self.proof("cookie", label, ends_at, sign_in))
    }

    pub(crate) fn is_entry(&self, label: &str, grant: &Grant, now_ms: u64) -> bool {
        self.holds("entry", label, grant, now_ms)
    }

    /// Whether a valid entry is used for the first time. It gets into histories and logs, and is
    /// worth nothing there.
    pub(crate) fn use_once(&self, grant: &Grant, now_ms: u64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED_MAX {
            used.retain(|_, ends_at| now_ms < *ends_at);
        }
        used.len() < USED_MAX && used.insert(grant.proof.clone(), grant.ends_at).is_none()
    }

    pub(crate) fn is_cookie(&self, label: &str, grant: &Grant, now_ms: u64) -> bool {
        self.holds("cookie", label, grant, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer(byte: u8) -> Signer {
        Signer::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_grant_holds_for_its_host_until_its_end_and_for_nothing_else() {
        let s = signer(1);
        let query = s.entry_query("a23456789bcd", 100, Some("sid-1"));
        let grant = Grant::from_query(&query).unwrap();
        assert_eq!(grant.pass(), Some("sid-1"));
        assert!(s.is_entry("a23456789bcd", &grant, 99));
        assert!(!s.is_entry("a23456789bcd", &grant, 100), "it is over");
        assert!(!s.is_entry("3000-a23456789bcd", &grant, 99), "another port");
        assert!(!s.is_entry("b23456789bcd", &grant, 99), "another project");
        assert!(!s.is_cookie("a23456789bcd", &grant, 99), "a URL is no cookie");
        assert!(!signer(2).is_entry("a23456789bcd", &grant, 99), "another key");
        assert!(s.use_once(&grant, 99));
        assert!(!s.use_once(&grant, 99), "a second time");
        assert_ne!(s.entry_query("a23456789bcd", 100, Some("sid-1")), query);
        for changed in [query.replace("e=100", "e=999"), query.replace("sid-1", "sid-2")] {
            let grant = Grant::from_query(&changed).unwrap();
            assert!(!s.is_entry("a23456789bcd", &grant, 99), "{changed}");
        }
        let cookie = Grant::from_cookie(&s.cookie("a23456789bcd", 100, "key")).unwrap();
        assert_eq!(cookie.pass(), None);
        assert!(s.is_cookie("a23456789bcd", &cookie, 99));
    }

    proptest! {
        #[test]
        fn garbage_is_no_grant_and_no_panic(text in ".{0,100}") {
            let s = signer(1);
            if let Some(grant) = Grant::from_cookie(&text) {
                prop_assert!(!s.is_cookie("a23456789bcd", &grant, 0));
            }
            let _ = Grant::from_query(&text);
        }
    }
}
