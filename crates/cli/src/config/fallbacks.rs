//! Models that stand in for others while a provider is down, where people have set none.

use crate::amounts;
use anyhow::{Result, anyhow, bail};
use std::collections::BTreeMap;
use toft_llm::fallbacks;
use toft_model::provider::Fallbacks;

/// Those of flags and environment (`MODEL=OTHER,OTHER`), else of the file.
pub(super) fn setting(
    flags: &[String],
    file: Option<BTreeMap<String, Vec<String>>>,
    first_byte: Option<&str>,
) -> Result<Fallbacks> {
    let mut chains = file.unwrap_or_default();
    if !flags.is_empty() {
        chains.clear();
    }
    for flag in flags {
        let Some((model, others)) = flag.split_once('=') else {
            bail!("--fallback {flag:?}: write it as MODEL=OTHER,OTHER with names PROVIDER/MODEL");
        };
        chains.insert(model.to_owned(), others.split(',').map(str::to_owned).collect());
    }
    // Who else was added is the server's to know, which says it where a chain names nobody.
    let chains =
        fallbacks::chains(&chains, &fallbacks::any).map_err(|e| anyhow!("fallbacks: {e}"))?;
    let mut setting = Fallbacks { chains, ..Fallbacks::default() };
    if let Some(text) = first_byte {
        let seconds = amounts::time(text).map_err(|e| anyhow!("fallback_first_byte: {e}"))?.get();
        let seconds = seconds.map_or(Ok(0), u32::try_from);
        let Some(seconds) = seconds.ok().filter(|s| *s <= Fallbacks::FIRST_BYTE_S_MAX) else {
            bail!("fallback_first_byte: at most {}s, or never", Fallbacks::FIRST_BYTE_S_MAX);
        };
        setting.first_byte_s = seconds;
    }
    Ok(setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_understood_at_the_start() {
        let file = [("claude/x".to_owned(), vec!["openai/y".to_owned()])];
        let of = |flags: &[&str], first_byte| {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            setting(&flags, Some(file.clone().into()), first_byte)
        };
        let read = of(&[], None).unwrap();
        assert_eq!((read.chains["anthropic/x"].len(), read.first_byte_s), (1, 60));
        let read = of(&["openai/y=claude/x,groq/z"], Some("never")).unwrap();
        assert_eq!((read.chains.len(), read.first_byte_s), (1, 0));
        assert_eq!(read.chains["openai/y"], ["anthropic/x", "groq/z"]);
        for (flags, first_byte, words) in [
            (&["openai/y"][..], None, "MODEL=OTHER"),
            (&["y=openai/z"], None, "PROVIDER/MODEL"),
            (&[], Some("10m"), "at most 300s"),
        ] {
            let error = format!("{:#}", of(flags, first_byte).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
