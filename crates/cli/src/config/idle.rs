//! When machines that nobody uses are put away, where a project has no rule of its own.

use crate::amounts::{self, Bound};
use anyhow::{Result, bail};
use toft_model::machine::IdleRule;

/// The rule of flags, environment and file. `None`: the default.
pub(super) fn rule(freeze_after: Option<&str>, cold_after: Option<&str>) -> Result<IdleRule> {
    let default = IdleRule::default();
    Ok(IdleRule {
        freeze_after_s: after("freeze_after", freeze_after, default.freeze_after_s)?,
        cold_after_s: after("cold_after", cold_after, default.cold_after_s)?,
    })
}

/// A time, or never. Zero would put away what was just asked for.
fn after(name: &str, given: Option<&str>, default: Option<u64>) -> Result<Option<u64>> {
    match given.map(amounts::time) {
        None => Ok(default),
        Some(Ok(Bound::At(0))) => bail!("{name} must be at least 1s, or never"),
        Some(Ok(bound)) => Ok(bound.get()),
        Some(Err(why)) => bail!("{name}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_put_away_by_what_was_given_or_the_default() {
        assert_eq!(rule(None, None).unwrap(), IdleRule::default());
        let given = rule(Some("90s"), Some("never")).unwrap();
        assert_eq!(given, IdleRule { freeze_after_s: Some(90), cold_after_s: None });
        for wrong in ["0", "soon"] {
            let error = format!("{:#}", rule(Some(wrong), None).unwrap_err());
            assert!(error.contains("freeze_after") && error.contains("never"), "{error}");
        }
    }
}
