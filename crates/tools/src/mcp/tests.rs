//! Values of the environment in what a configuration says.

use super::part::expanded;

#[test]
fn variables_are_put_in_where_they_are_named() {
    let value = |name: &str| match name {
        "A" => Some("one".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (text, filled) in [
        ("$A", "one"),
        ("x${A}y$A-$A", "xoneyone-one"),
        ("${NONE:-instead}", "instead"),
        ("${EMPTY:-instead}", "instead"),
        ("[$EMPTY]", "[]"),
        ("$schema ${schema:-x}", "$schema x"),
        ("cost: 5$ and $5 and $$A ${A", "cost: 5$ and $5 and $one ${A"),
    ] {
        assert_eq!(expanded(text, &value).as_deref(), Ok(filled), "{text}");
    }
    assert!(expanded("$NONE", &value).unwrap_err().contains("`NONE`"));
}
