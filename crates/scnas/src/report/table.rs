//! Text tables with aligned columns, lines of CSV, and cells of numbers that may not be known.

/// One line per row, columns two blanks apart: the first `left` columns flush left, the others
/// flush right. A short row leaves its last columns out.
pub fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let cell = |(column, text): (usize, &String)| {
        let width = widths[column];
        if column < left { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_string() + "\n").collect()
}

/// One line of CSV with its line end; cells that need it are quoted.
pub fn csv_line(cells: &[String]) -> String {
    let quote = |s: &String| {
        if s.contains([',', '"', '\n']) {
            format!("\"{}\"", s.replace('"', "\"\""))
        } else {
            s.clone()
        }
    };
    cells.iter().map(quote).collect::<Vec<_>>().join(",") + "\n"
}

/// `+0.0031 ± 0.0012`: a mean and its standard error, where that is known.
pub fn with_error(mean: f64, standard_error: Option<f64>) -> String {
    let error = standard_error.map_or_else(|| "?".into(), |error| format!("{error:.4}"));
    format!("{mean:+.4} ± {error}")
}

/// A number with so many decimals, – where it is not known.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_to_the_left_and_numbers_to_the_right_counted_in_characters() {
        let rows =
            [["case", "Dice"], ["é – long", "0.5"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows, 1), "case      Dice\né – long   0.5\n");
    }
}
