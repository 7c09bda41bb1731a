//! Which of OpenAI's models takes what.

use crate::ask::ThinkingLevel;

/// The 2 of `gpt-5.2-mini`.
fn minor(model: &str) -> Option<u32> {
    model.strip_prefix("gpt-5.")?.split('-').next()?.parse().ok()
}

/// Whether a thinking model of OpenAI's takes `temperature` and `top_p`: from 5.1 on while it does not
/// think, those before never.
pub(crate) fn may_be_tuned(model: &str, level: ThinkingLevel) -> bool {
    if minor(model).is_some() {
        return level == ThinkingLevel::Off;
    }
    !["gpt-5", "o1", "o3", "o4"].iter().any(|series| model.starts_with(series))
}

/// Which efforts a model takes differs between OpenAI's: `minimal` only GPT-5 itself, `none` and
/// `xhigh` only later ones; from 5.4 on this endpoint takes none together with tools.
pub(crate) fn effort(model: &str, level: ThinkingLevel, with_tools: bool) -> Option<&'static str> {
    let minor = minor(model);
    if with_tools && minor.is_some_and(|minor| minor >= 4) {
        return None;
    }
    match level {
        ThinkingLevel::Off if minor.is_some() => Some("none"),
        ThinkingLevel::Off if model.starts_with("gpt-5") => Some("minimal"),
        ThinkingLevel::Off => None,
        ThinkingLevel::Minimal if model.starts_with("gpt-5") && minor.is_none() => Some("minimal"),
        ThinkingLevel::Minimal => Some("low"),
        ThinkingLevel::Xhigh if minor.is_some_and(|minor| minor >= 2) => Some("xhigh"),
        ThinkingLevel::Xhigh => Some("high"),
        ThinkingLevel::Low | ThinkingLevel::Medium | ThinkingLevel::High => Some(level.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_gets_an_effort_that_it_takes() {
        use ThinkingLevel::{High, Low, Minimal, Off, Xhigh};
        for (model, level, tools, expected) in [
            ("gpt-5", Off, true, Some("minimal")),
            ("gpt-5", Minimal, true, Some("minimal")),
            ("gpt-5-mini", Xhigh, true, Some("high")),
            ("gpt-5.1", Off, true, Some("none")),
            ("gpt-5.1", Minimal, true, Some("low")),
            ("gpt-5.2", Xhigh, true, Some("xhigh")),
            ("gpt-5.4", High, true, None),
            ("gpt-5.4-mini", High, false, Some("high")),
            ("o3", Off, true, None),
            ("o3", Low, true, Some("low")),
            ("gemini-2.5-pro", High, true, Some("high")),
        ] {
            assert_eq!(effort(model, level, tools), expected, "{model} {level:?} {tools}");
        }
    }
}
