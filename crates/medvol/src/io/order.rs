//! The order in which voxels stand in a file.

use ndarray::Array4;

use super::grid::Grid;

/// Width before height before depth, and the channels somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Of the axes of the file, the fastest first.
    sizes: [usize; 4],
    /// Where among them that of the channels is.
    channels_at: usize,
}

impl Order {
    /// `channels_at` axes of space are faster than that of the channels.
    pub(super) fn of(grid: &Grid, channels_at: usize) -> Self {
        let channels_at = channels_at.min(3);
        let [depth, height, width] = grid.shape;
        let mut sizes = [width, height, depth, grid.channels];
        sizes[channels_at..].rotate_right(1);
        Self { sizes, channels_at }
    }

    /// Whether voxels stand as in an array `[channels, depth, height, width]`.
    pub(super) fn is_standard(&self) -> bool {
        self.channels_at == 3 || self.sizes[self.channels_at] == 1
    }

    /// The voxel (channel, depth, height, width) at a place in the file.
    pub(super) fn voxel(&self, mut index: usize) -> [usize; 4] {
        let mut at = self.sizes.map(|size| {
            let here = index % size;
            index /= size;
            here
        });
        at[self.channels_at..].rotate_left(1);
        let [i, j, k, c] = at;
        [c, k, j, i]
    }

    /// Voxels in this order as an array `[channels, depth, height, width]`; None if they are not as
    /// many as the sizes say.
    pub(super) fn array<T: Copy>(&self, values: Vec<T>) -> Option<Array4<T>> {
        let [a, b, c, d] = self.sizes;
        let stored = Array4::from_shape_vec((d, c, b, a), values).ok()?;
        if self.is_standard() {
            let (channels, [i, j, k]) = (self.sizes[self.channels_at], self.space());
            return stored.into_shape_with_order((channels, k, j, i)).ok();
        }
        let mut axes = [0, 1, 2, 3];
        // From the axes slowest first, to channels first.
        let channels = 3 - self.channels_at;
        axes[..=channels].rotate_right(1);
        Some(stored.permuted_axes(axes).as_standard_layout().into_owned())
    }

    /// Width, height, depth.
    fn space(&self) -> [usize; 3] {
        let mut sizes = self.sizes;
        sizes[self.channels_at..].rotate_left(1);
        [sizes[0], sizes[1], sizes[2]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::Affine;

    #[test]
    fn a_voxel_is_found_where_its_order_puts_it() {
        let grid = Grid { channels: 2, shape: [3, 4, 5], affine: Affine::IDENTITY };
        for channels_at in 0..4 {
            let order = Order::of(&grid, channels_at);
            let values: Vec<usize> = (0..120).collect();
            let array = order.array(values).unwrap();
            assert_eq!(array.dim(), (2, 3, 4, 5));
            assert!(array.is_standard_layout());
            for ((c, k, j, i), &value) in array.indexed_iter() {
                let (index, sizes) = ([i, j, k], [5, 4, 3]);
                // By hand: the place of the channel among the axes.
                let mut place = 0;
                for axis in (0..4).rev() {
                    let (at, size) = match axis.cmp(&channels_at) {
                        std::cmp::Ordering::Less => (index[axis], sizes[axis]),
                        std::cmp::Ordering::Equal => (c, 2),
                        std::cmp::Ordering::Greater => (index[axis - 1], sizes[axis - 1]),
                    };
                    place = place * size + at;
                }
                assert_eq!((value, order.voxel(value)), (place, [c, k, j, i]), "{channels_at}");
            }
        }
        let flat = Grid { channels: 1, ..grid };
        assert!(Order::of(&flat, 0).is_standard());
        assert_eq!(Order::of(&flat, 0).array(vec![0; 60]).unwrap().dim(), (1, 3, 4, 5));
        assert!(Order::of(&flat, 0).array(vec![0; 59]).is_none());
    }
}
