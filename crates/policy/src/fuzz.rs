//! What the fuzzer feeds (`.ci/fuzz`): names of hosts as programs and people write them, each with the rules that
//! hold whatever they are. Nothing of this is in what ships.

use crate::{Egress, Host, HostPort, command, decide, egress, workspace};
use toft_model::machine::EgressLevel;

/// A name, and what reads the bytes.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub const TARGETS: &[Fuzzed] =
    &[("hosts", hosts), ("egress_rules", egress_rules), ("project_commands", project_commands)];

/// A name is written back the same, so that what is judged is what is dialled.
fn hosts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Ok(host));
    }
    if let Ok(place) = HostPort::parse(text, Some(443)) {
        assert_eq!(HostPort::parse(&place.to_string(), None), Ok(place));
    }
}

/// A host on the first line, then rules: no list of them opens what is closed to all.
fn egress_rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let rules: Vec<String> = rest.lines().map(str::to_owned).collect();
    for rule in &rules {
        if let Ok(plain) = egress::rule(rule) {
            assert_eq!(egress::rule(&plain).as_ref(), Ok(&plain), "written back the same");
        }
    }
    let Ok(target) = HostPort::parse(first, Some(443)) else { return };
    let Ok(list) = Egress::new(&EgressLevel::AllowList(rules.clone())) else { return };
    let allowed = list.decide(&target.host, target.port).allowed();
    assert!(!allowed || decide(&EgressLevel::Open, &target.host, target.port).allowed());
    assert!(!allowed || !rules.is_empty());
    assert!(!decide(&EgressLevel::None, &target.host, target.port).allowed());
}

/// What is run is one of the programs, and no word of it means anything to a shell; what `rm` gets is inside.
fn project_commands(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(words) = command::judge(text, ".") else { return };
    assert!(command::PROGRAMS.contains(&words[0].as_str()));
    assert!(!words.iter().any(|word| word.contains(['$', '`', ';', '|', '&', '\n', '\0'])));
    let paths = words[1..].iter().filter(|word| words[0] == "rm" && !word.starts_with('-'));
    for path in paths {
        let clean = workspace::inside(path).expect("it is inside");
        assert!(clean.components().all(|part| part.as_os_str() != ".git"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}
