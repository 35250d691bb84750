//! Tables in LaTeX.

use crate::report::evaluation::MeanSd;

/// A row of such a table.
pub(super) struct Row {
    /// What it is of.
    pub name: String,
    /// Of each class, then of the mean over them.
    pub dice: Vec<Option<MeanSd>>,
    /// Parameters in millions and GFLOPs, where they are the row's own.
    pub cost: Option<[Option<MeanSd>; 2]>,
}

/// A plain `tabular` of Dice. The comment above says what it is of.
pub(super) fn table(comment: &str, classes: &[String], rows: &[Row]) -> String {
    let value = |v: Option<MeanSd>, digits: usize| {
        v.map_or_else(
            || "--".into(),
            |MeanSd { mean, sd }| format!("${mean:.digits$} \\pm {sd:.digits$}$"),
        )
    };
    let head: Vec<String> = ["Network".to_string()]
        .into_iter()
        .chain(classes.iter().map(|class| escaped(class)))
        .chain(["Mean", "Parameters (M)", "GFLOPs"].map(String::from))
        .collect();
    let row = |Row { name, dice, cost }: &Row| {
        let dice = dice.iter().map(|v| value(*v, 4));
        let cost = cost.map(|cost| cost.map(|of| value(of, 2))).unwrap_or_default();
        let cells: Vec<String> = [escaped(name)].into_iter().chain(dice).chain(cost).collect();
        cells.join(" & ") + " \\\\\n"
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "% Dice on {} (mean and standard deviation)\n\\begin{{tabular}}{{l{}}}\n\\hline\n{} \
         \\\\\n\\hline\n{rows}\\hline\n\\end{{tabular}}\n",
        comment.replace('\n', " "),
        "r".repeat(head.len() - 1),
        head.join(" & "),
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '\n' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}
