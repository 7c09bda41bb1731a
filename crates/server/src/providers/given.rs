//! What the server was given about providers: values of the environment, and of a file of keys, which the
//! environment wins over and which may change while it runs. What people set later is in the store.

use crate::config::KeysFile;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use toft_llm::catalogue;
use toft_vault::Secret;

/// As the binary read it.
pub(crate) struct Given {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) file: Option<KeysFile>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Values {
    env: Arc<BTreeMap<String, Secret>>,
    file: Arc<BTreeMap<String, Secret>>,
    path: Option<PathBuf>,
    /// Why the file cannot be read as it is now; its values are those of before.
    wrong: Option<String>,
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
        let mut values = Self {
            env: Arc::new(secrets(given.env)),
            file: Arc::default(),
            path: None,
            wrong: None,
        };
        values.take_file(given.file);
        values
    }

    /// With the file as it is now; `None`: there is none.
    pub(crate) fn take_file(&mut self, file: Option<KeysFile>) {
        let (values, path) = file.map_or_else(Default::default, |f| (f.values, Some(f.path)));
        self.file = Arc::new(secrets(values));
        self.path = path;
        self.wrong = None;
    }

    /// The file cannot be read as it is now.
    pub(crate) fn file_is_wrong(&mut self, why: String) {
        self.wrong = Some(why);
    }

    /// Why not.
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
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

    /// The value of the first of these names that has one; none that is a key.
    pub(crate) fn text(&self, names: &[&'static str]) -> Option<&str> {
        self.find(names).map(|found| found.value.expose())
    }

    /// The key of the first of these names that has a value, if it can be one.
    pub(crate) fn key(&self, names: &[&'static str]) -> Option<Secret> {
        let found = self.find(names)?;
        self.problem(&found).is_none().then(|| found.value.clone())
    }

    /// Says in the log which keys cannot be any.
    pub(crate) fn warn(&self) {
        for spec in catalogue::providers() {
            let found = self.find(spec.key_env);
            if let Some(problem) = found.and_then(|found| self.problem(&found)) {
                tracing::warn!(provider = spec.id, "{problem}");
            }
        }
    }

    /// Why a key cannot be one, and where to correct it.
    pub(crate) fn problem(&self, found: &Found<'_>) -> Option<String> {
        if is_plain(found.value.expose()) {
            return None;
        }
        let name = found.name;
        let (place, then) = match self.path().filter(|_| found.in_file) {
            Some(path) => (path, ", which is read again then"),
            None => ("the server's environment".to_owned(), " and start the server again"),
        };
        Some(format!(
            "{name} in {place} is no key: it has a line break, a space or another sign in it that no key \
             has. Correct it there{then}, or set the key here"
        ))
    }

    /// Where the file is, if there is one.
    pub(crate) fn path(&self) -> Option<String> {
        self.path.as_ref().map(|path| path.display().to_string())
    }
}

fn secrets(values: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    let some = values.into_iter().filter(|(_, value)| !value.trim().is_empty());
    some.map(|(name, value)| (name, Secret::new(value.trim()))).collect()
}

/// Longest key: Google's service account keys are the longest known, below 3 KiB.
pub(crate) const KEY_BYTES_MAX: usize = 8 << 10;

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
        // One that cannot be read changes nothing, the next one all.
        let mut later = values.clone();
        later.file_is_wrong("line 1".to_owned());
        assert_eq!(later.find(&["A_KEY"]).unwrap().value.expose(), "of-file");
        let values = of(&[("C_KEY", "new")]);
        later.take_file(Some(KeysFile { path: "/k/keys.env".into(), values }));
        assert!(later.find(&["A_KEY"]).is_none() && later.wrong().is_none());
        assert_eq!(later.find(&["C_KEY"]).unwrap().value.expose(), "new");
    }
}
