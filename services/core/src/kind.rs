//! The direction in which money moves.

use crate::Invalid;

/// Money in or money out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Entrada: money in; it adds to the balance.
    Entrada,
    /// Saída: money out; it takes from the balance.
    Saida,
}

impl Kind {
    /// Reads `entrada` or `saida`; `saída`, `inflow` and `outflow` are aliases.
    ///
    /// # Errors
    /// [`Invalid::Kind`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "entrada" | "inflow" => Ok(Self::Entrada),
            "saida" | "saída" | "outflow" => Ok(Self::Saida),
            _ => Err(Invalid::Kind),
        }
    }

    /// The name on every wire and in every table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entrada => "entrada",
            Self::Saida => "saida",
        }
    }

    /// The other one: what a reversal has.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Entrada => Self::Saida,
            Self::Saida => Self::Entrada,
        }
    }

    /// A balance after an amount of this kind; `None` when it would leave `i64`.
    pub fn apply(self, balance: i64, amount: i64) -> Option<i64> {
        match self {
            Self::Entrada => balance.checked_add(amount),
            Self::Saida => balance.checked_sub(amount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_read_and_never_written() {
        for (text, name) in [
            ("entrada", "entrada"),
            ("inflow", "entrada"),
            ("saida", "saida"),
            ("saída", "saida"),
            ("outflow", "saida"),
        ] {
            assert_eq!(Kind::parse(text).unwrap().as_str(), name);
        }
        for bad in ["", "Entrada", "ENTRADA", "in", "sai\u{301}da"] {
            assert_eq!(Kind::parse(bad), Err(Invalid::Kind), "{bad:?}");
        }
    }

    #[test]
    fn a_balance_that_would_leave_its_type_is_none() {
        assert_eq!(Kind::Entrada.apply(i64::MAX, 1), None);
        assert_eq!(Kind::Saida.apply(i64::MIN, 1), None);
        assert_eq!(Kind::Saida.apply(5, 7), Some(-2));
    }
}
