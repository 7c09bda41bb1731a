//! Identifiers as types of their own. Not a home for database keys: those never leave `store`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Length of a project's public id; with 36 symbols that is 61 bits.
pub const PROJECT_ID_LEN: usize = 12;

/// An identifier that does not have the shape it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct InvalidId {
    /// Which kind of identifier was expected.
    pub what: &'static str,
    /// What was given.
    pub value: String,
    /// The shape that was expected, in words.
    pub rule: &'static str,
}

/// Public id of a project: `[a-z][a-z0-9]{11}`. It is also the project's host label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ProjectId(String);

impl ProjectId {
    /// A new random id.
    pub fn random() -> Self {
        let mut bytes = [0u8; PROJECT_ID_LEN];
        fill(&mut bytes);
        let mut text = String::with_capacity(PROJECT_ID_LEN);
        for (i, b) in bytes.iter().enumerate() {
            let alphabet: &[u8] = if i == 0 { &ALNUM[..26] } else { ALNUM };
            text.push(char::from(alphabet[usize::from(*b) % alphabet.len()]));
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const ALNUM: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

impl FromStr for ProjectId {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        let bytes = value.as_bytes();
        let ok = bytes.len() == PROJECT_ID_LEN
            && bytes[0].is_ascii_lowercase()
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if ok {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidId {
                what: "project id",
                value: value.chars().take(64).collect(),
                rule: "a lower-case letter followed by 11 lower-case letters or digits",
            })
        }
    }
}

impl<'de> Deserialize<'de> for ProjectId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of a conversation. A UUID (v7) for those that we make; any path-safe text for imported ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// A new id whose text sorts by the given time.
    pub fn at(unix_ms: u64) -> Self {
        Self(uuid_v7(unix_ms))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        if is_plain(value) {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidId {
                what: "session id",
                value: value.chars().take(64).collect(),
                rule: "1 to 80 letters, digits, `-` or `_`",
            })
        }
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of a run, the work that one prompt began: the entry of that prompt in its conversation, unique
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = InvalidId;
    fn from_str(value: &str) -> Result<Self, InvalidId> {
        if is_plain(value) {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidId {
                what: "run id",
                value: value.chars().take(64).collect(),
                rule: "1 to 80 letters, digits, `-` or `_`",
            })
        }
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fit for file names, headers and URLs.
fn is_plain(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A UUID of version 7 (RFC 9562): 48 bits of milliseconds, the rest random.
pub fn uuid_v7(unix_ms: u64) -> String {
    let mut b = [0u8; 16];
    fill(&mut b);
    b[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    b[6] = (b[6] & 0x0f) | 0x70;
    b[8] = (b[8] & 0x3f) | 0x80;
    let h = hex(&b);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

/// `bytes` random bytes as lower-case hex, from the operating system's source.
pub fn random_hex(bytes: usize) -> String {
    let mut buf = vec![0u8; bytes];
    fill(&mut buf);
    hex(&buf)
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn fill(buf: &mut [u8]) {
    getrandom::fill(buf).expect("the operating system's random source answers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_project_ids_have_the_public_shape() {
        for _ in 0..1_000 {
            let id = ProjectId::random();
            assert_eq!(id.as_str().parse::<ProjectId>(), Ok(id));
        }
    }

    #[test]
    fn an_id_that_could_leave_its_folder_is_refused() {
        for bad in ["", "../../../etc", "a/23456789bc", "A23456789bcd", "123456789bcd"] {
            assert!(bad.parse::<ProjectId>().is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b", "a.b", "a\0b"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn session_ids_sort_by_time() {
        assert!(SessionId::at(1) < SessionId::at(2));
        assert!(SessionId::at(0xffff) < SessionId::at(0x1_0000));
    }
}
