//! Tables, in Markdown.

/// A table that is printed row by row.
pub(crate) struct Table {
    columns: usize,
}

impl Table {
    /// Prints a title and the head of a table.
    pub(crate) fn begin(title: &str, columns: &[&str]) -> Self {
        println!("\n### {title}\n\n| {} |", columns.join(" | "));
        println!("|{}", " --- |".repeat(columns.len()));
        Self { columns: columns.len() }
    }

    /// Prints a row.
    pub(crate) fn row(&self, cells: &[String]) {
        debug_assert_eq!(cells.len(), self.columns, "a row has a cell for each column");
        println!("| {} |", cells.join(" | "));
    }
}

/// A number as short as it is meaningful: 12,345 · 123 · 12.3 · 1.23.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        1_000.0.. => {
            let whole = format!("{value:.0}");
            let (sign, digits) = whole.strip_prefix('-').map_or(("", &*whole), |digits| ("-", digits));
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            format!("{sign}{}", groups.join(","))
        }
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number, if there is one.
pub(crate) fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), number)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let printed = [1_234_567.8, 999.6, 45.678, 1.234, -1_000.0].map(number);
        assert_eq!(printed, ["1,234,568", "1000", "45.7", "1.23", "-1,000"]);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
    }
}
