//! What the cases that judge say of stray voxels.

use std::collections::BTreeMap;

use crate::report::race::entrants::Score;
use crate::report::race::schedule::Difference;

/// The numbers of the structures of which only the largest connected component is better kept: over
/// the cases that judge, by more than chance makes, or without loss to any of them.
pub fn cleaned(score: &Score) -> Vec<usize> {
    let structures = score.structures.values().next().map_or(0, Vec::len);
    (0..structures).filter(|&structure| helps(score, structure)).collect()
}

fn helps(score: &Score, structure: usize) -> bool {
    let dice = |kept: usize| -> BTreeMap<String, f64> {
        let of = |(case, both): (&String, &Vec<[Option<f64>; 2]>)| {
            Some((case.clone(), both.get(structure)?[kept]?))
        };
        score.structures.iter().filter_map(of).collect()
    };
    let (whole, largest) = (dice(0), dice(1));
    let loses = whole.iter().any(|(case, dice)| largest.get(case).is_some_and(|kept| kept < dice));
    let gain = Difference::of(&largest, &whole);
    gain.is_some_and(|gain| gain.mean > 0.0 && (gain.shows() || !loses))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one structure, by case.
    fn score(cases: &[[f64; 2]]) -> Score {
        let both = |(n, pair): (usize, &[f64; 2])| (n.to_string(), vec![pair.map(Some)]);
        Score { structures: cases.iter().enumerate().map(both).collect(), ..Score::default() }
    }

    #[test]
    fn a_structure_is_cleaned_where_that_is_shown_to_help_or_harms_nobody() {
        let cleans = |cases: &[[f64; 2]]| !cleaned(&score(cases)).is_empty();
        assert!(cleans(&[[0.5, 0.8], [0.7, 0.7], [0.9, 0.9]]), "one gains, nobody loses");
        assert!(!cleans(&[[0.7, 0.7], [0.9, 0.9]]), "nothing changes");
        assert!(!cleans(&[[0.5, 0.8], [0.9, 0.7], [0.9, 0.9]]), "as well chance");
        assert!(cleans(&[[0.5, 0.7], [0.6, 0.8], [0.7, 0.91], [0.9, 0.89], [0.5, 0.7]]), "shown");
        assert!(!cleans(&[]) && !cleans(&[[0.8, 0.5]]));
        // A case without the structure says nothing.
        let mut absent = score(&[[0.5, 0.8]]);
        absent.structures.insert("none".into(), vec![[None, None]]);
        assert_eq!(cleaned(&absent), [0]);
    }
}
