//! What may stand in a name, and how text of unknown origin is shown on one line.

/// Whether a character only shows itself: no control character, no end of a line, and none of Unicode's
/// `Bidi_Control`, with which what is read differs from what is there.
///
/// ```
/// use toft_model::text::is_plain;
/// assert!("Läden ٣ 店 👩‍💻".chars().all(is_plain));
/// assert!(!"invoice\u{202e}gpj.exe".chars().all(is_plain));
/// ```
pub fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// The same text with what is not plain written out (`\n`, `\u{1b}`).
///
/// ```
/// assert_eq!(toft_model::text::plain("/a\n\u{1b}[31mä\u{202e}"), "/a\\n\\u{1b}[31mä\\u{202e}");
/// ```
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            out.push(c);
        } else if c.is_ascii_control() {
            out.extend(c.escape_default());
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}
