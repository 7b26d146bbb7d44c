//! A rate: the generic cell rate algorithm (ITU-T I.371, annex A) in its form as a leaky bucket.
//!
//! What is taken is poured into a bucket that holds a minute's worth and drains all the time, at the
//! limit's rate. There is no window at whose edge twice the limit could pass at once. All numbers are
//! integers: a unit is poured as 60,000 parts, so that what drains in a millisecond is the limit itself.

use crate::Moment;

const MINUTE_MS: u64 = 60_000;

/// How full a bucket was, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// Units, each of 60,000 parts.
    pub parts: u64,
    /// When that was.
    pub at: Moment,
}

impl Level {
    /// What is in the bucket now. A clock that goes back drains nothing.
    fn drained(self, per_minute: u64, now: Moment) -> u64 {
        let passed_ms = now.0.saturating_sub(self.at.0);
        self.parts
            .saturating_sub(passed_ms.saturating_mul(per_minute))
    }

    /// How long to wait until `amount` fits in, or `None` if it never will.
    pub(crate) fn wait_ms(self, amount: u64, per_minute: u64, now: Moment) -> Option<u64> {
        if amount > per_minute {
            return None;
        }
        let wanted = self.drained(per_minute, now) + amount * MINUTE_MS;
        let excess = wanted.saturating_sub(per_minute * MINUTE_MS);
        Some(excess.div_ceil(per_minute))
    }

    /// Pours `amount` in.
    pub(crate) fn pour(&mut self, amount: u64, per_minute: u64, now: Moment) {
        let parts = self.drained(per_minute, now);
        self.parts = parts.saturating_add(amount.saturating_mul(MINUTE_MS));
        self.at = now;
    }

    /// Takes `amount` out that was poured in at `since` for nothing, but not what of it may have drained
    /// since then: that room may have been used by others, and is not given twice.
    pub(crate) fn give_back(
        &mut self,
        amount: u64,
        since: Moment,
        (per_minute, now): (u64, Moment),
    ) {
        let drained = now.0.saturating_sub(since.0).saturating_mul(per_minute);
        let parts = amount.saturating_mul(MINUTE_MS).saturating_sub(drained);
        self.parts = self.drained(per_minute, now).saturating_sub(parts);
        self.at = now;
    }

    /// Whole units that still fit in.
    pub(crate) fn left(self, per_minute: u64, now: Moment) -> u64 {
        let capacity = per_minute * MINUTE_MS;
        capacity.saturating_sub(self.drained(per_minute, now)) / MINUTE_MS
    }

    /// When the bucket is empty, if nothing comes.
    pub(crate) fn reset_ms(self, per_minute: u64, now: Moment) -> u64 {
        self.drained(per_minute, now).div_ceil(per_minute)
    }
}
