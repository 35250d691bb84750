//! Small symmetric matrices, a row and a column an operation.

/// A square matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// `f(row, column)` everywhere.
    pub fn from_fn(size: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..size * size).map(|at| f(at / size, at % size)).collect();
        Self { size, values }
    }

    /// All zeros.
    pub fn zeros(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    /// Ones on the diagonal.
    pub fn identity(size: usize) -> Self {
        Self::from_fn(size, |i, j| f64::from(i == j))
    }

    /// Number of rows.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The value in a row and column.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    /// The same, to be changed.
    pub fn at_mut(&mut self, row: usize, column: usize) -> &mut f64 {
        &mut self.values[row * self.size + column]
    }

    /// Sum of the diagonal.
    pub fn trace(&self) -> f64 {
        (0..self.size()).map(|i| self.at(i, i)).sum()
    }

    /// Sum of two matrices, the second `factor` times.
    pub fn plus(&self, more: &Self, factor: f64) -> Self {
        Self::from_fn(self.size, |i, j| self.at(i, j) + factor * more.at(i, j))
    }

    /// Product of two matrices.
    pub fn times(&self, right: &Self) -> Self {
        let sum = |i, j| (0..self.size).map(|k| self.at(i, k) * right.at(k, j)).sum();
        Self::from_fn(self.size, sum)
    }

    /// `A · inner · Aᵀ`: the covariance of A x, where that of x is `inner`.
    pub fn congruence(&self, inner: &Self) -> Self {
        let left = self.times(inner);
        let sum = |i, j| (0..self.size).map(|k| left.at(i, k) * self.at(j, k)).sum();
        Self::from_fn(self.size, sum)
    }

    /// Product with a vector.
    pub fn apply(&self, vector: &[f64]) -> Vec<f64> {
        let row = |i| (0..self.size).map(|k| self.at(i, k) * vector[k]).sum();
        (0..self.size).map(row).collect()
    }

    /// The inverse of a positive definite matrix, by Gauss–Jordan elimination, which needs no
    /// exchange of rows there.
    pub fn inverse(&self) -> Self {
        let (mut left, mut right) = (self.clone(), Self::identity(self.size));
        for pivot in 0..self.size {
            let scale = 1.0 / left.at(pivot, pivot);
            for column in 0..self.size {
                *left.at_mut(pivot, column) *= scale;
                *right.at_mut(pivot, column) *= scale;
            }
            for row in (0..self.size).filter(|&row| row != pivot) {
                let factor = left.at(row, pivot);
                for column in 0..self.size {
                    *left.at_mut(row, column) -= factor * left.at(pivot, column);
                    *right.at_mut(row, column) -= factor * right.at(pivot, column);
                }
            }
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let root = Matrix::from_fn(5, |i, j| ((3 * i + 7 * j + i * j) % 11) as f64 / 11.0);
        let one = Matrix::identity(5);
        let matrix = root.congruence(&one).plus(&one, 0.1);
        let product = matrix.times(&matrix.inverse());
        for i in 0..5 {
            for j in 0..5 {
                assert!((product.at(i, j) - one.at(i, j)).abs() < 1e-9);
            }
        }
    }
}
