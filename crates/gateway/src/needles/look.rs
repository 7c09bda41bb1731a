//! One answer as it is looked through: what is looked for, and who is told that it was found.

use super::{Found, Needles};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

/// Is told which of the values was taken out of an answer, each time.
pub(crate) type Told = Arc<dyn Fn(usize) + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub(crate) struct Look {
    needles: Arc<Needles>,
    told: Told,
}

impl Look {
    pub(crate) fn new(needles: Arc<Needles>, told: Told) -> Self {
        Self { needles, told }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// The value that begins first. It counts as found once it is taken.
    pub(super) fn first(&self, bytes: &[u8]) -> Option<Found<'_>> {
        self.needles.first(bytes)
    }

    /// How many bytes at the end may be the beginning of a value.
    pub(super) fn open_end(&self, bytes: &[u8]) -> usize {
        self.needles.open_end(bytes)
    }

    /// Takes what was found: what is shown in its place, as long as it if lengths are kept.
    pub(super) fn take(&self, found: &Found<'_>, keeps_length: bool, out: &mut Vec<u8>) {
        (self.told)(found.of);
        if keeps_length {
            let stars = std::iter::repeat(b'*');
            out.extend(found.shown.iter().copied().chain(stars).take(found.at.len()));
        } else {
            out.extend_from_slice(found.shown);
        }
    }

    /// Takes values out of headers; those that are named after one go.
    pub(crate) fn clear_headers(&self, headers: &mut HeaderMap) {
        let is_one = |name: &&HeaderName| self.replaced(name.as_str().as_bytes(), false).is_some();
        let named: Vec<HeaderName> = headers.keys().filter(is_one).cloned().collect();
        for name in named {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if let Some(replaced) = self.replaced(value.as_bytes(), false) {
                *value = HeaderValue::from_bytes(&replaced)
                    .unwrap_or_else(|_| HeaderValue::from_static("taken-out"));
            }
        }
    }

    /// The whole of something without values; none when it has none.
    pub(crate) fn replaced(&self, bytes: &[u8], keeps_length: bool) -> Option<Vec<u8>> {
        self.needles.first_of_end(bytes)?;
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(found) = self.needles.first_of_end(rest) {
            out.extend_from_slice(&rest[..found.at.start]);
            self.take(&found, keeps_length, &mut out);
            rest = &rest[found.at.end..];
        }
        out.extend_from_slice(rest);
        Some(out)
    }
}

#[cfg(any(test, fuzzing))]
impl Look {
    /// For these values, all shown as one; nobody is told.
    pub(crate) fn silent(values: &[&str], shown: &str) -> Self {
        let needles = Needles::new(values.iter().map(|value| (*value, shown)));
        Self::new(Arc::new(needles), Arc::new(|_| {}))
    }
}
