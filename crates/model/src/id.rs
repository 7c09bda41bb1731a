//! Identifiers as types of their own. Not a home for database keys: those never leave `store`.

use crate::hash::fnv1a;

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

/// What the text of an identifier must look like.
pub(crate) struct Shape {
    rule: &'static str,
    /// The same, for JSON Schema.
    pub(crate) pattern: &'static str,
    fits: fn(&str) -> bool,
}

/// Ids that we make up for what people make: short, and fit for a host label.
pub(crate) const PUBLIC: Shape = Shape {
    rule: "a lower-case letter followed by 11 lower-case letters or digits",
    pattern: "^[a-z][a-z0-9]{11}$",
    fits: |text| {
        text.len() == PROJECT_ID_LEN
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    },
};

/// Ids that may come from elsewhere: fit for file names, headers and URLs.
pub(crate) const PLAIN: Shape = Shape {
    rule: "1 to 80 letters, digits, `-` or `_`",
    pattern: "^[A-Za-z0-9_-]{1,80}$",
    fits: |text| {
        (1..=80).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    },
};

impl Shape {
    pub(crate) fn check(&self, what: &'static str, value: &str) -> Result<(), InvalidId> {
        if (self.fits)(value) {
            return Ok(());
        }
        Err(InvalidId { what, value: value.chars().take(64).collect(), rule: self.rule })
    }
}

/// An identifier: text of one [`Shape`], checked whenever it comes in, from JSON too.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $shape:expr) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::id::InvalidId;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                $shape.check($what, &value).map(|()| Self(value))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::id::InvalidId;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                value.to_owned().try_into()
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $shape.pattern})
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
    ($(#[$doc:meta])* random $name:ident, $what:literal) => {
        $crate::id::id_type! { $(#[$doc])* $name, $what, $crate::id::PUBLIC }

        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self($crate::id::random_public())
            }
        }
    };
}
pub(crate) use id_type;

id_type! {
    /// Public id of a project: `[a-z][a-z0-9]{11}`. It is also the project's host label.
    random ProjectId, "project id"
}

id_type! {
    /// Id of a conversation. A UUID (v7) for those that we make; any path-safe text for imported ones.
    SessionId, "session id", PLAIN
}

impl SessionId {
    /// A new id whose text sorts by the given time.
    pub fn at(unix_ms: u64) -> Self {
        Self(uuid_v7(unix_ms))
    }

    /// The id that belongs to a text: the same for the same text.
    pub fn of(text: &str) -> Self {
        let halves = [format!("1{text}"), format!("2{text}")]
            .map(|half| fnv1a(half.as_bytes()).to_be_bytes());
        let mut b = [0u8; 16];
        b[..8].copy_from_slice(&halves[0]);
        b[8..].copy_from_slice(&halves[1]);
        // Version 8 of RFC 9562: made by a rule of our own.
        b[6] = (b[6] & 0x0f) | 0x80;
        b[8] = (b[8] & 0x3f) | 0x80;
        Self(uuid(&b))
    }
}

id_type! {
    /// Id of a run, the work that one prompt began: the entry of that prompt in its conversation, unique
    /// there.
    RunId, "run id", PLAIN
}

const ALNUM: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Random text in the shape [`PUBLIC`].
pub(crate) fn random_public() -> String {
    let mut bytes = [0u8; PROJECT_ID_LEN];
    fill(&mut bytes);
    let mut text = String::with_capacity(PROJECT_ID_LEN);
    for (i, b) in bytes.iter().enumerate() {
        let alphabet: &[u8] = if i == 0 { &ALNUM[..26] } else { ALNUM };
        text.push(char::from(alphabet[usize::from(*b) % alphabet.len()]));
    }
    text
}

/// A UUID of version 7 (RFC 9562): 48 bits of milliseconds, the rest random.
pub fn uuid_v7(unix_ms: u64) -> String {
    let mut b = [0u8; 16];
    fill(&mut b);
    b[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    b[6] = (b[6] & 0x0f) | 0x70;
    b[8] = (b[8] & 0x3f) | 0x80;
    uuid(&b)
}

fn uuid(bytes: &[u8; 16]) -> String {
    let h = hex(bytes);
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
    use std::fmt::Write as _;
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
    fn what_comes_in_as_json_is_checked_too() {
        let id: ProjectId = serde_json::from_str("\"a23456789bcd\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"a23456789bcd\"");
        let refused = serde_json::from_str::<ProjectId>("\"../etc\"").unwrap_err().to_string();
        assert!(
            refused.contains("\"../etc\" is not a valid project id: a lower-case"),
            "{refused}"
        );
        let keyed: std::collections::BTreeMap<RunId, u8> =
            serde_json::from_str("{\"r-1\": 1}").unwrap();
        assert_eq!(serde_json::to_string(&keyed).unwrap(), "{\"r-1\":1}");
        assert!(serde_json::from_str::<RunId>("\"a.b\"").is_err());
    }

    #[test]
    fn the_id_of_a_text_is_always_the_same() {
        assert_eq!(SessionId::of("s.e.0"), SessionId::of("s.e.0"));
        assert_ne!(SessionId::of("s.e.0"), SessionId::of("s.e.1"));
        assert_eq!(SessionId::of("s.e.0").as_str().len(), 36);
    }

    #[test]
    fn session_ids_sort_by_time() {
        assert!(SessionId::at(1) < SessionId::at(2));
        assert!(SessionId::at(0xffff) < SessionId::at(0x1_0000));
    }
}
