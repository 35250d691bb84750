//! The operation table: what an edge of a cell can be (paper section 4, "Implementation Details").
//!
//! The set is data. A config names built-in operations or describes new ones, and everything else
//! (sampling, weights, cost, drawing) reads this table. What a kind of operation is, stands in the
//! `impl` of [`Kind`]; how it is built, in `network/edge.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// LeakyReLU slope of every activation in the search space.
pub const SLOPE: f32 = 0.01;

/// What an operation computes. Convolutions are LeakyReLU → convolution → instance norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// Dense convolution.
    Conv {
        /// `[depth, height, width]`, each extent 1 or 3.
        kernel: [usize; 3],
    },
    /// Depthwise convolution, then a 1³ pointwise convolution.
    Depthwise {
        /// `[depth, height, width]`, each extent 1 or 3.
        kernel: [usize; 3],
        /// Distance in voxels of neighbouring taps, 1 to 4.
        dilation: usize,
    },
    /// 3³ maximum.
    MaxPool,
    /// 3³ average over the voxels inside the volume.
    AveragePool,
    /// The source itself; with stride 2 LeakyReLU → 1³ stride-2 convolution → norm.
    Identity,
    /// No connection. Never computed.
    Zero,
}

/// Kinds of operation that are alike: they have one look in a drawing and one share in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A dense convolution.
    Convolution,
    /// A depthwise and a pointwise convolution.
    Separable,
    /// A pooling.
    Pooling,
    /// The source, or as little as brings it to the grid.
    Identity,
    /// No connection.
    Zero,
}

impl Kind {
    /// What it is like.
    pub fn family(self) -> Family {
        match self {
            Self::Conv { .. } => Family::Convolution,
            Self::Depthwise { .. } => Family::Separable,
            Self::MaxPool | Self::AveragePool => Family::Pooling,
            Self::Identity => Family::Identity,
            Self::Zero => Family::Zero,
        }
    }

    /// Says what is impossible about it.
    fn check(self) -> Result<(), String> {
        let check_kernel = |kernel: [usize; 3]| {
            let possible = kernel.iter().all(|extent| [1, 3].contains(extent));
            possible
                .then_some(())
                .ok_or_else(|| format!("kernel extents must be 1 or 3, found {kernel:?}"))
        };
        match self {
            Self::Conv { kernel } => check_kernel(kernel),
            Self::Depthwise { kernel, dilation } => {
                check_kernel(kernel)?;
                (1..=4)
                    .contains(&dilation)
                    .then_some(())
                    .ok_or_else(|| format!("dilation must be 1 to 4, found {dilation}"))
            }
            Self::MaxPool | Self::AveragePool | Self::Identity | Self::Zero => Ok(()),
        }
    }
}

/// A named operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Name in configs, genotypes and weight files.
    pub name: String,
    /// What it computes.
    #[serde(flatten)]
    pub kind: Kind,
}

/// How the config writes one entry: the name of a built-in operation or a full description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Builtin(String),
    Described(Operation),
}

/// The candidate operations of every edge, in the order of α.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct OperationTable(Vec<Operation>);

/// Names and kinds that a config may use without describing them; the paper's eight come first.
const BUILTIN: &[(&str, Kind)] = &[
    ("conv3", Kind::Conv { kernel: [3, 3, 3] }),
    ("dil2", depthwise(2)),
    ("dil3", depthwise(3)),
    ("dil4", depthwise(4)),
    ("max3", Kind::MaxPool),
    ("avg3", Kind::AveragePool),
    ("identity", Kind::Identity),
    ("zero", Kind::Zero),
    ("conv1", Kind::Conv { kernel: [1, 1, 1] }),
    ("conv1x3x3", Kind::Conv { kernel: [1, 3, 3] }),
    ("conv3x1x1", Kind::Conv { kernel: [3, 1, 1] }),
    ("sep3", depthwise(1)),
];

const fn depthwise(dilation: usize) -> Kind {
    Kind::Depthwise { kernel: [3, 3, 3], dilation }
}

fn builtin(name: &str) -> Option<Kind> {
    BUILTIN.iter().find(|(n, _)| *n == name).map(|(_, kind)| *kind)
}

impl OperationTable {
    /// The paper's eight operations.
    pub fn paper() -> Self {
        Self(
            BUILTIN[..8]
                .iter()
                .map(|&(name, kind)| Operation { name: name.into(), kind })
                .collect(),
        )
    }

    /// Number of candidates per edge, |O|.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A table is never empty; here for the convention that goes with `len`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The operation at index `op` of α.
    pub fn get(&self, op: usize) -> &Operation {
        &self.0[op]
    }

    /// All operations in the order of α.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }

    /// Index of the operation called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|o| o.name == name)
    }
}

impl TryFrom<Vec<Entry>> for OperationTable {
    type Error = String;

    fn try_from(entries: Vec<Entry>) -> Result<Self, String> {
        let mut table: Vec<Operation> = Vec::with_capacity(entries.len());
        for entry in entries {
            let operation = match entry {
                Entry::Described(operation) => operation,
                Entry::Builtin(name) => {
                    let known = || BUILTIN.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
                    let kind = builtin(&name).ok_or_else(|| {
                        format!(
                            "unknown operation \"{name}\": use one of {}, or describe it as {{ \
                             name, kind, … }}",
                            known()
                        )
                    })?;
                    Operation { name, kind }
                }
            };
            operation.validate()?;
            if table.iter().any(|o| o.name == operation.name) {
                return Err(format!("operation \"{}\" is listed twice", operation.name));
            }
            table.push(operation);
        }
        if table.len() < 2 {
            return Err("a search needs at least two operations per edge".into());
        }
        if table.iter().all(|o| o.kind == Kind::Zero) {
            return Err("a search needs at least one operation that is not zero".into());
        }
        Ok(Self(table))
    }
}

impl From<OperationTable> for Vec<Entry> {
    fn from(table: OperationTable) -> Self {
        table
            .0
            .into_iter()
            .map(|o| {
                if builtin(&o.name) == Some(o.kind) {
                    Entry::Builtin(o.name)
                } else {
                    Entry::Described(o)
                }
            })
            .collect()
    }
}

impl Operation {
    fn validate(&self) -> Result<(), String> {
        let Operation { name, kind } = self;
        if name.is_empty()
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            return Err(format!("operation name \"{name}\" must be letters, digits, '-' or '_'"));
        }
        kind.check().map_err(|problem| format!("operation \"{name}\": {problem}"))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_a_round_trip_through_its_config_form() {
        let text = r#"["conv3", {"name": "flat", "kind": "conv", "kernel": [1, 3, 3]}, "zero"]"#;
        let table: OperationTable = serde_json::from_str(text).unwrap();
        assert_eq!(table.len(), 3);
        assert_eq!(table.get(1).kind, Kind::Conv { kernel: [1, 3, 3] });
        let again: OperationTable =
            serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();
        assert_eq!(table, again);
    }

    #[test]
    fn a_table_with_unknown_repeated_or_impossible_operations_is_refused() {
        for bad in [
            r#"["conv3", "conv33"]"#,
            r#"["conv3", "conv3"]"#,
            r#"["zero"]"#,
            r#"["conv3", {"name": "x", "kind": "conv", "kernel": [5, 3, 3]}]"#,
            r#"["conv3", {"name": "x", "kind": "depthwise", "kernel": [3, 3, 3], "dilation": 9}]"#,
        ] {
            assert!(serde_json::from_str::<OperationTable>(bad).is_err(), "{bad} was accepted");
        }
    }
}
