//! What the agent may do by itself, and how much for one prompt. Who holds to it is the agent: rules are
//! a guard rail for a model, not a wall around its programs.

use serde::{Deserialize, Serialize};

/// One rule. Of those for a call's tool and argument, the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Names of tools, with `*` and `?`.
    pub tool: String,
    /// What the call is about, with `*` (any text) and `?` (one character): a command of a command line, a
    /// path below the project's folder or an absolute one, an address, else the arguments as JSON. `None`:
    /// anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// What then.
    pub action: Action,
    /// Why, for people and for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is done.
    Allow,
    /// A person is asked first.
    Ask,
    /// It is not done, and the model is told.
    Deny,
}

/// What one prompt may take at most. `None`: no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PromptLimits {
    /// Billionths of a US dollar that its model calls may cost, as far as their prices are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<u64>,
    /// Seconds from the prompt on, without those in which a person was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Model calls, those of its tasks not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// A limit of [`PromptLimits`] that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// `money`.
    Money,
    /// `seconds`.
    Seconds,
    /// `steps`, or the bound that every prompt has.
    Steps,
}

/// Whether a text fits a pattern of `*` (any text, none too) and `?` (one character). A pattern that ends
/// in ` *` also fits the text without it.
pub fn fits(pattern: &str, text: &str) -> bool {
    let bare = pattern.strip_suffix(" *").is_some_and(|bare| wild(bare, text));
    bare || wild(pattern, text)
}

fn wild(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` is, and how much it stands for: tried with one more when the rest fails.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_people_expect() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a b\nc", true),
            ("git push *", "git push", true),
            ("git push *", "git push origin main", true),
            ("git push *", "git pushy", false),
            ("git * main", "git push origin main", true),
            ("*.env", "config/.env", true),
            ("*.env", "config/.envrc", false),
            ("?at", "cat", true),
            ("?at", "at", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("bash", "bash", true),
            ("ba", "bash", false),
            ("ü?", "üß", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_long_text_of_the_same_letter_does_not_take_for_ever() {
        let pattern = "*a".repeat(30) + "b";
        assert!(!fits(&pattern, &"a".repeat(5_000)));
    }

    #[test]
    fn a_rule_is_read_and_a_wrong_one_refused() {
        let rule: Rule =
            serde_json::from_str(r#"{"tool":"bash","argument":"rm *","action":"ask"}"#).unwrap();
        assert_eq!((rule.action, rule.reason), (Action::Ask, None));
        assert!(serde_json::from_str::<Rule>(r#"{"tool":"bash","action":"maybe"}"#).is_err());
        assert!(
            serde_json::from_str::<Rule>(r#"{"tool":"bash","arg":"x","action":"ask"}"#).is_err()
        );
    }
}
