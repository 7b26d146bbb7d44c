//! Moments, and the days and months of the UTC calendar that they are in.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The last day of the year 9999, counted from the first of 1970.
const DAY_MAX: u64 = 2_932_896;

/// A time, in milliseconds since 1970 began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Days since 1970 began.
    #[must_use]
    pub fn day(self) -> u32 {
        u32::try_from((self.0 / DAY_MS).min(DAY_MAX)).unwrap_or(u32::MAX)
    }

    /// Months since 1970 began.
    #[must_use]
    pub fn month(self) -> u32 {
        self.month_and_its_end().0
    }

    /// From now to the next day.
    pub(crate) fn to_next_day_ms(self) -> u64 {
        DAY_MS - self.0 % DAY_MS
    }

    /// From now to the next month.
    pub(crate) fn to_next_month_ms(self) -> u64 {
        let (_, next) = self.month_and_its_end();
        (u64::from(next) * DAY_MS).saturating_sub(self.0)
    }

    /// The month, and the day that the next one begins with.
    fn month_and_its_end(self) -> (u32, u32) {
        let day = self.day();
        let (mut month, mut next) = (0, 31);
        while next <= day {
            month += 1;
            next += days_of(month);
        }
        (month, next)
    }
}

/// Days of a month, counted from January 1970.
fn days_of(month: u32) -> u32 {
    let year = 1970 + month / 12;
    let divides = |by: u32| year.is_multiple_of(by);
    let is_leap = divides(4) && (!divides(100) || divides(400));
    match month % 12 {
        1 if is_leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_where_the_calendar_says() {
        // Seconds since 1970 of 2024-02-29T23:59:59Z, of the second after it, and of others.
        for (seconds, day, year, month) in [
            (0, 0, 1970, 1),
            (951_782_400, 11_016, 2000, 2),
            (1_709_251_199, 19_782, 2024, 2),
            (1_709_251_200, 19_783, 2024, 3),
            (1_767_225_599, 20_453, 2025, 12),
            (1_767_225_600, 20_454, 2026, 1),
            (4_107_542_400, 47_541, 2100, 3),
        ] {
            let moment = Moment(seconds * 1000);
            let months = (year - 1970) * 12 + month - 1;
            assert_eq!((moment.day(), moment.month()), (day, months), "{seconds}");
        }
    }

    #[test]
    fn a_period_ends_when_the_next_begins() {
        let last = Moment(1_709_251_199_000);
        assert_eq!(last.to_next_day_ms(), 1000);
        assert_eq!(last.to_next_month_ms(), 1000);
        let first = Moment(1_709_251_200_000);
        assert_eq!(first.to_next_day_ms(), DAY_MS);
        assert_eq!(first.to_next_month_ms(), 31 * DAY_MS);
    }

    #[test]
    fn no_moment_is_too_late() {
        let end = Moment(u64::MAX);
        assert!(end.day() > 2_900_000 && end.month() == (9999 - 1970) * 12 + 11);
        assert_eq!(end.to_next_month_ms(), 0);
    }
}
