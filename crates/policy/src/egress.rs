//! Whether a machine may connect to a host and port at its egress level. The name only: the
//! addresses that it resolves to are judged by [`crate::address`] when they are dialled.
//!
//! A rule of an allow-list is `host`, `*.domain` (names below it, not itself) or an address, each
//! with `:port` when only that port is meant.

use crate::{
    address::is_public,
    host::{Host, HostPort, InvalidHost, unmapped},
};
use std::net::IpAddr;
use toft_model::machine::EgressLevel;

/// Rules of an allow-list at most: people keep dozens, a mistake does not fill memory.
pub const RULES_MAX: usize = 1_000;

/// Names that mean the machine's own network or the host, wherever they resolve to (RFC 6761,
/// RFC 6762, RFC 8375, RFC 9476; `internal` is ICANN's and the clouds' name for private zones).
const LOCAL_DOMAINS: &[&str] = &["localhost", "local", "internal", "home.arpa", "alt"];

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// A decision that can be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Yes or no.
    pub decision: Decision,
    /// Stable name of what decided: `open`, the allow-list's rule, `level-none`, `not-listed`,
    /// `local-name`, `single-label`, or an address rule such as `loopback`.
    pub rule: String,
    /// For people: what was decided and what to do about it.
    pub reason: String,
}

impl Verdict {
    /// Whether it may.
    pub fn allowed(&self) -> bool {
        match self.decision {
            Decision::Allow => true,
            Decision::Deny => false,
        }
    }

    /// A refusal.
    pub fn deny(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { decision: Decision::Deny, rule: rule.into(), reason: reason.into() }
    }

    /// A permission.
    pub fn allow(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { decision: Decision::Allow, rule: rule.into(), reason: reason.into() }
    }
}

/// A rule that cannot be understood; it would silently match nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// The rule's text and what is wrong.
    #[error(
        "the egress rule {rule:?} is not understood ({why}): write a host name, `*.domain` or an \
         address, with `:port` if only one port is meant"
    )]
    Host {
        /// The rule.
        rule: String,
        /// What is wrong with it.
        why: InvalidHost,
    },
    /// It names what no level opens.
    #[error("the egress rule {rule:?} would allow nothing: {reason}")]
    Never {
        /// The rule.
        rule: String,
        /// Why.
        reason: String,
    },
    /// Too many.
    #[error("an allow-list has at most {RULES_MAX} rules, this one has {0}")]
    TooMany(usize),
}

/// An egress level, understood once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress(Compiled);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Compiled {
    None,
    AllowList(Vec<Rule>),
    Open,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    text: String,
    host: Match,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Match {
    Exactly(Host),
    Below(String),
}

impl Egress {
    /// Understands a level, or names the first rule that is wrong.
    pub fn new(level: &EgressLevel) -> Result<Self, InvalidRule> {
        Ok(Self(match level {
            EgressLevel::None => Compiled::None,
            EgressLevel::Open => Compiled::Open,
            EgressLevel::AllowList(rules) if rules.len() > RULES_MAX => {
                return Err(InvalidRule::TooMany(rules.len()));
            }
            EgressLevel::AllowList(rules) => {
                Compiled::AllowList(rules.iter().map(|r| Rule::parse(r)).collect::<Result<_, _>>()?)
            }
        }))
    }

    /// Decides.
    pub fn decide(&self, host: &Host, port: u16) -> Verdict {
        // What no level may reach comes first: an allow-list cannot open it.
        if let Some(verdict) = never(host) {
            return verdict;
        }
        match &self.0 {
            Compiled::None => Verdict::deny(
                "level-none",
                "this project may not reach the internet: its egress level is `none`",
            ),
            Compiled::Open => Verdict::allow("open", "every public host is allowed"),
            Compiled::AllowList(rules) => match rules.iter().find(|r| r.matches(host, port)) {
                Some(rule) => Verdict::allow(&rule.text, "the allow-list has it"),
                None => Verdict::deny(
                    "not-listed",
                    format!(
                        "{host}:{port} is not on this project's allow-list: add {host} to reach it"
                    ),
                ),
            },
        }
    }

    /// Whether every public host is allowed.
    pub fn is_open(&self) -> bool {
        match self.0 {
            Compiled::Open => true,
            Compiled::None | Compiled::AllowList(_) => false,
        }
    }

    /// Whether a name on a connection must be the name that was asked for: only where names decide.
    pub fn names_decide(&self) -> bool {
        match self.0 {
            Compiled::AllowList(_) => true,
            Compiled::None | Compiled::Open => false,
        }
    }
}

/// [`Egress::new`] and [`Egress::decide`] in one. A level with a wrong rule allows nothing.
pub fn decide(level: &EgressLevel, host: &Host, port: u16) -> Verdict {
    match Egress::new(level) {
        Ok(egress) => egress.decide(host, port),
        Err(e) => Verdict::deny("invalid-rule", e.to_string()),
    }
}

/// A rule as it is understood: the same text for the same meaning.
pub fn rule(text: &str) -> Result<String, InvalidRule> {
    Ok(Rule::parse(text)?.plain())
}

