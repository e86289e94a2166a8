//! Money as integer minor units of a currency. There is no floating point, and arithmetic is checked.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt;

use crate::Invalid;

/// The largest amount of one transaction, in minor units of its currency.
///
/// 10^15 leaves room for 9,223 of the largest before a balance leaves `i64`, and is exact in a double, should a
/// reader of the table use one.
pub const MAX_MINOR: i64 = 1_000_000_000_000_000;

/// A currency of ISO 4217 that has a minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: [u8; 3],
    scale: u8,
}

/// An amount above zero in a currency: what one transaction moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// A sum of money of either sign in a currency: what an account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Minor units of the currency.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Currency {
    /// Parses a code such as `BRL`.
    ///
    /// # Errors
    /// [`Invalid::Currency`] for anything that is not, in capitals, a code of ISO 4217 with a minor unit.
    pub fn parse(code: &str) -> Result<Self, Invalid> {
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| Invalid::Currency)?;
        let known =
            iso_currency::Currency::from_code(code).filter(|_| bytes.iter().all(u8::is_ascii_uppercase));
        let scale = known.and_then(iso_currency::Currency::exponent).ok_or(Invalid::Currency)?;
        Ok(Self { code: bytes, scale: u8::try_from(scale).map_err(|_| Invalid::Currency)? })
    }

    /// The three letters of the code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).expect("only ASCII letters are parsed")
    }

    /// How many decimals its amounts have.
    pub const fn scale(self) -> u8 {
        self.scale
    }
}

impl Money {
    /// Parses an amount as its text form, such as `1234.56`, in a currency. Fewer decimals than the currency has are
    /// accepted (`10.5`, `10`), more are not.
    ///
    /// # Errors
    /// [`Invalid::AmountFormat`], [`Invalid::AmountScale`] or [`Invalid::AmountRange`].
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, Invalid> {
        let (whole, decimals) = match amount.split_once('.') {
            Some((_, "")) => return Err(Invalid::AmountFormat),
            Some(parts) => parts,
            None => (amount, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        // A leading zero is legal only as the whole of the whole part: an octal-looking 007 is somebody's mistake.
        if whole.is_empty()
            || !digits(whole)
            || !digits(decimals)
            || (whole.len() > 1 && whole.starts_with('0'))
        {
            return Err(Invalid::AmountFormat);
        }
        let missing = usize::from(currency.scale)
            .checked_sub(decimals.len())
            .ok_or(Invalid::AmountScale { scale: currency.scale })?;
        let mut minor: i64 = 0;
        for digit in whole.bytes().chain(decimals.bytes()).chain(std::iter::repeat_n(b'0', missing)) {
            minor = minor
                .checked_mul(10)
                .and_then(|minor| minor.checked_add(i64::from(digit.wrapping_sub(b'0'))))
                .filter(|minor| *minor <= MAX_MINOR)
                .ok_or(Invalid::AmountRange)?;
        }
        Self::from_minor(minor, currency)
    }

    /// An amount of so many minor units.
    ///
    /// # Errors
    /// [`Invalid::AmountRange`] unless it is above zero and at most [`MAX_MINOR`].
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, Invalid> {
        if (1..=MAX_MINOR).contains(&minor) {
            Ok(Self { minor, currency })
        } else {
            Err(Invalid::AmountRange)
        }
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

/// The text form: as many decimals as the currency has.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Balance { minor: self.minor, currency: self.currency }.fmt(f)
    }
}

/// The text form: as many decimals as the currency has, with a `-` below zero.
impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.minor, self.currency.scale)
    }
}

