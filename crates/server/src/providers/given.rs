//! What the server was given about providers when it started: values of the environment, and of a file of
//! keys, which the environment wins over. What people set later is in the store.

use crate::config::KeysFile;
use std::{collections::BTreeMap, path::PathBuf};
use toft_vault::Secret;

/// As the binary read it.
pub(crate) struct Given {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) file: Option<KeysFile>,
}

/// See the module.
pub(crate) struct Values {
    env: BTreeMap<String, Secret>,
    file: BTreeMap<String, Secret>,
    path: PathBuf,
}

/// One of them.
pub(crate) struct Found<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: &'a Secret,
    /// Of the file, not of the environment.
    pub(crate) in_file: bool,
}

impl Values {
    pub(crate) fn new(given: Given) -> Self {
        let (file, path) =
            given.file.map_or_else(Default::default, |file| (file.values, file.path));
        Self { env: secrets(given.env), file: secrets(file), path }
    }

    /// The first of these names that has a value.
    pub(crate) fn find(&self, names: &[&'static str]) -> Option<Found<'_>> {
        let of = |values: &BTreeMap<String, Secret>| {
            names.iter().find(|name| values.contains_key(**name)).copied()
        };
        if let Some(name) = of(&self.env) {
            return Some(Found { name, value: &self.env[name], in_file: false });
        }
        let name = of(&self.file)?;
        Some(Found { name, value: &self.file[name], in_file: true })
    }

    /// Why a key cannot be one, and where to correct it.
    pub(crate) fn problem(&self, found: &Found<'_>) -> Option<String> {
        if is_plain(found.value.expose()) {
            return None;
        }
        let (name, place) = (found.name, self.place(found));
        Some(format!(
            "{name} in {place} is no key: it has a line break, a space or another sign in it that no key \
             has. Correct it there and start the server again, or set the key here"
        ))
    }

    fn place(&self, found: &Found<'_>) -> String {
        if found.in_file {
            self.path.display().to_string()
        } else {
            "the server's environment".to_owned()
        }
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }
}

fn secrets(values: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    let some = values.into_iter().filter(|(_, value)| !value.trim().is_empty());
    some.map(|(name, value)| (name, Secret::new(value.trim()))).collect()
}

/// Longest key: Google's service account keys are the longest known, below 3 KiB.
const KEY_BYTES_MAX: usize = 8 << 10;

/// Whether a text can be a key.
pub(crate) fn is_plain(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_file_and_both_say_what_is_wrong() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let file = KeysFile {
            path: "/k/keys.env".into(),
            values: of(&[("A_KEY", "of-file"), ("B_KEY", "two words"), ("C_KEY", " ")]),
        };
        let values = Values::new(Given {
            env: of(&[("A2_KEY", "of-env\n"), ("D_KEY", "a\nb")]),
            file: Some(file),
        });
        let found = |names| values.find(names);
        let first = found(&["A_KEY", "A2_KEY"]).unwrap();
        assert_eq!((first.name, first.value.expose(), first.in_file), ("A2_KEY", "of-env", false));
        assert_eq!(values.problem(&first), None);
        let second = found(&["B_KEY"]).unwrap();
        let words = values.problem(&second).unwrap();
        assert!(words.contains("B_KEY in /k/keys.env is no key") && !words.contains("two words"));
        let words = values.problem(&found(&["D_KEY"]).unwrap()).unwrap();
        assert!(words.contains("D_KEY in the server's environment"), "{words}");
        assert!(found(&["C_KEY"]).is_none());
    }
}
