//! Secrets of a project as a machine gets them: what may be a name and a value, and the variables
//! that every new process finds in its environment. Not where they are kept: that is `store`, sealed
//! by `vault`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// Longest name; names of environment variables are far shorter.
pub const NAME_BYTES_MAX: usize = 100;
/// Longest value: Linux takes 128 KiB for one variable, and the longest keys known (certificates with
/// their chain) have below 20 KiB.
pub const VALUE_BYTES_MAX: usize = 32 << 10;
/// Secrets of one project.
pub const COUNT_MAX: usize = 100;
/// All values of one project: Linux takes 2 MiB for the arguments and environment of a program, and
/// init leaves a request 1 MiB of it.
pub const TOTAL_BYTES_MAX: usize = 256 << 10;

/// Variables that Toft itself sets in every machine, or that programs cannot do without.
const RESERVED: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "COLORTERM",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "LANG",
    "LOGNAME",
    "NODE_USE_ENV_PROXY",
    "NO_PROXY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "PATH",
    "PWD",
    "SHELL",
    "TERM",
    "USER",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// Beginnings of names that are Toft's or the loader's.
const RESERVED_BEGINNINGS: &[&str] = &["LD_", "TOFT_"];

/// Why something is no secret. Never holds what was given: it may be a value in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No name of a variable.
    #[error(
        "a secret's name is 1 to 100 letters, digits and _, and does not begin with a digit: \
         STRIPE_KEY"
    )]
    Name,
    /// A name that the machine needs itself.
    #[error(
        "this name is set by Toft in every machine (keys of model providers are put into Settings, and \
         stay outside): choose another, for example with MY_ in front"
    )]
    Reserved,
    /// Nothing, or a NUL byte.
    #[error("a secret's value may be neither empty nor hold a NUL byte")]
    Value,
    /// Too long.
    #[error("a secret's value has at most 32 KiB: put larger things into a file")]
    TooLong,
}

/// Whether a secret may have this name.
pub fn check_name(name: &str) -> Result<(), SecretError> {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !begins
        || name.len() > NAME_BYTES_MAX
        || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return Err(SecretError::Name);
    }
    let reserved = RESERVED.contains(&name)
        || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    if reserved { Err(SecretError::Reserved) } else { Ok(()) }
}

/// Whether a secret may have this value.
pub fn check_value(value: &str) -> Result<(), SecretError> {
    match value.len() {
        0 => Err(SecretError::Value),
        1..=VALUE_BYTES_MAX if value.contains('\0') => Err(SecretError::Value),
        1..=VALUE_BYTES_MAX => Ok(()),
        _ => Err(SecretError::TooLong),
    }
}

/// A value on its way into a machine. `Debug` shows only that there is one; wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What every new process of a machine finds in its environment beside what the machine itself sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Counts changes of a project's secrets; 0: it never had any.
    pub revision: u64,
    /// Names and values.
    pub vars: Vec<(String, SecretText)>,
    /// The certificate (PEM) of the authority that programs are to trust: where the gateway puts
    /// brokered secrets in, it speaks for the host. None: nothing is brokered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

impl Environment {
    /// Whether there is a variable of this name.
    pub fn has(&self, name: &str) -> bool {
        self.vars.iter().any(|(known, _)| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables_and_none_that_a_machine_needs() {
        for name in ["STRIPE_KEY", "a", "_x9", "My_Openai_Key", &"A".repeat(NAME_BYTES_MAX)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "A".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "9A", "A-B", "A B", "A=B", "A\n", "Ä", "A\0", &long] {
            assert_eq!(check_name(name), Err(SecretError::Name), "{name:?}");
        }
        for name in ["PATH", "OPENAI_API_KEY", "LD_PRELOAD", "TOFT_TOKEN", "https_proxy"] {
            assert_eq!(check_name(name), Err(SecretError::Reserved), "{name}");
        }
    }

    #[test]
    fn values_are_texts_of_a_sane_length() {
        assert_eq!(check_value("two\nlines"), Ok(()));
        assert_eq!(check_value(&"x".repeat(VALUE_BYTES_MAX)), Ok(()));
        assert_eq!(check_value(&"x".repeat(VALUE_BYTES_MAX + 1)), Err(SecretError::TooLong));
        assert_eq!(check_value(""), Err(SecretError::Value));
        assert_eq!(check_value("a\0b"), Err(SecretError::Value));
    }

    #[test]
    fn an_environment_travels_and_does_not_print_its_values() {
        let vars = vec![("KEY".to_owned(), SecretText::new("canary"))];
        let environment = Environment { revision: 3, vars, authority: None };
        let text = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&text).unwrap(), environment);
        assert!(environment.has("KEY") && !environment.has("canary"));
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
