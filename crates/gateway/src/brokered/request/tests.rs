//! What goes into the head of a request, and what is refused there. Not how it travels.

use super::*;
use crate::brokered::{Brokered, BrokeredSecret};
use http::Request;
use toft_model::{binding::Binding, id::ProjectId};
use toft_vault::Secret;

const PLACEHOLDER: &str = "toft-placeholder-00112233445566778899aabbccddeeff";
const VALUE: &str = "sk-canary-value";

fn broker() -> Broker {
    let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let binding = Binding {
        hosts: texts(&["api.test"]),
        methods: texts(&["GET", "POST"]),
        paths: texts(&["/v1/*"]),
        headers: texts(&["authorization", "x-api-key"]),
    };
    let secret = BrokeredSecret {
        name: "KEY".into(),
        placeholder: PLACEHOLDER.into(),
        value: Secret::new(VALUE),
        binding,
    };
    Broker::new(&ProjectId::random(), Brokered { secrets: vec![secret], authority: None })
}

fn put(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<(Parts, Vec<String>), String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let target = HostPort::parse("api.test", Some(443)).unwrap();
    let used = broker().put_in(&mut parts, &target).map_err(|why| why.to_string())?;
    Ok((parts, used))
}

#[test]
fn a_value_goes_into_the_headers_that_it_is_bound_to() {
    let bearer = format!("Bearer {PLACEHOLDER}");
    let basic = format!("basic {}", STANDARD.encode(format!("me:{PLACEHOLDER}")));
    for (given, expected) in [
        (bearer.as_str(), format!("Bearer {VALUE}")),
        (PLACEHOLDER, VALUE.to_owned()),
        (&basic, format!("basic {}", STANDARD.encode(format!("me:{VALUE}")))),
    ] {
        let (parts, used) = put("GET", "/v1/me", &[("Authorization", given)]).unwrap();
        assert_eq!(parts.headers["authorization"], expected);
        assert!(parts.headers["authorization"].is_sensitive());
        assert_eq!(used, ["KEY"]);
    }
}

#[test]
fn a_header_that_makes_another_request_of_it_is_refused_where_a_value_goes() {
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X_HTTP_Method_Override",
    ] {
        let headers = [(name, "DELETE"), ("authorization", PLACEHOLDER)];
        let refused = put("POST", "/v1/me", &headers).unwrap_err();
        let lower = name.to_ascii_lowercase();
        assert!(refused.contains(&lower) && refused.contains("KEY is bound"), "{refused}");
        assert!(put("POST", "/v1/me", &headers[..1]).is_ok(), "no value goes out with it");
    }
}

#[test]
fn a_placeholder_anywhere_else_is_refused() {
    let own = &[("authorization", PLACEHOLDER)][..];
    for (method, url, headers, why) in [
        ("GET", "/v2/me", own, "KEY is not bound to GET /v2/me"),
        ("DELETE", "/v1/me", own, "KEY is not bound to DELETE /v1/me"),
        ("GET", "/v1/../v2", own, "KEY is not bound to GET /v1/../v2"),
        ("GET", "/v1/me", &[("x-other", PLACEHOLDER)], "header x-other"),
        ("GET", "/v1/me", &[("cookie", PLACEHOLDER)], "header cookie"),
        ("GET", &format!("/v1/{PLACEHOLDER}"), &[], "in the URL"),
        ("GET", &format!("/v1/me?key={PLACEHOLDER}"), &[], "in the URL"),
        (
            "GET",
            "/v1/me",
            &[("authorization", "toft-placeholder-ffffffffffffffffffffffffffffffff")],
            "no secret of this project",
        ),
    ] {
        let refused = put(method, url, headers).unwrap_err();
        assert!(refused.contains(why) && !refused.contains(VALUE), "{refused}");
    }
    let other = HostPort::parse("other.test", Some(443)).unwrap();
    let request = Request::get("/v1/me").header("authorization", PLACEHOLDER);
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let refused = broker().put_in(&mut parts, &other).unwrap_err().to_string();
    assert!(refused.contains("not bound to other.test"), "{refused}");
}

#[test]
fn a_head_of_placeholders_does_not_become_one_of_megabytes() {
    let many = |count: usize| PLACEHOLDER.repeat(count);
    assert!(put("GET", "/v1/me", &[("authorization", &many(VALUES_MAX))]).is_ok());
    let half = many(VALUES_MAX / 2 + 1);
    let two = [("authorization", half.as_str()), ("x-api-key", &half)];
    for headers in [&two[..], &[("authorization", &many(VALUES_MAX + 1))]] {
        let refused = put("GET", "/v1/me", headers).unwrap_err();
        assert!(refused.contains("16 placeholders at most"), "{refused}");
    }
}

#[test]
fn without_tls_no_placeholder_goes_out() {
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{PLACEHOLDER}")));
    for (url, value) in [("/x", PLACEHOLDER), ("/x", &*basic), (&format!("/{PLACEHOLDER}"), "x")] {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value.parse().unwrap());
        assert!(refuse_plain(&url.parse().unwrap(), &headers).is_err());
    }
    assert!(refuse_plain(&"/x".parse().unwrap(), &HeaderMap::new()).is_ok());
}
