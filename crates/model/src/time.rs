//! Time as text. Not a clock: the time is always given.

use jiff::{Timestamp, tz::TimeZone};

/// Milliseconds since 1970 as RFC 3339 with milliseconds, in UTC (`2026-11-21T08:00:00.000Z`).
pub fn rfc3339(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let ts = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{ts:.3}")
}

/// The calendar month in UTC that a moment lies in, as months since the year 0: those in a row differ
/// by one.
pub fn month_of(unix_ms: u64) -> u32 {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let date = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC);
    u32::try_from(i32::from(date.year()) * 12 + i32::from(date.month()) - 1).unwrap_or(0)
}

/// Unix milliseconds at which such a month begins.
pub fn month_begins(month: u32) -> u64 {
    let year = i16::try_from(month / 12).unwrap_or(i16::MAX);
    let month = i8::try_from(month % 12 + 1).unwrap_or(1);
    let first = jiff::civil::Date::new(year, month, 1).and_then(|day| day.to_zoned(TimeZone::UTC));
    first.ok().and_then(|at| u64::try_from(at.timestamp().as_millisecond()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn months_are_counted_and_begin_where_they_should() {
        use super::{month_begins, month_of};
        // 2026-11-30T23:59:59.999Z and a millisecond later.
        let last = 1_796_083_199_999;
        let november = month_of(last);
        assert_eq!(november, 2026 * 12 + 10);
        assert_eq!(month_of(last + 1), november + 1);
        assert_eq!(month_begins(november + 1), last + 1);
        assert_eq!((month_begins(month_of(0)), month_begins(0)), (0, 0));
        assert_eq!(month_of(month_begins(november + 2)), november + 2, "over a new year");
    }

    #[test]
    fn milliseconds_are_always_written() {
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::rfc3339(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
    }
}
