//! One byte range of a `Range` header (RFC 9110 §14). Several ranges, other units and nonsense mean
//! the whole file, as the RFC allows.

/// What a header asks of `size` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    All,
    /// First and last byte, both included.
    Part(u64, u64),
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads a header's value; no header, no range.
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let part = header
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .filter(|spec| !spec.contains(','))
        .and_then(|spec| spec.split_once('-'))
        .map(|(first, last)| (first.trim(), last.trim()));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let Some((first, last)) = part.filter(|(f, l)| digits(f) && digits(l)) else {
        return Wanted::All;
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Wanted::All,
        (Ok(first), _) if first >= size => Wanted::Unsatisfiable,
        (Ok(first), Ok(last)) => Wanted::Part(first, last.min(size - 1)),
        (Ok(first), Err(_)) if last.is_empty() => Wanted::Part(first, size - 1),
        (Err(_), Ok(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (Err(_), Ok(_)) if first.is_empty() && size == 0 => Wanted::Unsatisfiable,
        (Err(_), Ok(count)) if first.is_empty() => Wanted::Part(size - count.min(size), size - 1),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Wanted::{All, Part, Unsatisfiable};
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (header, size, want) in [
            (None, 10, All),
            (Some("bytes=0-3"), 10, Part(0, 3)),
            (Some("bytes=4-"), 10, Part(4, 9)),
            (Some("bytes=-3"), 10, Part(7, 9)),
            (Some("bytes=-30"), 10, Part(0, 9)),
            (Some("bytes=0-99"), 10, Part(0, 9)),
            (Some("bytes=10-"), 10, Unsatisfiable),
            (Some("bytes=-0"), 10, Unsatisfiable),
            (Some("bytes=0-0"), 0, Unsatisfiable),
            (Some("bytes=-1"), 0, Unsatisfiable),
            (Some("bytes=5-2"), 10, All),
            (Some("bytes=0-1,3-4"), 10, All),
            (Some("lines=0-1"), 10, All),
            (Some("bytes=-"), 10, All),
            (Some("bytes=+1-2"), 10, All),
            (Some("bytes=99999999999999999999999-"), 10, All),
        ] {
            assert_eq!(wanted(header, size), want, "{header:?} of {size}");
        }
    }

    proptest! {
        #[test]
        fn a_part_always_lies_inside(text in "bytes=[-0-9]{0,24}", size in any::<u64>()) {
            if let Part(first, last) = wanted(Some(&text), size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
