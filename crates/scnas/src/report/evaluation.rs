//! Scores per class and case, with mean ± SD: as data, text tables, JSON and CSV. Dice is the
//! headline; the other metrics, and the rule for classes that are empty in prediction or reference,
//! are those of [`medvol::metrics`].

use std::collections::BTreeMap;

use medvol::LabelMap;
pub use medvol::metrics::Metric;
use medvol::metrics::{ShapeMismatch, Structures, mean_sd, score_structures};
use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

use crate::error::ScoresFault;
use crate::report::table::{aligned, csv_line};

/// Up to this distance in mm surfaces agree, where nothing else is asked for.
pub const TOLERANCE_MM: f64 = 1.0;

/// Scores of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseScore {
    /// Name of the case.
    pub case: String,
    /// By metric, per foreground class; `None` where the class is not scored.
    #[serde(flatten)]
    pub scores: BTreeMap<Metric, Vec<Option<f64>>>,
    /// Volume of each class in the reference, in ml; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_ml: Vec<f64>,
}

/// Scores of many cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Names of the foreground classes, or of the regions.
    pub classes: Vec<String>,
    /// Up to this distance in mm surfaces agree; `None` in files that know Dice only.
    #[serde(default)]
    pub tolerance_mm: Option<f64>,
    /// In the order they were scored.
    pub cases: Vec<CaseScore>,
}

/// Mean and standard deviation over cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation.
    pub sd: f64,
}

/// What an evaluation's JSON holds beside the cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    /// Of Dice.
    per_class: Vec<Option<MeanSd>>,
    /// Of Dice.
    mean_foreground: Option<MeanSd>,
    metrics: BTreeMap<Metric, MetricSummary>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct MetricSummary {
    per_class: Vec<Option<MeanSd>>,
    /// Cases that each class's mean is over.
    cases: Vec<usize>,
    mean_foreground: Option<MeanSd>,
}

/// Scores a prediction against its reference on the image's own grid, whose spacing is the
/// reference's.
///
/// # Errors
/// When the shapes differ.
pub fn score(
    case: &str,
    prediction: &LabelMap,
    reference: &LabelMap,
    scored: &Structures,
    tolerance_mm: f64,
) -> Result<CaseScore, ShapeMismatch> {
    let (prediction, reference, spacing) =
        (prediction.voxels.view(), reference.voxels.view(), reference.affine.spacing());
    let found = score_structures(prediction, reference, scored, spacing, tolerance_mm)?;
    let scores =
        Metric::ALL.map(|metric| (metric, found.iter().map(|scores| scores[metric]).collect()));
    let reference_ml = volumes_ml(reference, spacing, scored);
    Ok(CaseScore { case: case.into(), scores: scores.into(), reference_ml })
}

/// The volume of each structure in a label map.
fn volumes_ml(map: ArrayView3<u16>, spacing_mm: [f64; 3], structures: &Structures) -> Vec<f64> {
    let mut voxels = vec![0_u64; usize::from(u16::MAX) + 1];
    map.iter().for_each(|&value| voxels[usize::from(value)] += 1);
    let voxel_ml = spacing_mm.iter().product::<f64>() / 1000.0;
    let volume = |values: &Vec<u16>| {
        values.iter().map(|&value| voxels[usize::from(value)] as f64).sum::<f64>() * voxel_ml
    };
    structures.values.iter().map(volume).collect()
}

impl CaseScore {
    /// One metric of one foreground class, where it is scored.
    pub fn get(&self, metric: Metric, class: usize) -> Option<f64> {
        self.scores.get(&metric)?.get(class).copied().flatten()
    }

    /// Mean over the foreground classes that are scored.
    pub fn mean(&self, metric: Metric) -> Option<f64> {
        mean_sd(self.scores.get(&metric)?.iter().flatten().copied()).map(|(mean, _)| mean)
    }
}

impl Evaluation {
    /// Of no case yet.
    pub fn new(classes: Vec<String>, tolerance_mm: f64) -> Self {
        Self { classes, tolerance_mm: Some(tolerance_mm), cases: Vec::new() }
    }

    /// Mean ± SD of one class's Dice over the cases that score it.
    pub fn class(&self, class: usize) -> Option<MeanSd> {
        self.class_of(Metric::Dice, class)
    }

