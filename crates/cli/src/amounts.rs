//! Sizes and times as people type and read them: `2G`, `1.5G`, `90s`, `5m`, `none`, `never`. Not
//! what they limit.

use serde_json::{Map, Value};

/// A bound that may be taken off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound<T> {
    /// This much.
    At(T),
    /// `none` or `never`.
    Off,
}

impl<T> Bound<T> {
    /// As the API has it: `null` takes it off.
    pub(crate) fn get(self) -> Option<T> {
        match self {
            Self::At(value) => Some(value),
            Self::Off => None,
        }
    }
}

/// Those bounds of a change that were given, by their names in the API.
pub(crate) fn change<T: Copy + Into<Value>>(
    given: impl IntoIterator<Item = (&'static str, Option<Bound<T>>)>,
) -> Map<String, Value> {
    let field =
        |(name, bound): (&str, Option<Bound<T>>)| Some((name.to_owned(), bound?.get().into()));
    given.into_iter().filter_map(field).collect()
}

/// Binary units, as memory and disks are counted by the kernel.
const SIZES: [(&str, u64); 4] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
const TIMES: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Bytes: `512M`, `2G`, `2GiB`, `1.5g`, `1048576`, or `none`.
pub(crate) fn size(text: &str) -> Result<Bound<u64>, String> {
    if text == "none" {
        return Ok(Bound::Off);
    }
    let upper = text.trim().to_ascii_uppercase();
    let short = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    amount(short, &SIZES, 1)
        .map(Bound::At)
        .ok_or_else(|| format!("{text:?} is no size: write it as 512M, 2G or 1.5G, or none"))
}

/// Seconds: `90s`, `5m`, `1h`, `2d`, `300`, or `never`.
pub(crate) fn time(text: &str) -> Result<Bound<u64>, String> {
    if text == "never" {
        return Ok(Bound::Off);
    }
    amount(text.trim(), &TIMES, 1)
        .map(Bound::At)
        .ok_or_else(|| format!("{text:?} is no time: write it as 90s, 5m or 1h, or never"))
}

/// A number, or `none`.
pub(crate) fn count<T: std::str::FromStr>(text: &str) -> Result<Bound<T>, String> {
    if text == "none" {
        return Ok(Bound::Off);
    }
    text.parse().map(Bound::At).map_err(|_| format!("{text:?} is no number, and not none"))
}

/// US dollars: a number that is not below zero, or `none`.
pub(crate) fn dollars(text: &str) -> Result<Bound<f64>, String> {
    match count(text)? {
        Bound::At(sum) if !(0.0..f64::INFINITY).contains(&sum) => {
            Err(format!("{text:?} is no sum of money: write it as 0.50 or 20, or none"))
        }
        // It would be counted as nothing at all, and refuse every call.
        Bound::At(sum) if sum > 0.0 && sum < SMALLEST_DOLLARS => Err(format!(
            "{text:?} is too small a sum: the smallest is US$ 0.000001; 0 refuses every call"
        )),
        bound => Ok(bound),
    }
}

/// What is shown of a sum at most: millionths.
const SMALLEST_DOLLARS: f64 = 0.000_001;

/// Model calls, of which there is at least one, or `none`.
pub(crate) fn calls(text: &str) -> Result<Bound<u32>, String> {
    match count(text) {
        Ok(Bound::At(0)) => {
            Err("0 would refuse every call: to keep a project from models altogether, \
                                 stop its machine; none takes the limit off"
                .to_owned())
        }
        Ok(bound) => Ok(bound),
        Err(_) => {
            Err(format!("{text:?} is no number of calls: write it as 4, or none for no limit"))
        }
    }
}

fn amount(text: &str, units: &[(&str, u64)], unit: u64) -> Option<u64> {
    let with = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = with.unwrap_or((text, unit));
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let (whole, part) = number.split_once('.')?;
    let digits = u32::try_from(part.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
    let (whole, part): (u64, u64) = (plain(whole)??, plain(part)??);
    whole.checked_mul(unit)?.checked_add(unit.checked_mul(part)? / 10_u64.pow(digits))
}

/// Bytes for people: the largest unit in which it is at least one.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    let Some((name, unit)) = SIZES.iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(*unit);
    format!("{}.{} {name}iB", tenths / 10, tenths % 10)
}

/// Seconds for people: the largest unit that divides it.
pub(crate) fn shown_time(seconds: u64) -> String {
    let unit = TIMES.iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        let at = |value| Ok(Bound::At(value));
        for (text, want) in [
            ("2G", 2 << 30),
            ("2GiB", 2 << 30),
            ("1.5g", 3 << 29),
            ("512m", 512 << 20),
            ("64KB", 64 << 10),
            ("1048576", 1 << 20),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), at(want), "{text}");
        }
        for (text, want) in [("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172_800), ("7", 7)] {
            assert_eq!(time(text), at(want), "{text}");
        }
        assert_eq!((size("none"), time("never")), (Ok(Bound::Off), Ok(Bound::Off)));
        assert_eq!((count("1.5"), count::<f64>("none")), (Ok(Bound::At(1.5)), Ok(Bound::Off)));
        for wrong in ["", "G", "-1G", "1.G", ".5G", "1..5G", "2X", "99999999T", "1.+5G", "two"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "m", "none", "5 minutes", "-3s"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(count::<u64>("many").is_err());
        assert_eq!((dollars("0.50"), dollars("none")), (Ok(Bound::At(0.5)), Ok(Bound::Off)));
        assert_eq!((calls("4"), calls("none")), (Ok(Bound::At(4)), Ok(Bound::Off)));
        for wrong in ["0", "-1", "many", ""] {
            assert!(calls(wrong).is_err(), "{wrong}");
        }
        assert_eq!((dollars("0"), dollars("0.000001")), (Ok(Bound::At(0.0)), Ok(Bound::At(1e-6))));
        for wrong in ["NaN", "inf", "-inf", "-1", "1e999", "much", "", "0.0000000001"] {
            assert!(dollars(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn they_are_shown_in_the_unit_that_fits() {
        for (bytes, want) in
            [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB")]
        {
            assert_eq!(shown_bytes(bytes), want);
        }
        for (seconds, want) in [(0, "0s"), (90, "90s"), (300, "5m"), (3600, "1h"), (86_400, "1d")] {
            assert_eq!(shown_time(seconds), want);
        }
    }
}
