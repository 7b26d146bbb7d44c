//! Numbers of bytes as people write them: `6GB`, `1.5 GiB`, `800000000`.

/// The factor of each unit, in small letters.
const UNITS: [(&str, f64); 9] = [
    ("", 1.0),
    ("b", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
];

/// The number that `text` stands for.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .bytes()
        .take_while(|it| it.is_ascii_digit() || *it == b'.');
    let (number, unit) = text.split_at(digits.count());
    let unit = unit.trim().to_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some((_, factor))) if number * factor >= 1.0 => Ok((number * factor) as u64),
        _ => Err(format!(
            "{text:?} is no number of bytes; write it like 6GB, 1.5GiB or 800000000"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_count_and_nonsense_does_not() {
        for (text, bytes) in [
            ("800000000", 800_000_000),
            ("6GB", 6_000_000_000),
            ("1.5 GiB", 1_610_612_736),
            (" 12 mb ", 12_000_000),
            ("1B", 1),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "0", "-1GB", "6 apples", "1.2.3MB", "6G B"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
