//! What machines may reach, where a project has nothing of its own.

use crate::args::egress::Level;
use anyhow::{Result, anyhow, bail};
use toft_model::machine::{EgressName, EgressSetting};
use toft_policy::egress::rule;

/// The default and the ceiling of flags, environment and file. A default that nobody gave is as wide as it may
/// be.
pub(super) fn setting(
    level: Option<Level>,
    rules: &[String],
    ceiling: Option<Level>,
) -> Result<(EgressSetting, EgressName)> {
    let ceiling = ceiling.map_or(EgressName::Open, EgressName::from);
    let level = level.map_or(ceiling, EgressName::from);
    if level > ceiling {
        bail!(
            "--egress (the default of projects) is wider than --egress-ceiling (the most that any may have): \
             narrow the one or widen the other"
        );
    }
    if !rules.is_empty() && level != EgressName::AllowList {
        bail!(
            "egress_allow means nothing without egress = \"allow-list\": add that, or leave it out"
        );
    }
    let rules = rules.iter().map(|text| rule(text.trim())).collect::<Result<_, _>>();
    let rules = rules.map_err(|error| anyhow!("egress_allow: {error}"))?;
    Ok((EgressSetting { level, rules }, ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_need_their_level_and_are_understood_at_the_start() {
        let list = |rules: &[&str]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        let default = |level, rules: &[&str]| setting(level, &list(rules), None).map(|both| both.0);
        assert_eq!(default(None, &[]).unwrap(), EgressSetting::default());
        assert_eq!(default(Some(Level::None), &[]).unwrap(), EgressSetting::nothing());
        let given = default(Some(Level::AllowList), &["Example.com"]).unwrap();
        assert_eq!((given.level, &given.rules[0][..]), (EgressName::AllowList, "example.com"));
        for (level, rules) in [
            (None, &["a.test"][..]),
            (Some(Level::Open), &["a.test"]),
            (Some(Level::AllowList), &["fine.test", "localhost"]),
        ] {
            let error = setting(level, &list(rules), None).unwrap_err().to_string();
            assert!(error.contains("egress_allow"), "{error}");
        }
    }
    #[test]
    fn the_default_is_never_wider_than_the_ceiling() {
        let none = EgressSetting::nothing();
        assert_eq!(setting(None, &[], Some(Level::None)).unwrap(), (none, EgressName::None));
        let both = setting(Some(Level::None), &[], Some(Level::AllowList)).unwrap();
        assert_eq!((both.0.level, both.1), (EgressName::None, EgressName::AllowList));
        let listed = setting(None, &["a.test".into()], Some(Level::AllowList)).unwrap();
        assert_eq!((listed.0.level, listed.0.rules.len()), (EgressName::AllowList, 1));
        let error = setting(Some(Level::Open), &[], Some(Level::AllowList)).unwrap_err();
        assert!(error.to_string().contains("--egress-ceiling"), "{error}");
    }
}
