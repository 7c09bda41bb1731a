//! The diff of a change, for people.

use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// Bytes of a diff that people are shown.
const DIFF_BYTES_MAX: usize = 50 * 1024;

/// How long a diff may take to compute, on a thread that others wait for; after that it is coarser.
const DIFF_TIME_MAX: Duration = Duration::from_millis(50);

/// Details for people: a unified diff and how many lines it adds and removes.
pub(crate) fn diff_details(
    name: &str,
    before: &str,
    after: &str,
) -> serde_json::Map<String, serde_json::Value> {
    let diff = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(before, after);
    let (mut added, mut removed, mut first) = (0u64, 0u64, None);
    for change in diff.iter_all_changes() {
        let at = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Insert => {
                added += 1;
                change.new_index()
            }
            ChangeTag::Delete => {
                removed += 1;
                change.old_index()
            }
        };
        first = first.or(at.map(|index| index + 1));
    }
    let text = diff.unified_diff().context_radius(3).header(name, name).to_string();
    let shown = crate::output::cut_at_char(&text, DIFF_BYTES_MAX);
    let mut out = serde_json::Map::new();
    out.insert("path".into(), name.into());
    out.insert("diff".into(), shown.into());
    out.insert("diffTruncated".into(), (shown.len() < text.len()).into());
    out.insert("addedLines".into(), added.into());
    out.insert("removedLines".into(), removed.into());
    out.insert("firstChangedLine".into(), first.into());
    out
}
