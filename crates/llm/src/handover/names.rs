//! Names of calls and their ids, written so that a provider takes them: each has rules of its own, and
//! a conversation may have begun elsewhere.

use std::borrow::Cow;
use toft_model::hash::fnv1a;

/// Characters of a tool's name that every provider takes.
const NAME_CHARS_MAX: usize = 64;

/// The name of a call as every provider takes it. Models call what there is not, also by names that no
/// tool can have, and a provider that refuses such a name would refuse the conversation for good.
pub(crate) fn wire_name(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.is_empty() {
        return Cow::Borrowed("unnamed");
    }
    if name.len() <= NAME_CHARS_MAX && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let plain = |c| if is_plain(c) { c } else { '_' };
    Cow::Owned(name.chars().take(NAME_CHARS_MAX).map(plain).collect())
}

/// What a provider wants the id of a call to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRule {
    pub(crate) chars_max: usize,
    pub(crate) exact: bool,
    /// Characters beyond letters and digits.
    pub(crate) also: &'static str,
}

/// The id itself where it fits the rule, otherwise another one that is always the same for it: ids of
/// one provider often do not fit another.
pub(crate) fn wire_id(id: &str, rule: IdRule) -> Cow<'_, str> {
    let length_fits =
        if rule.exact { id.len() == rule.chars_max } else { id.len() <= rule.chars_max };
    let fits = !id.is_empty()
        && length_fits
        && id.chars().all(|c| c.is_ascii_alphanumeric() || rule.also.contains(c));
    if fits {
        return Cow::Borrowed(id);
    }
    let mut n = fnv1a(id.as_bytes());
    let mut out = String::with_capacity(rule.chars_max.min(13));
    while out.len() < rule.chars_max.min(13) {
        out.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(n % 36) as usize]));
        n /= 36;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_provider_takes_is_written_so_that_all_do() {
        for (name, expected) in [
            ("web_search-2", "web_search-2"),
            ("bash<|channel|>commentary", "bash__channel__commentary"),
            ("functions.bash", "functions_bash"),
            ("", "unnamed"),
            ("é", "_"),
        ] {
            assert_eq!(wire_name(name), expected);
        }
        assert_eq!(wire_name(&"x".repeat(99)).len(), 64);
    }

    #[test]
    fn ids_that_do_not_fit_get_a_stable_other_one() {
        let anthropic = IdRule { chars_max: 64, exact: false, also: "_-" };
        let mistral = IdRule { chars_max: 9, exact: true, also: "" };
        assert_eq!(wire_id("toolu_01-x", anthropic), "toolu_01-x");
        assert_ne!(wire_id("functions.bash:0", anthropic), "functions.bash:0");
        assert_eq!(wire_id("functions.bash:0", anthropic), wire_id("functions.bash:0", anthropic));
        assert_eq!(wire_id("abcDEF123", mistral), "abcDEF123");
        assert_eq!(wire_id("toolu_01", mistral).len(), 9);
        assert_ne!(wire_id("toolu_01", mistral), wire_id("toolu_02", mistral));
    }
}
