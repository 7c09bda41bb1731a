//! One preview as a browser reaches it: by a name of its own, or by a port of its own. Pure; who
//! may see it is judged elsewhere.

use crate::{auth::cookie, hosts::Label};
use std::borrow::Cow;

/// A preview's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) label: Label,
    /// The listener that is its own; `None` when it has a name.
    pub(crate) port: Option<u16>,
}

impl Origin {
    pub(crate) fn named(label: Label) -> Self {
        Self { label, port: None }
    }

    pub(crate) fn at_port(label: Label, port: u16) -> Self {
        Self { label, port: Some(port) }
    }

    /// What signed rights to it are bound to: project, port inside, and the way that leads there.
    pub(crate) fn bound_to(&self) -> String {
        match self.port {
            Some(port) => format!("{port}@{}", self.label),
            None => self.label.to_string(),
        }
    }

    /// Name of its cookie. Cookies know no ports, so previews by port share one jar: with a name
    /// each, none overwrites another's.
    pub(crate) fn cookie_name(&self) -> Cow<'static, str> {
        match self.port {
            Some(port) => Cow::Owned(format!("{}_{port}", cookie::PREVIEW)),
            None => Cow::Borrowed(cookie::PREVIEW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_right_is_bound_to_names_project_port_and_way() {
        let label = |port| Label { project: "a23456789bcd".parse().unwrap(), port };
        let mut all = vec![
            Origin::named(label(None)),
            Origin::named(label(Some(3000))),
            Origin::at_port(label(None), 4100),
            Origin::at_port(label(None), 4101),
            Origin::at_port(label(Some(3000)), 4100),
        ];
        assert_eq!(all[4].bound_to(), "4100@3000-a23456789bcd");
        assert_eq!(all[2].cookie_name(), "toft_preview_4100");
        assert_eq!(all[0].cookie_name(), "toft_preview");
        all.sort_by_key(Origin::bound_to);
        all.dedup_by_key(|o| o.bound_to());
        assert_eq!(all.len(), 5);
    }
}
