//! Which models may stand in for which: names are understood as people write them, and told as the gateway
//! looks them up. Who is asked when is the gateway's.

use crate::catalogue;
use std::collections::BTreeMap;
use toft_model::provider::{Fallbacks, ModelRef};

/// Bytes of a model's name.
const NAME_BYTES_MAX: usize = 200;

/// A model's own name, `PROVIDER/MODEL`; or what is wrong with the text.
pub fn name(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "{text:?} is no model: write PROVIDER/MODEL, with a provider of the list and its own name of \
             the model"
        )
    };
    let named = ModelRef::named(text.trim()).ok_or_else(wrong)?;
    // The script is none: a person who waits for an answer must not get a play.
    let spec = catalogue::provider(&named.provider).ok_or_else(wrong)?;
    let plain = named.id.len() <= NAME_BYTES_MAX && named.id.bytes().all(|b| b.is_ascii_graphic());
    plain.then(|| ModelRef { provider: spec.id.to_owned(), ..named }.to_string()).ok_or_else(wrong)
}

/// Those that stand in for a model, by their own names.
pub fn chain(model: &str, others: &[String]) -> Result<(String, Vec<String>), String> {
    let model = name(model)?;
    let mut names: Vec<String> = Vec::new();
    for other in others {
        let other = name(other)?;
        if other == model || names.contains(&other) {
            return Err(format!(
                "{other} stands twice in what is asked for {model}: once is enough"
            ));
        }
        names.push(other);
    }
    if names.len() > Fallbacks::CHAIN_MAX {
        let most = Fallbacks::CHAIN_MAX;
        return Err(format!("{model} has more than {most} models to stand in for it"));
    }
    Ok((model, names))
}

/// All chains.
pub fn chains(
    all: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Vec<String>>, String> {
    if all.len() > Fallbacks::CHAINS_MAX {
        let most = Fallbacks::CHAINS_MAX;
        return Err(format!("more than {most} models have others to stand in for them"));
    }
    all.iter().map(|(model, others)| chain(model, others)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(model: &str, others: &[&str], expected: Result<(&str, &[&str]), &str>) {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        match (chain(model, &others), expected) {
            (Ok((name, names)), Ok((want, wanted))) => {
                assert_eq!((&*name, names.len()), (want, wanted.len()));
                assert!(names.iter().zip(wanted).all(|(a, b)| a == b), "{names:?}");
            }
            (Err(words), Err(part)) => assert!(words.contains(part), "{words}"),
            (got, _) => panic!("{model}: {got:?}"),
        }
    }

    #[test]
    fn chains_are_of_models_that_can_be_asked() {
        check(
            "claude/x",
            &["openai/y", "gemini/z"],
            Ok(("anthropic/x", &["openai/y", "google/z"])),
        );
        check(" openai/a/b ", &[], Ok(("openai/a/b", &[])));
        for bad in ["x", "/x", "openai/", "nobody/x", "demo/app", "openai/a b", "openai/é"] {
            check(bad, &[], Err("PROVIDER/MODEL"));
            check("openai/x", &[bad], Err("PROVIDER/MODEL"));
        }
        check("openai/x", &["openai/x"], Err("twice"));
        check("openai/x", &["groq/y", "groq/y"], Err("twice"));
        let many: Vec<String> = (0..9).map(|n| format!("groq/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check("openai/x", &many, Err("more than 8"));
    }
}
