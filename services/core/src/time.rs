//! Moments as microseconds of UTC: what `DATETIME(6)` keeps.

use std::{fmt, time::Duration};

use ::time::{
    Date, OffsetDateTime, PrimitiveDateTime, UtcOffset, format_description::well_known::Rfc3339,
    macros::utc_datetime,
};

use crate::Invalid;

/// A moment: microseconds since 1970-01-01T00:00:00 UTC, in the years 1900 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MIN: i64 = utc_datetime!(1900-01-01 0:00).unix_timestamp() * 1_000_000;
const MAX: i64 = utc_datetime!(9999-12-31 23:59:59).unix_timestamp() * 1_000_000 + 999_999;

impl Timestamp {
    /// The moment at which this is called, by the clock of this machine.
    pub fn now() -> Self {
        Self::from(OffsetDateTime::now_utc())
    }

    /// So many microseconds since 1970; `None` outside the years 1900 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (MIN..=MAX).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 with an offset. What is finer than a microsecond is cut off.
    ///
    /// # Errors
    /// [`Invalid::OccurredAtFormat`] or [`Invalid::OccurredAtRange`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Invalid::OccurredAtFormat)?;
        let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
        i64::try_from(micros).ok().and_then(Self::from_micros).ok_or(Invalid::OccurredAtRange)
    }

    /// How long ago `earlier` was; zero when it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment as a date and time of UTC without an offset, which is what a database column holds.
    pub fn to_utc(self) -> PrimitiveDateTime {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .expect("1900 to 9999 is inside what `time` can hold");
        PrimitiveDateTime::new(moment.date(), moment.time())
    }
}

/// From a column of UTC date and time. What lies outside the years that Fluxo writes is held at their ends.
impl From<PrimitiveDateTime> for Timestamp {
    fn from(utc: PrimitiveDateTime) -> Self {
        Self::from(utc.assume_utc())
    }
}

/// What lies outside the years 1900 to 9999 is held at their ends.
impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        let micros = moment.unix_timestamp_nanos().div_euclid(1_000).clamp(i128::from(MIN), i128::from(MAX));
        Self(i64::try_from(micros).expect("held between two i64"))
    }
}

/// RFC 3339 in UTC with six decimals.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.to_utc().assume_offset(UtcOffset::UTC);
        let (date, (hour, minute, second, micro)): (Date, _) = (utc.date(), utc.to_hms_micro());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_offset_is_needed_and_is_turned_into_utc() {
        assert_eq!(
            Timestamp::parse("2026-11-21T14:32:00-03:00").unwrap().to_string(),
            "2026-11-21T17:32:00.000000Z"
        );
        for bad in
            ["", "2026-11-21", "2026-11-21T14:32:00", "2026-13-01T00:00:00Z", "now", "2026-11-21T24:00:00Z"]
        {
            assert_eq!(Timestamp::parse(bad), Err(Invalid::OccurredAtFormat), "{bad}");
        }
    }

    #[test]
    fn years_that_the_table_cannot_order_are_refused() {
        for bad in ["1899-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1900-01-01T00:00:00+01:00"] {
            assert_eq!(Timestamp::parse(bad), Err(Invalid::OccurredAtRange), "{bad}");
        }
        assert!(Timestamp::parse("1900-01-01T00:00:00Z").is_ok());
        assert!(Timestamp::parse("9999-12-31T23:59:59.999999Z").is_ok());
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_cut_off_downwards() {
        assert_eq!(
            Timestamp::parse("1960-01-01T00:00:00.0000019Z").unwrap(),
            Timestamp::parse("1960-01-01T00:00:00.000001Z").unwrap()
        );
    }

    proptest! {
        #[test]
        fn every_moment_reads_back_what_it_prints_and_what_a_column_holds(micros in MIN..=MAX) {
            let moment = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(Timestamp::parse(&moment.to_string()), Ok(moment));
            prop_assert_eq!(Timestamp::from(moment.to_utc()), moment);
        }
    }
}
