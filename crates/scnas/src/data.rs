//! Preprocessed cases in memory, and the patches drawn from them.

use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::patch::{draw_corner, draw_corner_containing, draw_foreground_voxel, extract, extract_classes};
use medvol::{Case, CaseFiles, Dataset, preprocess};
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};
use rayon::prelude::*;

use crate::error::Result;
use crate::plan::Plan;
use crate::random::{Stream, rng};

/// Reads and preprocesses cases in parallel; `progress` hears how many are done.
///
/// # Errors
/// The first case, in order, that cannot be read or does not fit the data set.
pub fn load_cases(dataset: &Dataset, files: &[CaseFiles], plan: &Plan, progress: impl Fn(usize) + Sync) -> Result<Vec<Case>> {
    let done = AtomicUsize::new(0);
    files
        .par_iter()
        .map(|file| {
            let (image, labels) = dataset.load(file)?;
            let case = preprocess(&file.name, &image, labels.as_ref(), &plan.labels, plan.spacing)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(case)
        })
        .collect()
}

/// The two halves of `cases` training cases: indices for Θ and for α, seeded (METHOD "Bi-level search").
pub fn halves(cases: usize, seed: u64, fold: usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..cases).collect();
    order.shuffle(&mut rng(seed, Stream::Halves, fold as u64));
    let architecture = order.split_off(cases.div_ceil(2));
    (order, architecture)
}

/// One patch to cut: a case and a corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    case: usize,
    corner: [isize; 3],
}

/// A batch of patches.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, channels, depth, height, width]`, flattened.
    pub image: Vec<f32>,
    /// Shape of `image`.
    pub shape: [usize; 5],
    /// Class indices `[batch, depth, height, width]`, flattened.
    pub classes: Vec<u8>,
}

/// The patches of an epoch: one from each case in `members`, in random order; a share `foreground` of them contains a voxel of a
/// foreground class. All is drawn before anything is cut, so that an epoch can be resumed in its middle.
pub fn draw_epoch(cases: &[Case], members: &[usize], patch: [usize; 3], foreground: f64, mut rng: ChaCha8Rng) -> Vec<Draw> {
    let mut order = members.to_vec();
    order.shuffle(&mut rng);
    order.into_iter().map(|case| Draw { case, corner: draw(&cases[case], patch, foreground, &mut rng) }).collect()
}

fn draw(case: &Case, patch: [usize; 3], foreground: f64, rng: &mut impl Rng) -> [isize; 3] {
    let [_, d, h, w]: [usize; 4] = case.image.dim().into();
    let shape = [d, h, w];
    let forced = rng.random::<f64>() < foreground;
    let voxel = case.classes.as_ref().filter(|_| forced).and_then(|c| draw_foreground_voxel(c.view(), rng));
    match voxel {
        Some(voxel) => draw_corner_containing(voxel, shape, patch, rng),
        None => draw_corner(shape, patch, rng),
    }
}

/// Cuts the patches of one step.
pub fn batch(cases: &[Case], draws: &[Draw], patch: [usize; 3]) -> Batch {
    let [d, h, w] = patch;
    let channels = draws.first().map_or(0, |draw| cases[draw.case].image.dim().0);
    let mut batch = Batch { image: Vec::new(), shape: [draws.len(), channels, d, h, w], classes: Vec::new() };
    for draw in draws {
        let case = &cases[draw.case];
        batch.image.extend(extract(case.image.view(), draw.corner, patch));
        match &case.classes {
            Some(classes) => batch.classes.extend(extract_classes(classes.view(), draw.corner, patch)),
            None => batch.classes.resize(batch.classes.len() + patch.iter().product::<usize>(), 0),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_are_disjoint_cover_all_cases_and_depend_on_seed_and_fold() {
        for n in [2, 3, 166] {
            let (a, b) = halves(n, 1, 0);
            let mut all: Vec<usize> = a.iter().chain(&b).copied().collect();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            assert!(a.len() - b.len() <= 1);
        }
        assert_ne!(halves(166, 1, 0), halves(166, 2, 0));
        assert_ne!(halves(166, 1, 0), halves(166, 1, 1));
    }
}
