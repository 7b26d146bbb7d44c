//! What is left to a caller, in the headers that OpenAI's clients read.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sconce_limits::{Room, Standing};

/// Tells what is left. What has no limit is not told of.
pub(crate) fn add(headers: &mut HeaderMap, standing: &Standing) {
    let rooms = [("requests", standing.requests), ("tokens", standing.tokens)];
    for (what, room) in rooms {
        let Some(Room {
            figure,
            left,
            reset_ms,
        }) = room
        else {
            continue;
        };
        set(headers, "limit", what, &figure.to_string());
        set(headers, "remaining", what, &left.to_string());
        set(headers, "reset", what, &duration(reset_ms));
    }
}

fn set(headers: &mut HeaderMap, part: &str, what: &str, value: &str) {
    let name = HeaderName::try_from(format!("x-ratelimit-{part}-{what}"));
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// A duration as OpenAI writes it: `12ms`, `1.5s`, `6m0s`, `2h0m30s`.
fn duration(ms: u64) -> String {
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let (seconds, rest_ms) = (ms / 1000 % 60, ms % 1000);
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let mut text = String::new();
    let mut say = |number: u64, unit: &str| text.push_str(&format!("{number}{unit}"));
    if hours > 0 {
        say(hours, "h");
    }
    if ms >= 60_000 {
        say(minutes, "m");
    }
    say(seconds, "");
    if rest_ms > 0 {
        let digits = format!(".{rest_ms:03}");
        text.push_str(digits.trim_end_matches('0'));
    }
    text + "s"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_clients_know_them() {
        for (ms, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (59_999, "59.999s"),
            (360_000, "6m0s"),
            (7_230_020, "2h0m30.02s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
