//! Which bindings are understood, and which requests fit them.

use super::*;
use proptest::prelude::*;

fn binding(hosts: &[&str], methods: &[&str], paths: &[&str], headers: &[&str]) -> Binding {
    let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    Binding {
        hosts: texts(hosts),
        methods: texts(methods),
        paths: texts(paths),
        headers: texts(headers),
    }
}

#[test]
fn a_secret_goes_to_its_hosts_and_nowhere_else() {
    let bound =
        Bound::new(&binding(&["API.a.test", "*.b.test", "c.test:8443"], &[], &[], &[])).unwrap();
    let check = |target: &str, expected| {
        let target = HostPort::parse(target, Some(443)).unwrap();
        assert_eq!(bound.is_for(&target), expected, "{target}");
    };
    for yes in ["api.a.test", "x.b.test", "x.y.b.test:443", "c.test:8443"] {
        check(yes, true);
    }
    for no in ["a.test", "b.test", "api.a.test:8443", "c.test", "api.a.test.evil.test", "1.1.1.1"] {
        check(no, false);
    }
}

#[test]
fn methods_paths_and_headers_are_those_that_were_named() {
    let bound =
        Bound::new(&binding(&["a.test"], &["get", "POST"], &["/v1/*", "/me"], &["X-Api-Key"]))
            .unwrap();
    for (method, path, expected) in [
        ("GET", "/v1/charges", true),
        ("POST", "/me", true),
        ("DELETE", "/me", false),
        ("get", "/me", false),
        ("GET", "/me/x", false),
        ("GET", "/v1", false),
        ("GET", "/v1/../admin", false),
        ("GET", "/v1/%2e%2e/admin", false),
        ("GET", "/v1/..%2fadmin", false),
        ("GET", "/v1/%252e%252e/admin", false),
        ("GET", "/v1/..;/admin", false),
        ("GET", "/v1//admin", false),
        ("GET", "/v1/\\..\\admin", false),
        ("GET", "*", false),
        ("GET", "/v1/..%3fx", false),
        ("GET", "/v1/..%23", false),
        ("GET", "/v1/%c0%ae%c0%ae/admin", false),
        ("GET", "/v1/%u002e%u002e/admin", false),
        ("GET", "/v1/.%09./admin", false),
        ("GET", "/v1/..%20/admin", false),
        ("GET", "/v1/%20../admin", false),
        ("GET", "/v1/..+/admin", false),
        ("GET", "/v1/..:/admin", false),
        ("GET", "/v1/..%00/admin", false),
        ("GET", "/v1/%ef%bc%8e%ef%bc%8e/admin", false),
        ("GET", "/v1/%20/admin", false),
        ("GET", "/v1/a%", false),
        ("GET", "/v1/a%2", false),
        ("GET", "/v1/a%3b", false),
        ("GET", "/v1/", true),
        ("GET", "/v1/a/b/", true),
        ("GET", "/v1/.well-known/a.b..c", true),
        ("GET", "/v1/models/x:generate", true),
        ("GET", "/v1/a%20b%40c/~me/+15550100", true),
        ("GET", "/v1/_search", true),
    ] {
        assert_eq!(bound.takes(method, path), expected, "{method} {path}");
    }
    assert!(bound.header("x-api-key") && !bound.header("authorization"));
    let every = Bound::new(&binding(&["a.test"], &[], &[], &[])).unwrap();
    assert!(every.takes("PURGE", "/a/../b") && every.header("authorization"));
    assert!(!every.header("x-api-key"));
    let root = Bound::new(&binding(&["a.test"], &[], &["/*"], &[])).unwrap();
    assert!(root.takes("GET", "/a%2fb/../c") && !root.takes("OPTIONS", "*"));
}

