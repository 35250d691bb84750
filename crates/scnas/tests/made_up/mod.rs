//! What models need that no data set was read for.

use medvol::{Label, Target};
use scnas::data::plan::Plan;
use scnas::space::grid::Grid;

/// A plan at 1 mm, of channels `a`, `b` and so on.
pub fn plan(channels: u8, labels: Vec<Label>, patch: [usize; 3]) -> Plan {
    Plan {
        dataset: "made up".into(),
        channels: (b'a'..b'a' + channels).map(|letter| char::from(letter).to_string()).collect(),
        labels,
        target: Target::Classes,
        ignore: None,
        spacing: [1.0; 3],
        patch,
        grid: Grid::ISOTROPIC,
        normalisation: vec![],
        folds: vec![vec!["x".into()], vec!["y".into()]],
        fold: 0,
        geometry: None,
        training: None,
    }
}
