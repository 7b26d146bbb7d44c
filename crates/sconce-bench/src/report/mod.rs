//! What people read of findings: facts, tables and plots, as text or as one page of HTML.

mod html;
mod plot;
mod scale;
mod text;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub use plot::{Axis, Line, Plot};
pub use scale::Scale;

/// Findings for people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The head.
    pub title: String,
    /// What was measured, by name.
    pub facts: Vec<(String, String)>,
    /// The numbers.
    pub tables: Vec<Table>,
    /// The same as pictures; not in the text.
    pub plots: Vec<Plot>,
    /// How to read them.
    pub notes: Vec<String>,
}

/// Numbers in rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// What they are.
    pub title: String,
    /// A name for each column; the first holds names, the others numbers.
    pub head: Vec<String>,
    /// As many cells as the head has.
    pub rows: Vec<Vec<String>>,
}

/// What a JSON file says of itself. A field is only ever added to a version; one that changes or goes
/// makes a new one.
pub(crate) fn schema(name: &str) -> Value {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    json!({
        "name": name,
        "version": 1,
        "sconce": env!("CARGO_PKG_VERSION"),
        "created_s": since.map_or(0, |it| it.as_secs()),
    })
}

/// A number as people write it: about three digits, commas between thousands.
#[must_use]
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        it if it >= 99.95 => return grouped(value),
        it if it >= 9.995 => 1,
        it if it >= 0.0995 || it == 0.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value < 0.0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in per cent, or a dash where there is none.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        Some(share) => format!("{} %", number((share * 1e3).round() / 10.0)),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_three_digits() {
        let written = [
            (1_410.4, "1,410"),
            (1_234_567.0, "1,234,567"),
            (99.96, "100"),
            (27.64, "27.6"),
            (2.71449, "2.71"),
            (2.0, "2"),
            (0.0123, "0.0123"),
            (0.0, "0"),
            (-1_410.4, "-1,410"),
        ];
        for (value, text) in written {
            assert_eq!(number(value), text);
        }
        assert_eq!(percent(Some(0.534)), "53.4 %");
        assert_eq!(percent(None), "-");
    }
}
