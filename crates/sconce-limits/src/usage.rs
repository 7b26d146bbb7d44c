//! What a subject has taken: all that must survive a restart.

use crate::{Level, Moment};

/// What a subject has taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Requests of the last minute; kept only while there is a limit to them.
    pub requests: Level,
    /// Tokens of the last minute; kept only while there is a limit to them.
    pub tokens: Level,
    /// Tokens of the day.
    pub day: Spent,
    /// Tokens of the month.
    pub month: Spent,
}

/// Tokens of one period, those that are reserved included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// The period: a day or a month, counted from 1970 on.
    pub period: u32,
    /// Tokens.
    pub tokens: u64,
}

impl Spent {
    /// Tokens of `period`: none yet, if what is known is of another one.
    #[must_use]
    pub fn of(self, period: u32) -> u64 {
        if self.period == period {
            self.tokens
        } else {
            0
        }
    }

    pub(crate) fn add(&mut self, tokens: u64, period: u32) {
        let tokens = self.of(period).saturating_add(tokens);
        *self = Self { period, tokens };
    }

    /// Takes back what was added in `period`, unless that is over.
    pub(crate) fn take_back(&mut self, tokens: u64, period: u32) {
        if self.period == period {
            self.tokens = self.tokens.saturating_sub(tokens);
        }
    }
}

impl Usage {
    /// Tokens of the day that `now` is in, and of the month.
    #[must_use]
    pub fn tokens_at(&self, now: Moment) -> (u64, u64) {
        (self.day.of(now.day()), self.month.of(now.month()))
    }
}