/// Writes minor units as a decimal with `scale` decimals.
fn write_decimal(f: &mut fmt::Formatter<'_>, minor: i64, scale: u8) -> fmt::Result {
    let sign = if minor < 0 { "-" } else { "" };
    let unit = 10_u64.pow(u32::from(scale));
    let (whole, decimals) = (minor.unsigned_abs().checked_div(unit), minor.unsigned_abs().checked_rem(unit));
    let (whole, decimals) = (whole.unwrap_or_default(), decimals.unwrap_or_default());
    match scale {
        0 => write!(f, "{sign}{whole}"),
        scale => write!(f, "{sign}{whole}.{decimals:0width$}", width = usize::from(scale)),
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn an_amount_is_read_in_minor_units_of_its_currency() {
        for (text, code, minor) in [
            ("1234.56", "BRL", 123_456),
            ("1234.5", "BRL", 123_450),
            ("1234", "BRL", 123_400),
            ("0.01", "BRL", 1),
            ("1234", "JPY", 1_234),
            ("1.234", "KWD", 1_234),
            ("10000000000000.00", "BRL", MAX_MINOR),
        ] {
            assert_eq!(Money::parse(text, currency(code)).map(Money::minor), Ok(minor), "{text} {code}");
        }
    }

    #[test]
    fn what_is_not_a_plain_positive_decimal_is_refused() {
        for text in [
            "", ".", "1.", ".5", "-1", "+1", "1e3", "1E3", "1,5", "1.2.3", " 1", "1 ", "NaN", "inf", "0x10",
            "01", "00.10", "١", "1_000", "\0", "1\0",
        ] {
            assert_eq!(Money::parse(text, currency("BRL")), Err(Invalid::AmountFormat), "{text:?}");
        }
    }

    #[test]
    fn decimals_beyond_the_currency_are_refused_and_never_rounded() {
        assert_eq!(Money::parse("1.234", currency("BRL")), Err(Invalid::AmountScale { scale: 2 }));
        assert_eq!(Money::parse("1.230", currency("BRL")), Err(Invalid::AmountScale { scale: 2 }));
        assert_eq!(Money::parse("1.0", currency("JPY")), Err(Invalid::AmountScale { scale: 0 }));
    }

    #[test]
    fn an_amount_is_above_zero_and_at_most_ten_to_the_fifteen() {
        let too_long = format!("1{}", "0".repeat(30));
        for text in ["0", "0.00", "10000000000000.01", "99999999999999999999", too_long.as_str()] {
            assert_eq!(Money::parse(text, currency("BRL")), Err(Invalid::AmountRange), "{text}");
        }
    }

    #[test]
    fn a_currency_is_an_iso_4217_code_in_capitals_with_a_minor_unit() {
        assert_eq!((currency("BRL").scale(), currency("JPY").scale(), currency("KWD").scale()), (2, 0, 3));
        for code in ["", "BR", "BRLL", "brl", "XXX", "XAU", "ZZZ", "R$ ", "é1"] {
            assert_eq!(Currency::parse(code), Err(Invalid::Currency), "{code}");
        }
    }

    /// A later release of the table that gave a currency another scale would change the value of every amount kept.
    #[test]
    fn the_generated_table_of_currencies_is_the_one_that_was_kept() {
        let letters = b'A'..=b'Z';
        let mut table = String::new();
        for code in letters.clone().flat_map(|a| {
            let letters = letters.clone();
            letters.clone().flat_map(move |b| letters.clone().map(move |c| [a, b, c]))
        }) {
            if let Ok(currency) = Currency::parse(std::str::from_utf8(&code).unwrap()) {
                writeln!(table, "{currency} {}", currency.scale()).unwrap();
            }
        }
        fluxo_golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/currencies.txt"), &table);
    }

    proptest! {
        #[test]
        fn every_amount_reads_back_what_it_prints(minor in 1..=MAX_MINOR, code in prop_oneof!["BRL", "JPY", "KWD", "CLF"]) {
            let money = Money::from_minor(minor, currency(&code)).unwrap();
            prop_assert_eq!(Money::parse(&money.to_string(), currency(&code)), Ok(money));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Money::parse(&text, currency("BRL"));
            let _ = Currency::parse(&text);
        }
    }

    #[test]
    fn a_balance_prints_its_sign_and_all_its_decimals() {
        let print = |minor, code| Balance { minor, currency: currency(code) }.to_string();
        assert_eq!(print(-5, "BRL"), "-0.05");
        assert_eq!(print(0, "BRL"), "0.00");
        assert_eq!(print(-1234, "JPY"), "-1234");
        assert_eq!(print(i64::MIN, "BRL"), "-92233720368547758.08");
    }
}
