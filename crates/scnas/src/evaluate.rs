//! Dice per class and case, with mean ± SD: as data, text table, JSON and CSV. A class empty in both prediction and reference is not
//! scored (see [`medvol::metrics`]).

use std::fmt::Write as _;

use medvol::metrics::{dice_per_label, mean_sd};
use medvol::{Label, LabelMap};
use serde::{Deserialize, Serialize};

/// Scores of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseScore {
    pub case: String,
    /// Per foreground class; `None` where the class is empty in both.
    pub dice: Vec<Option<f64>>,
}

/// Scores of many cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Names of the foreground classes.
    pub classes: Vec<String>,
    pub cases: Vec<CaseScore>,
}

/// Mean and standard deviation over cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    pub mean: f64,
    pub sd: f64,
}

/// What an evaluation's JSON holds beside the cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    per_class: Vec<Option<MeanSd>>,
    mean_foreground: Option<MeanSd>,
}

/// Scores a prediction against its reference on the image's own grid.
///
/// # Errors
/// When the shapes differ.
pub fn score(
    case: &str,
    prediction: &LabelMap,
    reference: &LabelMap,
    labels: &[Label],
) -> Result<CaseScore, medvol::metrics::ShapeMismatch> {
    let values: Vec<u16> = labels.iter().skip(1).map(|l| l.value).collect();
    let dice = dice_per_label(prediction.voxels.view(), reference.voxels.view(), &values)?;
    Ok(CaseScore { case: case.into(), dice })
}

impl CaseScore {
    /// Mean over the foreground classes that are scored.
    pub fn mean(&self) -> Option<f64> {
        mean_sd(self.dice.iter().flatten().copied()).map(|(mean, _)| mean)
    }
}

impl Evaluation {
    /// Mean ± SD of one class over the cases that score it.
    pub fn class(&self, class: usize) -> Option<MeanSd> {
        mean_sd(self.cases.iter().filter_map(|c| c.dice[class])).map(|(mean, sd)| MeanSd { mean, sd })
    }

    /// Mean ± SD over cases of the mean over foreground classes.
    pub fn foreground(&self) -> Option<MeanSd> {
        mean_sd(self.cases.iter().filter_map(CaseScore::mean)).map(|(mean, sd)| MeanSd { mean, sd })
    }

    /// With the summary, for JSON.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            evaluation: self,
            per_class: (0..self.classes.len()).map(|c| self.class(c)).collect(),
            mean_foreground: self.foreground(),
        }
    }

    /// A text table: one line a case, then mean ± SD.
    pub fn table(&self) -> String {
        let name_width = self.cases.iter().map(|c| c.case.len()).max().unwrap_or(0).max("mean ± SD".len());
        let widths: Vec<usize> = self.classes.iter().map(|c| c.chars().count().max(15)).collect();
        let mut text = String::new();
        let mut line = |first: &str, cells: Vec<String>| {
            let pad = " ".repeat(name_width - first.chars().count().min(name_width));
            let _ = write!(text, "{first}{pad}");
            for (cell, width) in cells.iter().zip(widths.iter().chain([&15])) {
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        };
        line("case", self.classes.iter().cloned().chain(["mean".into()]).collect());
        let number = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| format!("{v:.4}"));
        for case in &self.cases {
            line(&case.case, case.dice.iter().copied().chain([case.mean()]).map(number).collect());
        }
        let pair = |v: Option<MeanSd>| v.map_or_else(|| "–".into(), |v| format!("{:.4} ± {:.4}", v.mean, v.sd));
        line("mean ± SD", (0..self.classes.len()).map(|c| self.class(c)).chain([self.foreground()]).map(pair).collect());
        text
    }

    /// CSV: `case,class…,mean`; an empty cell where a class is not scored.
    pub fn csv(&self) -> String {
        let quote = |s: &str| if s.contains([',', '"', '\n']) { format!("\"{}\"", s.replace('"', "\"\"")) } else { s.into() };
        let mut text = format!("case,{},mean\n", self.classes.iter().map(|c| quote(c)).collect::<Vec<_>>().join(","));
        for case in &self.cases {
            let cells = case.dice.iter().copied().chain([case.mean()]).map(|v| v.map_or_else(String::new, |v| v.to_string()));
            let _ = writeln!(text, "{},{}", quote(&case.case), cells.collect::<Vec<_>>().join(","));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unscored_classes_are_left_out_of_means_and_shown_as_such() {
        let evaluation = Evaluation {
            classes: vec!["a".into(), "b, c".into()],
            cases: vec![
                CaseScore { case: "x".into(), dice: vec![Some(0.5), None] },
                CaseScore { case: "y".into(), dice: vec![Some(0.7), Some(0.9)] },
            ],
        };
        let mean = |m: Option<MeanSd>| m.map(|m| (m.mean * 1e6).round() / 1e6);
        assert_eq!(mean(evaluation.class(0)), Some(0.6));
        assert_eq!(mean(evaluation.class(1)), Some(0.9));
        assert_eq!(mean(evaluation.foreground()), Some(0.65));
        assert_eq!(evaluation.csv().lines().nth(1), Some("x,0.5,,0.5"));
        assert!(evaluation.csv().starts_with("case,a,\"b, c\",mean"));
        assert!(evaluation.table().contains('–'));
    }
}
