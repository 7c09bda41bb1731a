//! Finds the model in a request body that passes by, by following the JSON's nesting: the value of
//! the top-level key `model`, wherever it stands. Never holds the body.

use super::name::bounded;
use memchr::memchr2;

/// Keys and values longer than this are not the ones looked for.
const TEXT_BYTES_MAX: usize = 256;

/// Feed it a JSON object in chunks cut anywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelFinder {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The string that is being read, or the last whole one at depth 1, with its quotes left out
    /// and its escapes left in.
    text: Vec<u8>,
    too_long: bool,
    /// The last whole string at depth 1 was the key `model`, and its colon was seen.
    value_follows: bool,
    /// It was seen at all, whatever its value.
    model_seen: bool,
    key_seen: bool,
    found: Option<String>,
    /// There is another `model` after it: which of them counts is each reader's own choice.
    doubled: bool,
    /// The last whole string at depth 1 was a key that says whether the work is done later.
    delay_key_seen: bool,
    /// Its colon was seen, and no value yet.
    delay_follows: bool,
    delayed: bool,
}

impl ModelFinder {
    /// The model, once it was seen.
    pub(crate) fn model(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// The model, if no other was seen until now.
    pub(crate) fn only_model(&self) -> Option<&str> {
        self.model().filter(|_| !self.doubled)
    }

    /// Whether it asks for work that is done later, as far as it was seen: `"background": true`
    /// (OpenAI), `"deferred": true` (xAI). Several such keys: one is enough.
    pub(crate) fn is_delayed(&self) -> bool {
        self.delayed
    }

    /// The next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first() {
            if self.in_string {
                bytes = self.string(bytes);
            } else {
                self.structure(first);
                bytes = &bytes[1..];
            }
        }
    }

    /// Consumes bytes of a string; returns those after it.
    fn string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if std::mem::take(&mut self.escaped) {
            self.keep(&bytes[..1]);
            return &bytes[1..];
        }
        let Some(at) = memchr2(b'"', b'\\', bytes) else {
            self.keep(bytes);
            return &[];
        };
        self.keep(&bytes[..at]);
        if bytes[at] == b'\\' {
            self.keep(b"\\");
            self.escaped = true;
        } else {
            self.in_string = false;
            self.string_ended();
        }
        &bytes[at + 1..]
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.depth != 1 || self.too_long {
            return;
        }
        if self.text.len() + bytes.len() > TEXT_BYTES_MAX {
            self.too_long = true;
        } else {
            self.text.extend_from_slice(bytes);
        }
    }

    fn string_ended(&mut self) {
        if self.depth != 1 || self.too_long {
            return;
        }
        let text = [b"\"", &self.text[..], b"\""].concat();
        let Ok(text) = serde_json::from_slice::<String>(&text) else { return };
        if std::mem::take(&mut self.delay_follows) {
            // Some read such texts as a yes.
            let yes = ["true", "1", "yes", "on"];
            self.delayed |= yes.iter().any(|yes| text.eq_ignore_ascii_case(yes));
            return;
        }
        self.delay_key_seen = matches!(&*text, "background" | "deferred");
        if std::mem::take(&mut self.value_follows) {
            if self.found.is_none() {
                self.found = bounded(&text);
            }
        } else {
            self.key_seen = text == "model";
        }
    }

    fn structure(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                self.too_long = false;
                self.text.clear();
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.key_seen = false;
                self.value_follows = false;
                self.delay_key_seen = false;
                self.delay_follows = false;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => {
                self.delay_follows = std::mem::take(&mut self.delay_key_seen);
                self.value_follows = std::mem::take(&mut self.key_seen);
                self.doubled |= self.value_follows && self.model_seen;
                self.model_seen |= self.value_follows;
            }
            b',' if self.depth == 1 => {
                self.key_seen = false;
                self.value_follows = false;
                self.delay_key_seen = false;
                self.delay_follows = false;
            }
            // `true`, or a number that some read as it.
            b't' | b'1'..=b'9' if self.delay_follows => self.delayed = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn find(body: &[u8], cut: usize) -> Option<String> {
        let mut finder = ModelFinder::default();
        body.chunks(cut).for_each(|chunk| finder.feed(chunk));
        finder.model().map(str::to_owned)
    }

    #[test]
    fn only_the_top_level_model_counts() {
        for (body, expected) in [
            (r#"{"model":"a"}"#, Some("a")),
            (
                r#"{"messages":[{"model":"no","content":"\"model\":\"no\""}],"model" : "b"}"#,
                Some("b"),
            ),
            (r#"{"x":"model","y":"no"}"#, None),
            (r#"{"x":["model","no"],"z":{"model":"no"}}"#, None),
            (r#"{"model":7,"other":"no"}"#, None),
            (r#"{"model":null}"#, None),
            (r#"{"mod\u0065l":"gpt\/4"}"#, Some("gpt/4")),
            (r#"["model","no"]"#, None),
            (r#""model""#, None),
            ("", None),
        ] {
            for cut in [1, 2, 3, 1_000] {
                assert_eq!(find(body.as_bytes(), cut).as_deref(), expected, "{body} {cut}");
            }
        }
    }

    #[test]
    fn which_of_two_models_is_meant_is_not_known() {
        for (body, expected) in [
            (r#"{"model":"a","x":{"model":"b"}}"#, Some("a")),
            (r#"{"model":"a","x":1,"model":"b"}"#, None),
            (r#"{"model":"a","mod\u0065l":null}"#, None),
            (r#"{"model":1,"model":"b"}"#, None),
            (r#"{"model":"a"}{"model":"b"}"#, None),
        ] {
            for cut in [1, 3, 1_000] {
                let mut finder = ModelFinder::default();
                body.as_bytes().chunks(cut).for_each(|chunk| finder.feed(chunk));
                assert_eq!(finder.only_model(), expected, "{body} {cut}");
            }
        }
    }

    #[test]
    fn work_that_is_done_later_is_seen() {
        for (body, expected) in [
            (r#"{"background":true}"#, true),
            (r#"{"a":{"b":1},"back\u0067round" : 	true,"x":1}"#, true),
            (r#"{"background":false,"background":true}"#, true),
            (r#"{"background":true,"background":false}"#, true),
            (r#"{"deferred":1}"#, true),
            (r#"{"deferred":"True"}"#, true),
            (r#"{"background":false,"stream":true}"#, false),
            (r#"{"background":null,"n":1}"#, false),
            (r#"{"background":"transparent","n":1}"#, false),
            (r#"{"background":{"a":true},"n":true}"#, false),
            (r#"{"x":"background","y":true}"#, false),
            (r#"{"x":{"background":true}}"#, false),
        ] {
            for cut in [1, 2, 3, 1_000] {
                let mut finder = ModelFinder::default();
                body.as_bytes().chunks(cut).for_each(|chunk| finder.feed(chunk));
                assert_eq!(finder.is_delayed(), expected, "{body} {cut}");
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[ -~é]{0,12}".prop_map(Value::from),
            Just(Value::from("model")),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("(model|[a-z\"\\\\]{0,6})", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_real_parser(
            before in value(), after in value(), model in "[ -~é]{1,20}", cut in 1usize..9,
        ) {
            let body = json!({"before": before, "model": model, "after": after}).to_string();
            prop_assert_eq!(find(body.as_bytes(), cut), Some(model));
            let without = json!({"before": before, "after": after}).to_string();
            prop_assert_eq!(find(without.as_bytes(), cut), None);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1usize..9) {
            find(&bytes, cut);
        }
    }
}
