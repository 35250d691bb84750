//! The table of metrics. A new metric is a row here (and its function, where it is longer than a
//! line): scores, tables, CSV and JSON follow from it.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Agreement;

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A part of a whole: 1 is all of it.
    Part,
    /// A part of a whole that depends on the tolerance asked for.
    PartWithinTolerance,
    /// Millimetres.
    Mm,
    /// Millilitres.
    Ml,
}

/// Which of two values of a metric is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The higher one.
    Higher,
    /// The lower one.
    Lower,
    /// The one nearer to 0.
    NearerZero,
}

/// A row of the table.
struct Row {
    key: &'static str,
    title: &'static str,
    unit: Unit,
    better: Better,
    of: fn(&Agreement) -> Option<f64>,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $title:literal, $unit:ident, $better:ident, $of:expr;)*) => {
        /// What one label of a prediction is scored by. The order is that of tables and files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $($(#[$doc])* $name,)* }

        impl Metric {
            /// All of them.
            pub const ALL: [Self; ROWS.len()] = [$(Self::$name,)*];
        }

        const ROWS: &[Row] = &[$(
            Row { key: $key, title: $title, unit: Unit::$unit, better: Better::$better, of: $of },
        )*];
    };
}

metrics! {
    /// `2 |P ∩ R| / (|P| + |R|)`.
    Dice = "dice", "Dice", Part, Higher, |label| label.counts.dice();
    /// `|P ∩ R| / |P ∪ R|`.
    Jaccard = "jaccard", "Jaccard", Part, Higher, |label| label.counts.jaccard();
    /// `|P ∩ R| / |R|`: the part of the structure that was found.
    Sensitivity = "sensitivity", "sensitivity", Part, Higher, |label| label.counts.sensitivity();
    /// `|P ∩ R| / |P|`: the part of the prediction that is right.
    Precision = "precision", "precision", Part, Higher, |label| label.counts.precision();
    /// Normalised surface Dice: the part of both surfaces that lies within the tolerance of the
    /// other.
    SurfaceDice = "surface_dice", "surface Dice", PartWithinTolerance, Higher, Agreement::surface_dice;
    /// 95th percentile of the distances between the surfaces, in mm.
    Hd95Mm = "hd95_mm", "HD95", Mm, Lower, |label| label.distances.as_ref().map(|d| d.percentile(95.0));
    /// Average symmetric surface distance, in mm.
    AssdMm = "assd_mm", "ASSD", Mm, Lower, |label| label.distances.as_ref().map(|d| d.mean());
    /// `(|P| - |R|) / |R|`: negative where the prediction is too small.
    VolumeError = "volume_error", "volume error", Part, NearerZero, |label| label.counts.volume_error();
    /// `|P| - |R|` in ml.
    VolumeErrorMl = "volume_error_ml", "volume error", Ml, NearerZero, Agreement::volume_error_ml;
    /// Dice where of the prediction only the largest connected component is kept (voxels that share
    /// a face): more than Dice where the prediction has stray voxels.
    DiceLargest = "dice_largest", "Dice, largest part", Part, Higher, Agreement::dice_largest;
}

impl Metric {
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its name in JSON and CSV. Names are stable.
    pub fn key(self) -> &'static str {
        self.row().key
    }

    /// What it is measured in.
    pub fn unit(self) -> Unit {
        self.row().unit
    }

    /// Which values are good.
    pub fn better(self) -> Better {
        self.row().better
    }

    /// Its name in tables, with its unit; where it depends on the tolerance, with that if known.
    pub fn title(self, tolerance_mm: Option<f64>) -> String {
        let title = self.row().title;
        match (self.unit(), tolerance_mm) {
            (Unit::Part, _) | (Unit::PartWithinTolerance, None) => title.into(),
            (Unit::PartWithinTolerance, Some(mm)) => format!("{title} {mm} mm"),
            (Unit::Mm, _) => format!("{title} mm"),
            (Unit::Ml, _) => format!("{title} ml"),
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|metric| metric.key() == key);
        known.ok_or_else(|| serde::de::Error::custom(format!("unknown metric `{key}`")))
    }
}

/// How one label of a prediction agrees with the reference, by [`Metric`]. `None`: not scored, by
/// the [module's rule](super).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelScores([Option<f64>; ROWS.len()]);

impl LabelScores {
    pub(super) fn of(label: &Agreement) -> Self {
        Self(Metric::ALL.map(|metric| (metric.row().of)(label)))
    }
}

impl Index<Metric> for LabelScores {
    type Output = Option<f64>;

    fn index(&self, metric: Metric) -> &Option<f64> {
        &self.0[metric as usize]
    }
}

impl IndexMut<Metric> for LabelScores {
    fn index_mut(&mut self, metric: Metric) -> &mut Option<f64> {
        &mut self.0[metric as usize]
    }
}