    /// Mean ± SD over cases of the mean Dice over foreground classes.
    pub fn foreground(&self) -> Option<MeanSd> {
        self.foreground_of(Metric::Dice)
    }

    /// Mean ± SD of one metric of one class over the cases that score it.
    pub fn class_of(&self, metric: Metric, class: usize) -> Option<MeanSd> {
        spread(self.cases.iter().filter_map(|case| case.get(metric, class)))
    }

    /// Mean ± SD over cases of a metric's mean over foreground classes.
    pub fn foreground_of(&self, metric: Metric) -> Option<MeanSd> {
        spread(self.cases.iter().filter_map(|case| case.mean(metric)))
    }

    /// Cases with a Dice: those without any structure have none.
    pub fn scored(&self) -> usize {
        self.cases.iter().filter(|case| case.mean(Metric::Dice).is_some()).count()
    }

    fn metric_summary(&self, metric: Metric) -> MetricSummary {
        let classes = 0..self.classes.len();
        let scored =
            |class| self.cases.iter().filter(|case| case.get(metric, class).is_some()).count();
        MetricSummary {
            per_class: classes.clone().map(|class| self.class_of(metric, class)).collect(),
            cases: classes.map(scored).collect(),
            mean_foreground: self.foreground_of(metric),
        }
    }

    /// With the summary, for JSON.
    pub fn summary(&self) -> Summary<'_> {
        let metrics =
            BTreeMap::from(Metric::ALL.map(|metric| (metric, self.metric_summary(metric))));
        Summary {
            evaluation: self,
            per_class: (0..self.classes.len()).map(|class| self.class(class)).collect(),
            mean_foreground: self.foreground(),
            metrics,
        }
    }

    /// A text table of Dice: one line a case, then mean ± SD.
    pub fn table(&self) -> String {
        let head = [vec!["case".into()], self.classes.clone(), vec!["mean".into()]].concat();
        let cases = self.cases.iter().map(|case| {
            let dice = (0..self.classes.len())
                .map(|class| case.get(Metric::Dice, class))
                .chain([case.mean(Metric::Dice)]);
            [case.case.clone()].into_iter().chain(dice.map(number)).collect()
        });
        let means =
            (0..self.classes.len()).map(|class| self.class(class)).chain([self.foreground()]);
        let last = ["mean ± SD".to_string()].into_iter().chain(means.map(mean_and_sd)).collect();
        aligned(&[head].into_iter().chain(cases).chain([last]).collect::<Vec<_>>(), 1)
    }

    /// A text table of all metrics: one line a case and class.
    pub fn details(&self) -> String {
        let titles = Metric::ALL.map(|metric| metric.title(self.tolerance_mm));
        let mut rows = vec![["case".into(), "class".into()].into_iter().chain(titles).collect()];
        for case in &self.cases {
            for (class, name) in self.classes.iter().enumerate() {
                let scores = Metric::ALL.map(|metric| number(case.get(metric, class)));
                rows.push([case.case.clone(), name.clone()].into_iter().chain(scores).collect());
            }
        }
        aligned(&rows, 2)
    }

    /// A text table of [`Self::mean_rows`].
    pub fn means(&self) -> String {
        aligned(&self.mean_rows(), 1)
    }

    /// Mean ± SD of all metrics per class, below a head; in brackets the number of cases where not
    /// all are scored.
    pub fn mean_rows(&self) -> Vec<Vec<String>> {
        let mut rows =
            vec![[vec!["mean ± SD".into()], self.classes.clone(), vec!["mean".into()]].concat()];
        for metric in Metric::ALL {
            let MetricSummary { per_class, cases, mean_foreground } = self.metric_summary(metric);
            let of_class = |(spread, scored)| {
                let some = (1..self.cases.len()).contains(&scored).then(|| format!(" ({scored})"));
                mean_and_sd(spread) + &some.unwrap_or_default()
            };
            let classes = per_class.into_iter().zip(cases).map(of_class);
            let row = [metric.title(self.tolerance_mm)]
                .into_iter()
                .chain(classes)
                .chain([mean_and_sd(mean_foreground)]);
            rows.push(row.collect());
        }
        rows
    }

    /// The Dice of a CSV file as [`Self::csv`] writes it, by this or another program: `case`, a
    /// column for each class, `mean` (which is not read); columns behind it are left out.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn from_csv(text: &str) -> Result<Self, ScoresFault> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let head = reader.headers()?.clone();
        let mean = head
            .iter()
            .position(|name| name == "mean")
            .filter(|&mean| mean > 1 && head.get(0) == Some("case"));
        let mean = mean.ok_or(ScoresFault::Columns)?;
        let mut evaluation = Self {
            classes: (1..mean).map(|i| head[i].into()).collect(),
            tolerance_mm: None,
            cases: Vec::new(),
        };
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let dice = |cell: &str| match cell.parse::<f64>() {
                _ if cell.is_empty() => Ok(None),
                Ok(dice) if (0.0..=1.0).contains(&dice) => Ok(Some(dice)),
                _ => Err(ScoresFault::Dice { line, found: cell.into() }),
            };
            let dice = (1..mean).map(|i| dice(&record[i])).collect::<Result<Vec<_>, _>>()?;
            evaluation.cases.push(CaseScore {
                case: record[0].into(),
                scores: BTreeMap::from([(Metric::Dice, dice)]),
                reference_ml: Vec::new(),
            });
        }
        Ok(evaluation)
    }

    /// CSV: `case`, Dice per class and its `mean`, then all other metrics as `class metric`; an
    /// empty cell where a class is not scored.
    pub fn csv(&self) -> String {
        let others = &Metric::ALL[1..];
        let by_class = |of: &dyn Fn(usize, Metric) -> String| -> Vec<String> {
            (0..self.classes.len())
                .flat_map(|class| others.iter().map(move |&metric| of(class, metric)))
                .collect()
        };
        let head = [
            vec!["case".into()],
            self.classes.clone(),
            vec!["mean".into()],
            by_class(&|class, metric| format!("{} {}", self.classes[class], metric.key())),
        ];
        let mut text = csv_line(&head.concat());
        for case in &self.cases {
            let exact = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
            let dice = (0..self.classes.len()).map(|class| exact(case.get(Metric::Dice, class)));
            let rest = by_class(&|class, metric| exact(case.get(metric, class)));
            let cells = [case.case.clone()]
                .into_iter()
                .chain(dice)
                .chain([exact(case.mean(Metric::Dice))])
                .chain(rest);
            text += &csv_line(&cells.collect::<Vec<_>>());
        }
        text
    }
}

pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Option<MeanSd> {
    mean_sd(values).map(|(mean, sd)| MeanSd { mean, sd })
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.4}"))
}

/// `mean ± SD` with four decimals, or – for nothing.
pub fn mean_and_sd(value: Option<MeanSd>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{:.4} ± {:.4}", v.mean, v.sd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use medvol::Affine;
    use ndarray::{Array3, s};

    fn case(name: &str, dice: [Option<f64>; 2], hd95: [Option<f64>; 2]) -> CaseScore {
        let scores =
            BTreeMap::from([(Metric::Dice, dice.to_vec()), (Metric::Hd95Mm, hd95.to_vec())]);
        CaseScore { case: name.into(), scores, reference_ml: Vec::new() }
    }

    fn evaluation() -> Evaluation {
        let mut evaluation = Evaluation::new(vec!["a".into(), "b, c".into()], 1.0);
        evaluation.cases = vec![
            case("x", [Some(0.5), None], [Some(2.0), None]),
            case("y", [Some(0.7), Some(0.9)], [None, Some(4.0)]),
        ];
        evaluation
    }

    #[test]
    fn unscored_classes_are_left_out_of_means_and_shown_as_such() {
        let evaluation = evaluation();
        let mean = |m: Option<MeanSd>| m.map(|m| (m.mean * 1e6).round() / 1e6);
        assert_eq!(mean(evaluation.class(0)), Some(0.6));
        assert_eq!(mean(evaluation.class(1)), Some(0.9));
        assert_eq!(mean(evaluation.foreground()), Some(0.65));
        assert_eq!(mean(evaluation.class_of(Metric::Hd95Mm, 0)), Some(2.0));
        assert_eq!(mean(evaluation.foreground_of(Metric::Hd95Mm)), Some(3.0));
        assert!(evaluation.table().contains('–'));
        let means = evaluation.means();
        let line = |title: &str| {
            means
                .lines()
                .find(|line| line.starts_with(title))
                .unwrap()
                .split("  ")
                .map(str::trim)
                .collect::<Vec<_>>()
        };
        assert!(line("HD95 mm").contains(&"2.0000 ± 0.0000 (1)"), "{means}");
        assert!(line("Dice").contains(&"0.6000 ± 0.1414"), "{means}");
        assert!(line("ASSD mm").contains(&"–"), "{means}");
        assert_eq!(evaluation.details().lines().count(), 1 + 2 * 2);
    }

    #[test]
    fn csv_begins_with_dice_and_leaves_unscored_cells_empty() {
        let csv = evaluation().csv();
        assert!(csv.starts_with("case,a,\"b, c\",mean,a jaccard,a sensitivity,"), "{csv}");
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[1].starts_with("x,0.5,,0.5,,,,,2,,,"), "{csv}");
        let columns = |line: &str| line.replace("b, c", "b").split(',').count();
        assert!(lines.iter().all(|line| columns(line) == 4 + 2 * (Metric::ALL.len() - 1)), "{csv}");
    }

    #[test]
    fn csv_reads_back_as_far_as_dice_goes_and_says_what_is_wrong() {
        let evaluation = evaluation();
        let found = Evaluation::from_csv(&evaluation.csv()).unwrap();
        assert_eq!(
            (&found.classes, found.class(1), found.foreground()),
            (&evaluation.classes, evaluation.class(1), evaluation.foreground())
        );
        assert_eq!(found.cases[0].get(Metric::Dice, 1), None);
        for (text, wrong) in [
            ("case,mean\n", "line 1"),
            ("a,case,mean\n", "line 1"),
            (
                "case,a,mean\nx,0.5,0.5\ny,1.5,0\n",
                "line 3: expected a Dice from 0 to 1 or nothing, found 1.5",
            ),
            ("case,a,mean\nx,much,0\n", "found much"),
            ("case,a,mean\nx,0.5\n", "line: 2"),
        ] {
            let error = Evaluation::from_csv(text).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn json_reads_back_and_names_metrics_by_their_keys() {
        let evaluation = evaluation();
        let json = serde_json::to_value(evaluation.summary()).unwrap();
        assert_eq!(json["cases"][0]["dice"], serde_json::json!([0.5, null]));
        assert_eq!(json["metrics"]["hd95_mm"]["cases"], serde_json::json!([1, 1]));
        assert_eq!(serde_json::from_value::<Evaluation>(json.clone()).unwrap(), evaluation);
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.key());
            assert!(json["metrics"].get(metric.key()).is_some(), "{metric:?}");
        }
        // As it was before there were other metrics than Dice.
        let old: Evaluation =
            serde_json::from_str(r#"{"classes":["a"],"cases":[{"case":"x","dice":[0.25]}]}"#)
                .unwrap();
        assert_eq!((old.class(0).unwrap().mean, old.class_of(Metric::AssdMm, 0)), (0.25, None));
    }

    #[test]
    fn a_case_is_scored_in_the_millimetres_of_its_reference() {
        let plane = |at: usize| {
            let mut voxels = Array3::<u16>::zeros((3, 4, 6));
            voxels.slice_mut(s![.., .., at]).fill(7);
            LabelMap { voxels, affine: Affine::from_spacing([1.0, 2.0, 3.0]) }
        };
        let scored = Structures::labels(&[7]);
        let at = |tolerance: f64| score("x", &plane(1), &plane(2), &scored, tolerance).unwrap();
        assert_eq!(at(3.0).get(Metric::Hd95Mm, 0), Some(3.0));
        assert_eq!(
            (at(3.0).get(Metric::SurfaceDice, 0), at(2.9).get(Metric::SurfaceDice, 0)),
            (Some(1.0), Some(0.0))
        );
        assert_eq!(at(1.0).mean(Metric::Dice), Some(0.0));
        // Twelve voxels of 6 mm³.
        assert!((at(1.0).reference_ml[0] - 0.072).abs() < 1e-12);
    }
}
