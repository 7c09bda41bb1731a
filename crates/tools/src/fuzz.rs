//! What the fuzzer feeds (`.ci/fuzz`): what models write as edits and patches, and files that declare servers,
//! each with the rules that hold whatever they are. Nothing of this is in what ships.

use crate::{
    apply_patch::{apply::apply, parse::Section, parse::parse},
    matching::{Replacement, replace},
    mcp::fuzz::mcp_servers,
};

/// A name, and what reads the bytes.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub const TARGETS: &[Fuzzed] =
    &[("edits", edits), ("patches", patches), ("mcp_servers", mcp_servers)];

/// What stands between the parts of one input: a file's text, then what is to become of it.
const BETWEEN: char = '\u{1}';

/// A text, and pairs of what is replaced in it and by what.
fn edits(bytes: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    let mut parts = all.split(BETWEEN).map(str::to_owned);
    let original = parts.next().unwrap_or_default();
    let parts: Vec<String> = parts.take(8).collect();
    let edits: Vec<Replacement> = parts
        .chunks_exact(2)
        .map(|pair| Replacement { old: pair[0].clone(), new: pair[1].clone() })
        .collect();
    let Ok(done) = replace(&original, &edits) else { return };
    if let [only] = &*edits
        && done.fuzzy == 0
        && !original.contains('\r')
        && !only.old.contains('\r')
        && !only.new.contains('\r')
    {
        assert_eq!(done.text, original.replacen(&only.old, &only.new, 1), "exactly that");
    }
}

/// A text and a patch for it.
fn patches(bytes: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    let (original, patch) = all.split_once(BETWEEN).unwrap_or(("a\nb\nc\n", &*all));
    let Ok(sections) = parse(patch) else { return };
    for section in sections {
        match section {
            Section::Add { path, .. } | Section::Delete { path } => assert!(!path.is_empty()),
            Section::Update { path, hunks, .. } => {
                assert!(!path.is_empty());
                if let Err(why) = apply(original, &hunks) {
                    assert!(!why.is_empty(), "the model is told why");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}
