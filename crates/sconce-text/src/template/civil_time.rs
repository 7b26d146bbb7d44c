//! A date and a time of day as data, and their formatting for `strftime_now`.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A date and a time of day, without a time zone: what a clock on the wall shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilTime {
    year: i32,
    month: u8,
    day: u8,
    second_of_day: u32,
}

impl CivilTime {
    /// Reads a Unix time as UTC. Years from 0 to 9999; times outside are taken as the nearest.
    /// Source for the calendar: Hinnant 2013, "chrono-compatible low-level date algorithms".
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Self {
        let seconds = seconds.clamp(-62_167_219_200, 253_402_300_799);
        let days = seconds.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Years of this calendar begin in March, so that the leap day is the last one.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year: i32::try_from(year).expect("years are clamped to four digits"),
            month: u8::try_from(month).expect("months are 1 to 12"),
            day: u8::try_from(day).expect("days are 1 to 31"),
            second_of_day: u32::try_from(seconds.rem_euclid(86_400)).expect("a day is short"),
        }
    }

    /// Formats as C's `strftime` in the C locale. An unknown field is an error that names it.
    pub(super) fn format(self, format: &str) -> Result<String, Error> {
        let mut text = String::with_capacity(format.len() + 16);
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            match characters.next() {
                Some('-') => {
                    let padded = self.field(characters.next())?;
                    let bare = padded.trim_start_matches(['0', ' ']);
                    text.push_str(if bare.is_empty() { "0" } else { bare });
                }
                field => text.push_str(&self.field(field)?),
            }
        }
        Ok(text)
    }

    fn field(self, field: Option<char>) -> Result<String, Error> {
        let Self {
            year, month, day, ..
        } = self;
        let month_name = MONTHS[usize::from(month - 1)];
        let weekday = WEEKDAYS[self.weekday()];
        let (hour, minute, second) = self.hour_minute_second();
        let hour_of_half = (hour + 11) % 12 + 1;
        Ok(match field {
            Some('%') => "%".to_owned(),
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('j') => format!("{:03}", self.day_of_year()),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('w') => self.weekday().to_string(),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{hour_of_half:02}"),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('D') => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('R') => format!("{hour:02}:{minute:02}"),
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some(other) => return Err(refuse(&format!("strftime_now knows no field %{other}"))),
            None => return Err(refuse("strftime_now needs a field after the last %")),
        })
    }

    fn hour_minute_second(self) -> (u32, u32, u32) {
        let seconds = self.second_of_day;
        (seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }

    fn day_of_year(self) -> i32 {
        let leap_day = i32::from(self.is_leap_year());
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap_day_passed = if self.month > 2 { leap_day } else { 0 };
        before[usize::from(self.month - 1)] + leap_day_passed + i32::from(self.day)
    }

    fn is_leap_year(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    /// Days since Sunday.
    fn weekday(self) -> usize {
        // 1 January of year 1 was a Monday; before it lies the leap year 0.
        let year = self.year - 1;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days = year * 365 + leap_days + self.day_of_year();
        usize::try_from(days.rem_euclid(7)).expect("a remainder is not negative")
    }
}

fn refuse(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::CivilTime;

    fn check(unix_seconds: i64, format: &str, expected: &str) {
        let time = CivilTime::from_unix_seconds(unix_seconds);
        assert_eq!(time.format(format).expect("the format is known"), expected);
    }

    #[test]
    fn known_moments_are_formatted_as_strftime_does() {
        check(
            1_721_995_200,
            "%d %b %Y %H:%M:%S %A %j",
            "26 Jul 2024 12:00:00 Friday 208",
        );
        check(0, "%a %F %T %I %p", "Thu 1970-01-01 00:00:00 12 AM");
        check(951_782_400, "%-d.%-m.%y %B %w %e", "29.2.00 February 2 29");
        check(-1, "%F %T %-I %p %%", "1969-12-31 23:59:59 11 PM %");
        check(1_735_603_200, "%j %a", "366 Tue");
    }

    #[test]
    fn moments_outside_four_digit_years_are_taken_as_the_nearest() {
        check(i64::MAX, "%F", "9999-12-31");
        check(i64::MIN, "%F", "0-01-01");
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_it() {
        let time = CivilTime::from_unix_seconds(0);
        let error = time.format("%Q").expect_err("it is unknown").to_string();
        assert!(error.contains("%Q"), "{error}");
        assert!(time.format("%").is_err());
    }
}
