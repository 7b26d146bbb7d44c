//! Which limit was in the way, and when it will not be.

use std::fmt;

use sconce_domain::Subject;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitKind {
    /// Requests a minute.
    RequestsMinute,
    /// Requests open at once.
    Concurrent,
    /// Tokens a minute.
    TokensMinute,
    /// Tokens of a day.
    TokensDay,
    /// Tokens of a month.
    TokensMonth,
}

/// A limit that a request would break. Nothing was taken for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Exceeded {
    /// Whose limit.
    pub subject: Subject,
    /// Which one.
    pub kind: LimitKind,
    /// How much it allows.
    pub figure: u64,
    /// How much of that is left.
    pub left: u64,
    /// How much the request needs.
    pub wanted: u64,
    /// When there may be room, or `None` if there never will be for so much.
    pub wait_ms: Option<u64>,
}

impl LimitKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::RequestsMinute,
        Self::Concurrent,
        Self::TokensMinute,
        Self::TokensDay,
        Self::TokensMonth,
    ];

    /// The word for it in files and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsMinute => "requests_per_minute",
            Self::Concurrent => "concurrent_requests",
            Self::TokensMinute => "tokens_per_minute",
            Self::TokensDay => "tokens_per_day",
            Self::TokensMonth => "tokens_per_month",
        }
    }

    /// Whether it is an amount to be used up, and not a rate that comes back by itself.
    #[must_use]
    pub fn is_budget(self) -> bool {
        matches!(self, Self::TokensDay | Self::TokensMonth)
    }
}

impl Exceeded {
    /// Seconds until it is worth while to ask again.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        let seconds = self.wait_ms?.div_ceil(1000).max(1);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            figure,
            left,
            wanted,
            ..
        } = self;
        match self.kind {
            LimitKind::RequestsMinute => {
                write!(
                    formatter,
                    "the {subject} may send {figure} requests a minute and has none left"
                )?;
            }
            LimitKind::Concurrent => {
                return write!(
                    formatter,
                    "the {subject} may have {figure} requests open at once, and has; try again when one of \
                     them has ended"
                );
            }
            LimitKind::TokensMinute | LimitKind::TokensDay | LimitKind::TokensMonth => {
                let period = match self.kind {
                    LimitKind::TokensDay => "day",
                    LimitKind::TokensMonth => "month",
                    _ => "minute",
                };
                write!(
                    formatter,
                    "the {subject} may use {figure} tokens a {period} and has {left} left; this request \
                     needs up to {wanted}, its prompt and the longest answer that it allows: ask for a \
                     shorter one"
                )?;
            }
        }
        match (self.kind, self.wait_ms) {
            (_, None) => write!(formatter, "; so many never fit"),
            (LimitKind::TokensDay, Some(ms)) => {
                write!(formatter, ", or try again at midnight UTC, in {}", Wait(ms))
            }
            (LimitKind::TokensMonth, Some(ms)) => {
                write!(
                    formatter,
                    ", or try again on the first of the next month, in {}",
                    Wait(ms)
                )
            }
            (LimitKind::TokensMinute, Some(ms)) => {
                write!(formatter, ", or try again in {}", Wait(ms))
            }
            (_, Some(ms)) => write!(formatter, "; try again in {}", Wait(ms)),
        }
    }
}

/// A time to wait, rounded up, in the two largest of its units.
struct Wait(u64);

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_ceil(1000).max(1);
        let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
        let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(formatter, "{rest} s"),
            (0, 0, _) => write!(formatter, "{minutes} min {rest} s"),
            (0, ..) => write!(formatter, "{hours} h {minutes} min"),
            _ => write!(formatter, "{days} days {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_names_the_limit_its_figure_and_when_to_come_back() {
        let told = |kind, wait_ms| {
            let (subject, figure) = (Subject::Key("web".into()), 500);
            let (left, wanted) = (20, 30);
            let exceeded = Exceeded {
                subject,
                kind,
                figure,
                left,
                wanted,
                wait_ms,
            };
            exceeded.to_string()
        };
        let minute = told(LimitKind::RequestsMinute, Some(1));
        assert_eq!(
            minute,
            "the key `web` may send 500 requests a minute and has none left; try again in 1 s"
        );
        let day = told(LimitKind::TokensDay, Some(3_600_000 * 5));
        for part in [
            "500 tokens a day",
            "has 20 left",
            "up to 30",
            "midnight UTC, in 5 h 0 min",
        ] {
            assert!(day.contains(part), "{day}");
        }
        assert!(told(LimitKind::TokensMonth, Some(90_000_000)).ends_with("in 1 days 1 h"));
        assert!(told(LimitKind::TokensMinute, Some(61_001)).ends_with("in 1 min 2 s"));
        assert!(told(LimitKind::TokensMinute, None).ends_with("never fit"));
        assert!(told(LimitKind::Concurrent, Some(1000)).contains("500 requests open at once"));
    }
}
