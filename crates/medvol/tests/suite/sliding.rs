//! The law of sliding windows: however little is held at a time, the result is that of the whole
//! volume, to the last bit.

use crate::common::any_affine;
use medvol::sliding::Sliding;
use medvol::stitch::{Blend, windows};
use medvol::{Case, ClassMap, Image, LabelMap, canonical_spacing, preprocess};
use ndarray::{Array3, Array4, s};
use proptest::prelude::*;

const CLASSES: usize = 3;

/// What a network could say: noise that depends on the window, the voxel and the class.
fn scores(corner: [usize; 3], patch: [usize; 3]) -> Vec<f32> {
    let mut state = (corner[0] * 10_007 + corner[1] * 101 + corner[2]) as u32;
    (0..CLASSES * patch.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        })
        .collect()
}

/// The stitched scores of a whole grid, voxel by voxel.
fn stitched(shape: [usize; 3], patch: [usize; 3], overlap: f64, blend: Blend) -> Array4<f32> {
    let profile = |axis: usize, at: usize| match blend {
        Blend::Uniform => 1.0,
        Blend::Gaussian => {
            let (centre, deviation) = ((patch[axis] as f64 - 1.0) / 2.0, patch[axis] as f64 / 8.0);
            (-0.5 * ((at as f64 - centre) / deviation).powi(2)).exp() as f32
        }
    };
    let mut sums = Array4::<f32>::zeros((CLASSES, shape[0], shape[1], shape[2]));
    let mut totals = Array3::<f32>::zeros(shape);
    for corner in windows(shape, patch, overlap) {
        let scores =
            Array4::from_shape_vec((CLASSES, patch[0], patch[1], patch[2]), scores(corner, patch))
                .unwrap();
        for ((c, k, j, i), score) in scores.indexed_iter() {
            let at = [corner[0] + k, corner[1] + j, corner[2] + i];
            if (0..3).all(|axis| at[axis] < shape[axis]) {
                let weight = profile(0, k) * profile(1, j) * profile(2, i);
                sums[[c, at[0], at[1], at[2]]] += score * weight;
                totals[at] += if c == 0 { weight } else { 0.0 };
            }
        }
    }
    sums / totals.insert_axis(ndarray::Axis(0))
}

/// What comes out of `strips` strips: class scores on the image's own grid, and how often each
/// voxel was handed out.
fn slid(
    case: &Case,
    patch: [usize; 3],
    overlap: f64,
    blend: Blend,
    strips: usize,
) -> (Array4<f32>, Array3<u8>) {
    let [depth, height, width] = case.geometry.shape;
    let mut whole = Array4::zeros((CLASSES, depth, height, width));
    whole.index_axis_mut(ndarray::Axis(0), 0).fill(1.0);
    let mut times = Array3::zeros((depth, height, width));
    Sliding::restoring(&case.geometry, CLASSES, patch, overlap, blend)
        .run(
            strips,
            |corner| Ok::<_, ()>(scores(corner, patch)),
            |finished| {
                let [k, j, i] = finished.block.clone();
                for (class, mut whole) in whole.outer_iter_mut().enumerate() {
                    let mut crop = case.geometry.crop(whole.view_mut());
                    crop.slice_mut(s![k.clone(), j.clone(), i.clone()])
                        .assign(&finished.scores(class));
                }
                case.geometry.crop(times.view_mut()).slice_mut(s![k, j, i]).mapv_inplace(|n| n + 1);
            },
        )
        .unwrap();
    (whole, times)
}

proptest! {
    #[test]
    fn any_number_of_strips_gives_the_bits_of_the_whole_volume(
        affine in any_affine(),
        shape in prop::array::uniform3(1..20_usize),
        empty in prop::array::uniform3(0..3_usize),
        ratio in prop::array::uniform3(prop_oneof![Just(1.0), 0.4..3.0_f64]),
        patch in prop::array::uniform3(1..9_usize),
        overlap in 0.0..0.8,
        blend in prop_oneof![Just(Blend::Gaussian), Just(Blend::Uniform)],
    ) {
        let voxels = Array4::from_shape_fn((1, shape[0], shape[1], shape[2]), |(_, k, j, i)| {
            f32::from(u8::from(k >= empty[0] && j >= empty[1] && i >= empty[2]))
        });
        let own = canonical_spacing(&affine);
        let spacing = [0, 1, 2].map(|a| own[a] * ratio[a]);
        let map = ClassMap::new(&[]);
        let case = preprocess("case", &Image { voxels, affine }, None, &map, spacing, &[]).unwrap();
        let grid = case.geometry.grid_shape();
        let expected = case.geometry.restore_probabilities(&stitched(grid, patch, overlap, blend)).unwrap();

        let bits = |scores: &Array4<f32>| scores.mapv(f32::to_bits);
        for strips in [1, 2, 3, 5, usize::MAX] {
            let (found, times) = slid(&case, patch, overlap, blend, strips);
            prop_assert_eq!(bits(&found), bits(&expected.voxels), "{} strips", strips);
            let once = LabelMap { voxels: times.mapv(u16::from), affine };
            let mut inside = Array3::zeros(shape);
            case.geometry.crop(inside.view_mut()).fill(1);
            prop_assert_eq!(once.voxels, inside);
        }
    }
}
