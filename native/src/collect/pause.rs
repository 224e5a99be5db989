//! How long to wait before a request is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Before the second try; doubled with each further one.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause of our own.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest that a server can ask for: one that names next year is mistaken.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The pause after `failed` tries, from `FIRST` on twice as long each time. Between a half and all of it, at random: what
/// failed together would otherwise come again together.
pub(super) fn backoff(failed: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << (failed - 1).min(16)).min(LONGEST);
    let random = (RandomState::new().hash_one(failed) >> 11) as f64 * (-53f64).exp2();
    whole.mul_f64(0.5 + 0.5 * random)
}

/// The pause that a server asks for by `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn asked(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let pause = match header.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(PATIENCE),
        Ok(seconds) if seconds < 0.0 => Duration::ZERO,
        Ok(_) => return None,
        Err(_) => date(header)?.duration_since(now).unwrap_or_default(),
    };
    Some(pause.min(PATIENCE))
}

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split_once(", ")?.1.split([' ', ':']).collect();
    let &[day, month, year, hour, minute, second, "GMT"] = &parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|n| *n <= most);
    let (day, year) = (number(day, 31).filter(|day| *day >= 1)?, number(year, 9999)?);
    let (hour, minute, second) = (number(hour, 23)?, number(minute, 59)?, number(second, 60)?);
    // Years begin in March, so that the day that comes and goes is the last; from there 30.6 days are a month.
    let (from_march, year) = ((month + 10) % 12, if month < 2 { year.checked_sub(1)? } else { year });
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (306 * from_march + 5) / 10 + day - 1;
    let epoch = 719_468; // days from March 1 of the year 0 to 1970
    let seconds = days.checked_sub(epoch)? * 86_400 + hour * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        for (failed, whole) in [(1, 0.5), (2, 1.0), (5, 8.0), (8, 60.0), (90, 60.0)] {
            let pause = backoff(failed).as_secs_f64();
            assert!(pause >= whole / 2.0 && pause <= whole, "{failed}: {pause}");
        }
    }

    #[test]
    fn a_server_says_how_long() {
        // `date -u -d 2026-11-27T16:00:00 +%s`
        let now = UNIX_EPOCH + Duration::from_secs(1_795_795_200);
        for (header, seconds) in [
            ("0", 0.0),
            (" 7 ", 7.0),
            ("1.5", 1.5),
            ("-3", 0.0),
            ("1e300", 3600.0),
            ("Fri, 27 Nov 2026 16:00:09 GMT", 9.0),
            ("Fri, 27 Nov 2026 15:00:00 GMT", 0.0),
            ("Tue, 29 Feb 2028 00:00:00 GMT", 3600.0),
        ] {
            assert_eq!(asked(header, now), Some(Duration::from_secs_f64(seconds)), "{header}");
        }
        for header in ["soon", "Fri, 27 Nov 2026 16:00 GMT", "Fri, 00 Nov 2026 16:00:00 GMT", "NaN"] {
            assert_eq!(asked(header, now), None, "{header}");
        }
        // Of RFC 9110, section 5.6.7, and either side of a leap day.
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] {
            assert_eq!(date(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
    }
}
