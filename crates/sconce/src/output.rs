//! What people read: answers on standard output, complaints on standard error.
//!
//! A reader that is gone (`sconce models list | head -1`) is no error of ours, so failures to write
//! are passed over.

use std::io::Write;

/// Prints a line.
pub(crate) fn say(line: &str) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}

/// Prints a piece of a line at once.
pub(crate) fn say_piece(piece: &str) {
    let mut out = std::io::stdout();
    let _gone = out.write_all(piece.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line on standard error.
pub(crate) fn complain(line: &str) {
    let _gone = writeln!(std::io::stderr(), "{line}");
}

/// A number of bytes as people write it, in powers of ten.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes >= 1e9 {
        format!("{:.2} GB", bytes / 1e9)
    } else {
        format!("{:.0} MB", bytes / 1e6)
    }
}

/// A count with a comma between thousands.
pub(crate) fn count_text(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(bytes_text(98_362_432), "98 MB");
        assert_eq!(bytes_text(4_913_000_000), "4.91 GB");
        assert_eq!(count_text(7), "7");
        assert_eq!(count_text(8_192), "8,192");
        assert_eq!(count_text(1_048_576), "1,048,576");
    }
}
