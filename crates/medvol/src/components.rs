//! Connected components of a mask, and the largest one of a class: how stray voxels are cleaned
//! away.
//!
//! Runs of voxels along the width are joined by union-find with the runs they touch in the rows
//! before them: linear in the number of voxels, and the same for any number of threads.

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
    /// `[depth, height, width]`: 0 outside the mask, otherwise the number of the component, from 1
    /// in the order of their first voxels.
    pub numbers: Array3<u32>,
    /// Voxels of each component; those of number `n` at `n - 1`.
    pub sizes: Vec<usize>,
}

/// The connected components of `mask` `[depth, height, width]`.
pub fn components(mask: ArrayView3<bool>, connectivity: Connectivity) -> Components {
    let mut runs = Runs::of(mask, |inside| inside, connectivity);
    let mut numbers = Array3::zeros(mask.dim());
    let mut sizes: Vec<usize> = Vec::new();
    // The root of a set is its first run, so it has its number before the others ask for it.
    let mut number_of = vec![0; runs.runs.len()];
    runs.each(|run, root, row, columns| {
        if root == run {
            sizes.push(0);
            number_of[run] = sizes.len();
        }
        let number = number_of[root];
        sizes[number - 1] += columns.len();
        numbers.slice_mut(s![row[0], row[1], columns]).fill(number as u32);
    });
    Components { numbers, sizes }
}

/// Of the voxels of one class, turns all but the largest component into background (class 0); in a
/// tie, the component whose first voxel comes first is kept. `classes` is `[depth, height, width]`.
pub fn keep_largest_component(classes: &mut Array3<u8>, class: u8, connectivity: Connectivity) {
    keep_largest_of(classes, |found| found == class, |_| 0, connectivity);
}

/// Of the voxels whose class is `inside`, gives all but those of the largest component the class
/// that `outside` makes of theirs; in a tie, the component whose first voxel comes first is kept.
/// `classes` is `[depth, height, width]`.
pub fn keep_largest_of(
    classes: &mut Array3<u8>,
    inside: impl Fn(u8) -> bool,
    outside: impl Fn(u8) -> u8,
    connectivity: Connectivity,
) {
    let mut runs = Runs::of(classes.view(), inside, connectivity);
    let mut sizes = vec![0; runs.runs.len()];
    runs.each(|_, root, _, columns| sizes[root] += columns.len());
    // `max_by_key` would take the last of equals.
    let largest =
        (0..sizes.len()).fold(0, |best, this| if sizes[this] > sizes[best] { this } else { best });
    runs.each(|_, root, row, columns| {
        if root != largest {
            classes.slice_mut(s![row[0], row[1], columns]).mapv_inplace(&outside);
        }
    });
}

/// The voxels of a mask, as runs along the width.
struct Runs {
    runs: Vec<Range<usize>>,
    /// The runs of row (k, j) are `rows[k * height + j]` of `runs`.
    rows: Vec<Range<usize>>,
    height: usize,
    /// Which runs belong together.
    sets: Sets,
}

impl Runs {
    fn of<T: Copy>(
        volume: ArrayView3<T>,
        inside: impl Fn(T) -> bool,
        connectivity: Connectivity,
    ) -> Self {
        let (depth, height, _) = volume.dim();
        let mut found = Self {
            runs: Vec::new(),
            rows: Vec::with_capacity(depth * height),
            height,
            sets: Sets(Vec::new()),
        };
        let Self { runs, rows, sets, .. } = &mut found;
        for k in 0..depth {
            for j in 0..height {
                let first = runs.len();
                let row = volume.slice(s![k, j, ..]);
                for (i, _) in row.iter().enumerate().filter(|(_, voxel)| inside(**voxel)) {
                    match runs[first..].last_mut() {
                        Some(run) if run.end == i => run.end += 1,
                        _ => {
                            runs.push(i..i + 1);
                            sets.0.push(sets.0.len());
                        }
                    }
                }
                for earlier in rows_before(k, j, height, connectivity) {
                    join(runs, rows[earlier].clone(), first..runs.len(), connectivity, sets);
                }
                rows.push(first..runs.len());
            }
        }
        found
    }

    /// Calls `visit` with every run in order: its number, that of the first run of its component,
    /// its row (k, j), its columns.
    fn each(&mut self, mut visit: impl FnMut(usize, usize, [usize; 2], Range<usize>)) {
        for (row, members) in self.rows.iter().enumerate() {
            for run in members.clone() {
                visit(
                    run,
                    self.sets.root(run),
                    [row / self.height, row % self.height],
                    self.runs[run].clone(),
                );
            }
        }
    }
}

/// The rows before row (k, j) in scan order whose voxels may touch its own.
fn rows_before(
    k: usize,
    j: usize,
    height: usize,
    connectivity: Connectivity,
) -> impl Iterator<Item = usize> {
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
fn join(
    runs: &[Range<usize>],
    a: Range<usize>,
    b: Range<usize>,
    connectivity: Connectivity,
    sets: &mut Sets,
) {
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
        fn of_a_class_one_component_is_left_and_none_was_larger_and_other_classes_stay(mask in any_mask(), other in any_mask()) {
            // Class 2 where the mask is, class 1 where only the other one is.
            let other = |at: (usize, usize, usize)| other.get(at).copied().unwrap_or(false);
            let mut classes = Array3::from_shape_fn(mask.dim(), |at| if mask[at] { 2 } else { u8::from(other(at)) });
            keep_largest_component(&mut classes, 2, Connectivity::Faces);

            let all = components(mask.view(), Connectivity::Faces);
            let kept: std::collections::BTreeSet<u32> =
                classes.iter().zip(&all.numbers).filter(|(class, _)| **class == 2).map(|(_, number)| *number).collect();
            prop_assert!(kept.len() <= 1 && !kept.contains(&0));
            prop_assert_eq!(classes.iter().filter(|class| **class == 2).count(), all.sizes.iter().copied().max().unwrap_or(0));
            for (at, &class) in classes.indexed_iter().filter(|(at, _)| !mask[*at]) {
                prop_assert_eq!(class, u8::from(other(at)));
            }
        }
    }

    #[test]
    fn of_two_equally_large_components_the_first_is_kept() {
        let mut classes = Array3::from_shape_vec((1, 1, 7), vec![3, 0, 3, 3, 0, 3, 3]).unwrap();
        keep_largest_component(&mut classes, 3, Connectivity::Corners);
        assert_eq!(classes.into_raw_vec_and_offset().0, [0, 0, 3, 3, 0, 0, 0]);
    }
}
