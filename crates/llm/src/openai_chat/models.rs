//! Which of OpenAI's models takes what.

use crate::ask::ThinkingLevel::{self, High, Low, Medium, Minimal, Off, Xhigh};

/// The efforts that models take, from the least on, by what their names begin with; of several rows the
/// first counts. OpenAI's pages of its models say them, and its refusals (`unsupported_value`). Without any
/// the field is left out: those models know one effort alone.
const EFFORTS: &[(&str, &[ThinkingLevel])] = &[
    ("gpt-5-pro", &[High]),
    ("gpt-5-codex", &[Low, Medium, High]),
    ("gpt-5-chat", &[]),
    ("gpt-5.1-codex-max", &[Low, Medium, High, Xhigh]),
    ("gpt-5.1-codex-mini", &[Medium, High]),
    ("gpt-5.1-codex", &[Low, Medium, High]),
    ("gpt-5.1-chat", &[]),
    ("gpt-5.1", &[Off, Low, Medium, High]),
    ("gpt-5.", LATER),
    ("gpt-5", &[Minimal, Low, Medium, High]),
    ("o1-mini", &[]),
    ("o1-preview", &[]),
    ("o3-deep-research", &[]),
    ("o4-mini-deep-research", &[]),
    ("", &[Low, Medium, High]),
];

/// Those of version 5.2 on, and whatever comes to be.
const LATER: &[ThinkingLevel] = &[Off, Low, Medium, High, Xhigh];
const LATER_PRO: &[ThinkingLevel] = &[Medium, High, Xhigh];
const LATER_CODEX: &[ThinkingLevel] = &[Low, Medium, High, Xhigh];

/// The 2 of `gpt-5.2-mini`.
fn minor(model: &str) -> Option<u32> {
    model.strip_prefix("gpt-5.")?.split('-').next()?.parse().ok()
}

/// Whether a thinking model of OpenAI's takes `temperature` and `top_p`: from 5.1 on while it does not
/// think, those before never.
pub(crate) fn may_be_tuned(model: &str, level: ThinkingLevel) -> bool {
    if minor(model).is_some() {
        return nearest(efforts(model), level) == Some(Off);
    }
    !["gpt-5", "o1", "o3", "o4"].iter().any(|series| model.starts_with(series))
}

/// The word for the effort that a model takes and that is nearest to a level; `None`: nothing is said of it.
/// From 5.4 on this endpoint takes none together with tools.
pub(crate) fn effort(model: &str, level: ThinkingLevel, with_tools: bool) -> Option<&'static str> {
    if with_tools && minor(model).is_some_and(|minor| minor >= 4) {
        return None;
    }
    nearest(efforts(model), level).map(ThinkingLevel::word)
}

fn efforts(model: &str) -> &'static [ThinkingLevel] {
    let row = EFFORTS.iter().find(|(begin, _)| model.starts_with(begin));
    let efforts = row.map_or(&[][..], |(_, efforts)| *efforts);
    let is = |kind: &str| model.split('-').any(|word| word == kind);
    match efforts {
        LATER if is("chat") => &[],
        LATER if is("pro") => LATER_PRO,
        LATER if is("codex") => LATER_CODEX,
        efforts => efforts,
    }
}

/// The highest that is not above the level, else the least; who is to think a little does think.
fn nearest(efforts: &[ThinkingLevel], level: ThinkingLevel) -> Option<ThinkingLevel> {
    let mut fit = efforts.iter().filter(|effort| level == Off || **effort != Off).copied();
    let least = fit.next()?;
    Some(fit.take_while(|effort| *effort <= level).last().unwrap_or(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    const ALL: [ThinkingLevel; 6] = [Off, Minimal, Low, Medium, High, Xhigh];

    #[test]
    fn each_model_gets_an_effort_that_it_takes() {
        for (model, level, tools, expected) in [
            ("gpt-5", Off, true, Some("minimal")),
            ("gpt-5", Minimal, true, Some("minimal")),
            ("gpt-5-mini", Xhigh, true, Some("high")),
            ("gpt-5-codex", Off, false, Some("low")),
            ("gpt-5-pro-2025-10-06", Off, false, Some("high")),
            ("gpt-5-pro", Xhigh, false, Some("high")),
            ("gpt-5.1", Off, true, Some("none")),
            ("gpt-5.1", Minimal, true, Some("low")),
            ("gpt-5.1-chat-latest", High, true, None),
            ("gpt-5.1-codex", Off, false, Some("low")),
            ("gpt-5.1-codex-max", Xhigh, false, Some("xhigh")),
            ("gpt-5.1-codex-mini", Low, false, Some("medium")),
            ("gpt-5.2-chat-latest", High, true, None),
            ("gpt-5.2", Xhigh, true, Some("xhigh")),
            ("gpt-5.2-pro", Off, false, Some("medium")),
            ("gpt-5.3-codex-spark", Off, false, Some("low")),
            ("gpt-5.4", High, true, None),
            ("gpt-5.4-mini", High, false, Some("high")),
            ("gpt-5.9-codex", Off, false, Some("low")),
            ("o3", Off, true, Some("low")),
            ("o3", Low, true, Some("low")),
            ("openai/gpt-oss-120b", Xhigh, true, Some("high")),
        ] {
            assert_eq!(effort(model, level, tools), expected, "{model} {level:?} {tools}");
        }
    }

    /// What the pages of the models say, written out once more: a model that is new has to be looked up.
    fn said(model: &str) -> &'static [&'static str] {
        match model {
            "gpt-5" | "gpt-5-mini" | "gpt-5-nano" => &["minimal", "low", "medium", "high"],
            "gpt-5-pro" => &["high"],
            "gpt-5-codex" | "gpt-5.1-codex" | "codex-mini" | "o1" | "o3" | "o3-mini"
            | "o4-mini" => &["low", "medium", "high"],
            "gpt-5.1-codex-mini" => &["medium", "high"],
            "gpt-5.1" => &["none", "low", "medium", "high"],
            "gpt-5.1-chat" | "gpt-5.2-chat" | "gpt-5.3-chat" => &[],
            "gpt-5.2-pro" | "gpt-5.4-pro" | "gpt-5.5-pro" => &["medium", "high", "xhigh"],
            "gpt-5.1-codex-max" | "gpt-5.2-codex" | "gpt-5.3-codex" | "gpt-5.3-codex-spark" => {
                &["low", "medium", "high", "xhigh"]
            }
            "gpt-5.2" | "gpt-5.4" | "gpt-5.4-mini" | "gpt-5.4-nano" | "gpt-5.5" => {
                &["none", "low", "medium", "high", "xhigh"]
            }
            other => panic!("{other}: look up which efforts it takes"),
        }
    }

    #[test]
    fn every_model_on_offer_takes_what_it_is_told_at_every_level() {
        for provider in ["openai", "azure"] {
            for model in catalogue::models(provider).iter().filter(|model| model.reasoning) {
                let taken = said(&model.id);
                for level in ALL {
                    let got = effort(&model.id, level, false);
                    assert!(got.is_none_or(|word| taken.contains(&word)), "{} {got:?}", model.id);
                    assert_eq!(got.is_none(), taken.is_empty(), "{} {level:?}", model.id);
                }
            }
        }
    }
}