#[test]
fn what_is_not_understood_is_refused() {
    for wrong in [
        binding(&[], &[], &[], &[]),
        binding(&["a.test"; 17], &[], &[], &[]),
        binding(&["https://a.test"], &[], &[], &[]),
        binding(&["1.1.1.1"], &[], &[], &[]),
        binding(&["*.com"], &[], &[], &[]),
        binding(&["*"], &[], &[], &[]),
        binding(&["localhost"], &[], &[], &[]),
        binding(&["a.test"], &["CONNECT"], &[], &[]),
        binding(&["a.test"], &["G T"], &[], &[]),
        binding(&["a.test"], &[], &["v1"], &[]),
        binding(&["a.test"], &[], &["/*/x"], &[]),
        binding(&["a.test"], &[], &["/a/../b"], &[]),
        binding(&["a.test"], &[], &["/a?b"], &[]),
        binding(&["a.test"], &[], &[], &["host"]),
        binding(&["a.test"], &[], &[], &["a:b"]),
    ] {
        assert!(Bound::new(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_key_in_the_wrong_field_is_not_said_back() {
    let key = "sk/live_4711\"canary";
    let said = |hosts: &[&str], methods: &[&str], paths: &[&str], headers: &[&str]| {
        Bound::new(&binding(hosts, methods, paths, headers)).unwrap_err().to_string()
    };
    for (said, place) in [
        (said(&["a.test", key], &[], &[], &[]), "binding.hosts[1] is no host"),
        (said(&["canary"], &[], &[], &[]), "binding.hosts[0] is no public host"),
        (said(&["a.test"], &[key], &[], &[]), "binding.methods[0] is no method"),
        (said(&["a.test"], &[], &["/a", key], &[]), "binding.paths[1] is no path"),
        (said(&["a.test"], &[], &[], &[key]), "binding.headers[0] is no header"),
    ] {
        assert!(said.starts_with(place) && !said.contains("canary"), "{said}");
    }
}

#[test]
fn it_is_written_in_one_way() {
    let said = binding(&[" A.test ", "a.test", "*.B.test:444"], &["get"], &["/v1/*"], &[]);
    let plain = Bound::new(&said).unwrap().plain();
    let expected = binding(&["a.test", "*.b.test:444"], &["GET"], &["/v1/*"], &["authorization"]);
    assert_eq!(plain, expected);
    assert_eq!(Bound::new(&plain).unwrap().plain(), plain);
}

/// What lenient servers do to a path, each in its own order: so all of it, until nothing changes.
fn leniently(path: &str) -> String {
    let mut text = path.to_ascii_lowercase();
    loop {
        let before = text.clone();
        for (written, meant) in [
            ("%25", "%"),
            ("%2e", "."),
            ("%u002e", "."),
            ("%c0%ae", "."),
            ("%ef%bc%8e", "."),
            ("%2f", "/"),
            ("%u002f", "/"),
            ("%c0%af", "/"),
            ("%5c", "/"),
            ("\\", "/"),
            ("%20", " "),
            ("+", " "),
            ("%09", ""),
            ("%00", ""),
            ("%3b", ";"),
            ("%3f", "?"),
            ("%23", "#"),
        ] {
            text = text.replace(written, meant);
        }
        if text == before {
            return text.split(['?', '#']).next().unwrap_or_default().to_owned();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_path_that_is_let_in_stays_below_its_beginning(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", ".", ".", "..", "/", "/", "%2e", "%2E", "%2F", "%5c", "\\", "%25", "%3f",
                "%23", "%3b", ";", "%09", "%00", "%20", "+", ":", "%", "%u002e", "%u002F",
                "%c0%ae", "%c0%af", "%ef%bc%8e", "2e", "c",
            ]),
            0..10,
        ),
    ) {
        let path = format!("/v1/{}", pieces.concat());
        let bound = Bound::new(&binding(&["a.test"], &[], &["/v1/*"], &[])).unwrap();
        if bound.takes("GET", &path) {
            let mut depth = 0i32;
            for segment in leniently(&path).split('/').skip(2) {
                match segment.split([';', ':']).next().unwrap_or_default().trim() {
                    ".." => depth -= 1,
                    "" | "." => {}
                    _ => depth += 1,
                }
                prop_assert!(depth >= 0, "{path}");
            }
        }
    }
}
