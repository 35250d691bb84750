//! Connected components of a mask, and its largest one: how stray voxels are cleaned away.
//!
//! Runs of voxels along the width are joined by union-find with the runs they touch in the rows before them: linear in the number
//! of voxels, and the same for any number of threads.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, s};

/// Which voxels touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// The 6 neighbours that share a face.
    Faces,
    /// The 26 neighbours that share a face, an edge or a corner.
    Corners,
}

/// The connected components of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    /// `[depth, height, width]`: 0 outside the mask, otherwise the number of the component, from 1 in the order of their first voxels.
    pub numbers: Array3<u32>,
    /// Voxels of each component; those of number `n` at `n - 1`.
    pub sizes: Vec<usize>,
}

/// The connected components of `mask` `[depth, height, width]`.
pub fn components(mask: ArrayView3<bool>, connectivity: Connectivity) -> Components {
    let (depth, height, _) = mask.dim();
    let mut runs: Vec<Range<usize>> = Vec::new();
    // The runs of row (k, j) are `rows[k * height + j]` of `runs`.
    let mut rows: Vec<Range<usize>> = Vec::with_capacity(depth * height);
    let mut sets = Sets(Vec::new());
    for k in 0..depth {
        for j in 0..height {
            let first = runs.len();
            let row = mask.slice(s![k, j, ..]);
            for (i, _) in row.iter().enumerate().filter(|(_, inside)| **inside) {
                match runs[first..].last_mut() {
                    Some(run) if run.end == i => run.end += 1,
                    _ => {
                        runs.push(i..i + 1);
                        sets.0.push(sets.0.len());
                    }
                }
            }
            for earlier in rows_before(k, j, height, connectivity) {
                join(&runs, rows[earlier].clone(), first..runs.len(), connectivity, &mut sets);
            }
            rows.push(first..runs.len());
        }
    }

    let mut numbers = Array3::zeros(mask.dim());
    let mut sizes: Vec<usize> = Vec::new();
    // The root of a set is its first run, so it has its number before the others ask for it.
    let mut number_of = vec![0; runs.len()];
    for (row, members) in rows.into_iter().enumerate() {
        for run in members {
            let root = sets.root(run);
            if root == run {
                sizes.push(0);
                number_of[run] = sizes.len();
            }
            let number = number_of[root];
            sizes[number - 1] += runs[run].len();
            numbers.slice_mut(s![row / height, row % height, runs[run].clone()]).fill(number as u32);
        }
    }
    Components { numbers, sizes }
}

/// The component of `mask` `[depth, height, width]` with the most voxels; in a tie, the one whose first voxel comes first. An empty mask
/// stays empty.
pub fn largest_component(mask: ArrayView3<bool>, connectivity: Connectivity) -> Array3<bool> {
    let Components { numbers, sizes } = components(mask, connectivity);
    // `max_by_key` would take the last of equals.
    let largest = (1_u32..).zip(sizes).fold((0, 0), |best, this| if this.1 > best.1 { this } else { best }).0;
    numbers.mapv(|number| number > 0 && number == largest)
}

/// The rows before row (k, j) in scan order whose voxels may touch its own.
fn rows_before(k: usize, j: usize, height: usize, connectivity: Connectivity) -> impl Iterator<Item = usize> {
    let steps: &[(usize, isize)] = match connectivity {
        Connectivity::Faces => &[(1, 0), (0, -1)],
        Connectivity::Corners => &[(1, -1), (1, 0), (1, 1), (0, -1)],
    };
    steps.iter().filter_map(move |&(back, aside)| {
        let (k, j) = (k.checked_sub(back)?, j.checked_add_signed(aside)?);
        (j < height).then_some(k * height + j)
    })
}

/// Joins the runs of two rows that touch.
fn join(runs: &[Range<usize>], a: Range<usize>, b: Range<usize>, connectivity: Connectivity, sets: &mut Sets) {
    let reach = usize::from(connectivity == Connectivity::Corners);
    let (mut m, mut n) = (a.start, b.start);
    while m < a.end && n < b.end {
        if runs[m].start < runs[n].end + reach && runs[n].start < runs[m].end + reach {
            sets.join(m, n);
        }
        // The run that ends first can touch nothing further on.
        if runs[m].end < runs[n].end { m += 1 } else { n += 1 }
    }
}

/// Union-find: the parent of each run. A root is its own parent, and the smallest of its set.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut run: usize) -> usize {
        while self.0[run] != run {
            // Halving the path keeps later walks short.
            self.0[run] = self.0[self.0[run]];
            run = self.0[run];
        }
        run
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_mask() -> impl Strategy<Value = Array3<bool>> {
        (prop::array::uniform3(1_usize..7), 0.1..0.7).prop_flat_map(|([d, h, w], part)| {
            let voxels = prop::collection::vec(prop::bool::weighted(part), d * h * w);
            voxels.prop_map(move |voxels| Array3::from_shape_vec((d, h, w), voxels).unwrap())
        })
    }

    /// Flood fill, from one first voxel after the other.
    fn by_flooding(mask: &Array3<bool>, connectivity: Connectivity) -> Components {
        let mut numbers = Array3::<u32>::zeros(mask.dim());
        let mut sizes = Vec::new();
        for (first, _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
            if numbers[first] > 0 {
                continue;
            }
            sizes.push(0);
            let mut open = vec![first];
            while let Some((k, j, i)) = open.pop() {
                if !mask[[k, j, i]] || numbers[[k, j, i]] > 0 {
                    continue;
                }
                numbers[[k, j, i]] = sizes.len() as u32;
                *sizes.last_mut().unwrap() += 1;
                for (at, _) in mask.indexed_iter() {
                    let steps = [k.abs_diff(at.0), j.abs_diff(at.1), i.abs_diff(at.2)];
                    let touches = match connectivity {
                        Connectivity::Faces => steps.iter().sum::<usize>() == 1,
                        Connectivity::Corners => steps.iter().all(|&s| s <= 1),
                    };
                    if touches {
                        open.push(at);
                    }
                }
            }
        }
        Components { numbers, sizes }
    }

    proptest! {
        #[test]
        fn components_are_what_a_flood_reaches(mask in any_mask()) {
            for connectivity in [Connectivity::Faces, Connectivity::Corners] {
                prop_assert_eq!(components(mask.view(), connectivity), by_flooding(&mask, connectivity));
            }
        }

        #[test]
        fn the_largest_component_is_one_of_the_mask_and_none_is_larger(mask in any_mask()) {
            let all = components(mask.view(), Connectivity::Faces);
            let largest = largest_component(mask.view(), Connectivity::Faces);
            let voxels = largest.iter().filter(|inside| **inside).count();
            prop_assert_eq!(Some(voxels), all.sizes.iter().copied().max().or(Some(0)));
            let numbers: std::collections::BTreeSet<u32> =
                largest.iter().zip(&all.numbers).filter(|(inside, _)| **inside).map(|(_, number)| *number).collect();
            prop_assert!(numbers.len() <= 1 && !numbers.contains(&0));
        }
    }

    #[test]
    fn of_two_equally_large_components_the_first_is_kept() {
        let mask = Array3::from_shape_vec((1, 1, 7), vec![true, false, true, true, false, true, true]).unwrap();
        let expected = vec![false, false, true, true, false, false, false];
        assert_eq!(largest_component(mask.view(), Connectivity::Corners).into_raw_vec_and_offset().0, expected);
    }
}
