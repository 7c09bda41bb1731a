//! What machines may reach, where a project has nothing of its own.

use crate::args::egress::Level;
use anyhow::{Result, anyhow, bail};
use toft_model::machine::{EgressName, EgressSetting};
use toft_policy::egress::rule;

/// The level and rules of flags, environment and file. Neither: the default.
pub(super) fn setting(level: Option<Level>, rules: &[String]) -> Result<EgressSetting> {
    match (level, rules.is_empty()) {
        (None, true) => return Ok(EgressSetting::default()),
        (Some(Level::AllowList), _) | (Some(_), true) => {}
        (None | Some(Level::None | Level::Open), false) => bail!(
            "egress_allow means nothing without egress = \"allow-list\": add that, or leave it out"
        ),
    }
    let rules = rules.iter().map(|text| rule(text.trim())).collect::<Result<_, _>>();
    let rules = rules.map_err(|error| anyhow!("egress_allow: {error}"))?;
    Ok(EgressSetting { level: level.map_or(EgressName::default(), EgressName::from), rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_need_their_level_and_are_understood_at_the_start() {
        let list = |rules: &[&str]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(setting(None, &list(&[])).unwrap(), EgressSetting::default());
        assert_eq!(setting(Some(Level::None), &list(&[])).unwrap(), EgressSetting::nothing());
        let given = setting(Some(Level::AllowList), &list(&["Example.com"])).unwrap();
        assert_eq!((given.level, &given.rules[0][..]), (EgressName::AllowList, "example.com"));
        for (level, rules) in [
            (None, &["a.test"][..]),
            (Some(Level::Open), &["a.test"]),
            (Some(Level::AllowList), &["fine.test", "localhost"]),
        ] {
            let error = setting(level, &list(rules)).unwrap_err().to_string();
            assert!(error.contains("egress_allow"), "{error}");
        }
    }
}
