//! Time as text. Not a clock: the time is always given.

use jiff::Timestamp;

/// Milliseconds since 1970 as RFC 3339 with milliseconds, in UTC (`2026-11-21T08:00:00.000Z`).
pub fn rfc3339(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let ts = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{ts:.3}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn milliseconds_are_always_written() {
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::rfc3339(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
    }
}