fn never(host: &Host) -> Option<Verdict> {
    match host {
        Host::Address(address) => {
            is_public(*address).err().map(|r| Verdict::deny(r.rule, r.to_string()))
        }
        Host::Name(name) => {
            if LOCAL_DOMAINS.iter().any(|domain| name == domain || is_below(name, domain)) {
                let reason = format!("{name} names something local, not a public host");
                return Some(Verdict::deny("local-name", reason));
            }
            // A resolver would complete it with a domain of the host's own network.
            (!name.contains('.')).then(|| {
                let reason = format!("{name} has no domain: only public hosts can be reached");
                Verdict::deny("single-label", reason)
            })
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl Rule {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidRule> {
        let wrong = |why| InvalidRule::Host { rule: text.chars().take(300).collect(), why };
        let (wildcard, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // Port 0 stands for "no port given": no rule can say it.
        let parsed = match rest.parse() {
            Ok(_) if wildcard => return Err(wrong(InvalidHost::AddressForm)),
            // What is an IPv6 address as a whole is one, also without brackets: then it has no port.
            Ok(v6) => HostPort { host: Host::Address(unmapped(IpAddr::V6(v6))), port: 0 },
            Err(_) => HostPort::parse(rest, Some(0)).map_err(wrong)?,
        };
        let host = match (wildcard, parsed.host) {
            (false, host) => Match::Exactly(host),
            (true, Host::Name(name)) => Match::Below(name),
            (true, Host::Address(_)) => return Err(wrong(InvalidHost::AddressForm)),
        };
        let named = match &host {
            Match::Exactly(host) => host.clone(),
            // Any name below it is as local as this one.
            Match::Below(domain) => Host::parse(&format!("a.{domain}")).map_err(wrong)?,
        };
        if let Some(verdict) = never(&named) {
            let rule = text.chars().take(300).collect();
            return Err(InvalidRule::Never { rule, reason: verdict.reason });
        }
        let port = (parsed.port != 0).then_some(parsed.port);
        Ok(Self { text: text.to_owned(), host, port })
    }

    /// The same text for the same meaning.
    pub(crate) fn plain(&self) -> String {
        let host = match &self.host {
            Match::Exactly(host) => host.to_string(),
            Match::Below(domain) => format!("*.{domain}"),
        };
        self.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    /// The one port that is meant, if it is one.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it names an address.
    pub(crate) fn is_address(&self) -> bool {
        matches!(self.host, Match::Exactly(Host::Address(_)))
    }

    /// The domain below which it means all names, if it does.
    pub(crate) fn below(&self) -> Option<&str> {
        match &self.host {
            Match::Below(domain) => Some(domain),
            Match::Exactly(_) => None,
        }
    }

    pub(crate) fn matches(&self, host: &Host, port: u16) -> bool {
        let host_matches = match (&self.host, host) {
            (Match::Exactly(mine), theirs) => mine == theirs,
            (Match::Below(domain), Host::Name(name)) => is_below(name, domain),
            (Match::Below(_), Host::Address(_)) => false,
        };
        host_matches && self.port.is_none_or(|mine| mine == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(rules: &[&str]) -> EgressLevel {
        EgressLevel::AllowList(rules.iter().map(ToString::to_string).collect())
    }

    fn check(level: &EgressLevel, target: &str, expected: Result<&str, &str>) {
        let target = HostPort::parse(target, Some(443)).unwrap();
        let verdict = decide(level, &target.host, target.port);
        let got = if verdict.allowed() { Ok(&*verdict.rule) } else { Err(&*verdict.rule) };
        assert_eq!(got, expected, "{target} at {level:?}: {}", verdict.reason);
    }

    #[test]
    fn an_ipv6_address_is_understood_without_brackets_too() {
        for (text, want) in [
            ("2a11::1", "[2a11::1]"),
            ("[2a11::1]", "[2a11::1]"),
            ("[2a11::1]:443", "[2a11::1]:443"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(rule(text).as_deref(), Ok(want), "{text}");
        }
        for never in ["::1", "fe80::1", "::ffff:127.0.0.1"] {
            assert!(matches!(rule(never), Err(InvalidRule::Never { .. })), "{never}");
        }
        assert!(rule("*.2a11::1").is_err());
    }

    #[test]
    fn an_allow_list_matches_whole_names_and_ports() {
        let level = list(&["Example.com", "*.pkg.test", "db.test:5432", "*.x.test:22", "1.1.1.1"]);
        check(&level, "example.com", Ok("Example.com"));
        check(&level, "EXAMPLE.com:80", Ok("Example.com"));
        check(&level, "a.pkg.test", Ok("*.pkg.test"));
        check(&level, "a.b.pkg.test", Ok("*.pkg.test"));
        check(&level, "db.test:5432", Ok("db.test:5432"));
        check(&level, "g.x.test:22", Ok("*.x.test:22"));
        check(&level, "1.1.1.1", Ok("1.1.1.1"));
        check(&level, "[::ffff:1.1.1.1]", Ok("1.1.1.1"));
        for no in [
            "www.example.com",
            "example.com.evil.test",
            "notexample.com",
            "example.co",
            "pkg.test",
            "evilpkg.test",
            "db.test:443",
            "g.x.test:443",
            "1.1.1.2",
            "a.b",
        ] {
            check(&level, no, Err("not-listed"));
        }
    }

    #[test]
    fn nothing_local_is_reached_at_any_level() {
        let local = [
            "localhost",
            "gateway.internal",
            "metadata.google.internal",
            "127.0.0.1",
            "[::1]",
            "169.254.169.254",
            "printer.local",
            "metadata",
            "[fd00:ec2::254]",
            "*.internal",
            "*.localhost:80",
            "198.18.0.1",
        ];
        for rule in local {
            let refused = Egress::new(&list(&["a.test", rule])).unwrap_err();
            assert!(matches!(&refused, InvalidRule::Never { rule: named, .. } if named == rule));
            assert!(refused.to_string().contains("allow nothing"), "{refused}");
        }
        // They are refused; as a list that was kept all the same they would open nothing either.
        let compiled = Egress(Compiled::AllowList(vec![Rule {
            text: "localhost".into(),
            host: Match::Exactly(Host::Name("localhost".into())),
            port: None,
        }]));
        assert!(!compiled.decide(&Host::Name("localhost".into()), 80).allowed());
        check(&list(&local), "a.test", Err("invalid-rule"));
        for level in [&EgressLevel::Open, &EgressLevel::None, &list(&["*.test"])] {
            check(level, "localhost", Err("local-name"));
            check(level, "a.localhost", Err("local-name"));
            check(level, "gateway.internal:80", Err("local-name"));
            check(level, "metadata.google.internal", Err("local-name"));
            check(level, "printer.local", Err("local-name"));
            check(level, "router.home.arpa", Err("local-name"));
            check(level, "metadata", Err("single-label"));
            check(level, "127.0.0.1:4000", Err("loopback"));
            check(level, "[::1]", Err("loopback"));
            check(level, "[::ffff:169.254.169.254]", Err("link-local"));
            check(level, "[fd00:ec2::254]", Err("unique-local"));
        }
        check(&EgressLevel::Open, "notlocalhost.test", Ok("open"));
        check(&EgressLevel::Open, "internal.test", Ok("open"));
    }

    #[test]
    fn the_level_none_allows_nothing_and_open_every_public_host() {
        check(&EgressLevel::None, "example.com", Err("level-none"));
        check(&EgressLevel::None, "1.1.1.1", Err("level-none"));
        check(&EgressLevel::Open, "example.com", Ok("open"));
        check(&EgressLevel::Open, "[2606:4700::1111]", Ok("open"));
        check(&list(&[]), "example.com", Err("not-listed"));
    }

    #[test]
    fn a_rule_that_would_match_nothing_is_an_error() {
        for bad in [
            "",
            "*",
            "*.",
            "*.*.test",
            "https://a.test",
            "a.test/x",
            "a.test.",
            "10.0.0.0/8",
            "10.0.0.0/",
            "*.1.1.1.1",
            "a.test:0",
            "a_b.test",
            "bücher.test",
            "a\0.test",
            "*a.test",
        ] {
            let level = list(&["fine.test", bad]);
            assert!(Egress::new(&level).is_err(), "{bad:?}");
            check(&level, "fine.test", Err("invalid-rule"));
        }
        let many = EgressLevel::AllowList(vec!["a.test".into(); RULES_MAX + 1]);
        assert_eq!(Egress::new(&many), Err(InvalidRule::TooMany(RULES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn an_allow_list_never_allows_more_than_open(
            name in "[a-z0-9.:\\[\\]-]{1,20}", rule in "(\\*\\.)?[a-z0-9.-]{1,10}(:[1-9]{1,3})?",
        ) {
            if let Ok(target) = HostPort::parse(&name, Some(443)) {
                let listed = decide(&list(&[&rule]), &target.host, target.port);
                let open = decide(&EgressLevel::Open, &target.host, target.port);
                prop_assert!(!listed.allowed() || open.allowed());
            }
        }

        #[test]
        fn every_rule_that_is_accepted_allows_something(
            rule in "(\\*\\.)?[a-z0-9.:\\[\\]-]{1,14}(:[1-9]{1,3})?",
        ) {
            if let Ok(egress) = Egress::new(&list(&[&rule])) {
                let parsed = HostPort::parse(rule.trim_start_matches("*."), Some(443)).unwrap();
                let host = match parsed.host {
                    Host::Name(name) if rule.starts_with("*.") => Host::Name(format!("a.{name}")),
                    host => host,
                };
                prop_assert!(egress.decide(&host, parsed.port).allowed(), "{}", rule);
            }
        }

        #[test]
        fn a_wildcard_allows_exactly_the_names_below(label in "[a-z]{1,5}", glue in "[.a-z]{0,2}") {
            let name = format!("{label}{glue}pkg.test");
            if let Ok(host) = Host::parse(&name) {
                let allowed = decide(&list(&["*.pkg.test"]), &host, 443).allowed();
                prop_assert_eq!(allowed, name.ends_with(".pkg.test"));
            }
        }
    }
}
