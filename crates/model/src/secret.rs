//! Secrets of a project as a machine gets them: what may be a name and a value, and the variables
//! that every new process finds in its environment. Not where they are kept: that is `store`, sealed
//! by `vault`.

use crate::binding::Binding;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeMap, fmt};
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

/// Variables by which programs of a machine find its folders, the gateway, the way out and whom to trust. Most are
/// set by Toft; a value of one's own in any of them leads around what Toft sets.
const RESERVED: &[&str] = &[
    "ALL_PROXY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "COLORTERM",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GEMINI_API_KEY",
    "GIT_SSL_CAINFO",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_ENV_PROXY",
    "NO_PROXY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "PATH",
    "PIP_CERT",
    "PWD",
    "REQUESTS_CA_BUNDLE",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "USER",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// Beginning of the names that are Toft's own.
const TOFT: &str = "TOFT_";
/// What changes how every program begins: the dynamic loader's, and the shell's.
const LOADER: &str = "LD_";
const STARTUP: &[&str] = &["BASH_ENV", "ENV", "GCONV_PATH", "GLIBC_TUNABLES", "IFS"];

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
        "Toft needs this name in its machines: by it programs find the model gateway, the way out, the \
         certificates to trust or their own folders (keys of model providers are put into Settings, and \
         stay outside). Choose another, for example with MY_ in front"
    )]
    Reserved,
    /// A name by which every program of the machine would begin otherwise.
    #[error(
        "every program of the machine reads a variable of this name when it begins, and may load or run \
         what it names: it can hold no secret. Choose another, for example with MY_ in front"
    )]
    Startup,
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
    if name.starts_with(LOADER) || STARTUP.contains(&name) {
        return Err(SecretError::Startup);
    }
    let is_reserved = RESERVED.contains(&name) || name.starts_with(TOFT);
    if is_reserved { Err(SecretError::Reserved) } else { Ok(()) }
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
    /// Names and values; of brokered ones, what stands for the value.
    pub vars: Vec<(String, SecretText)>,
    /// Where the values of the brokered ones go, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, Binding>,
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

    /// Where the values of those of the names go that are brokered.
    pub fn bindings_of(&self, names: &[String]) -> BTreeMap<String, Binding> {
        let bindings = self.bindings.iter().filter(|(name, _)| names.contains(name));
        bindings.map(|(name, binding)| (name.clone(), binding.clone())).collect()
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
        let trust = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "all_proxy"];
        let known = ["PATH", "OPENAI_API_KEY", "TOFT_TOKEN", "https_proxy"];
        for name in known.into_iter().chain(trust) {
            assert_eq!(check_name(name), Err(SecretError::Reserved), "{name}");
        }
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV"] {
            assert_eq!(check_name(name), Err(SecretError::Startup), "{name}");
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
        let binding = Binding { hosts: vec!["a.test".into()], ..Binding::default() };
        let bindings = BTreeMap::from([("KEY".to_owned(), binding)]);
        let environment = Environment { revision: 3, vars, bindings, authority: None };
        let text = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&text).unwrap(), environment);
        assert!(environment.has("KEY") && !environment.has("canary"));
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
