//! Whole sums of nodes.

use burn::tensor::Tensor;

use super::{Gpu, moments_of, norm_of, pooled, read, weight};
use crate::{
    backend::{
        NormGradients, NormTerm, Summand, WholeSums,
        cube::{buffer, sum as sum_of, tensor},
    },
    gpu::{
        Buffer, Sum, elementwise,
        pool::{Pooled, Pooling, pool},
        sums::{self, Gradients, Norm, Plain},
        together,
    },
};

impl WholeSums for Gpu {
    /// The poolings are added to the sum of everything else.
    fn sum(&self, terms: Vec<(Summand, Option<Tensor<1>>)>) -> (Tensor<5>, Option<Tensor<5>>) {
        let terms = match <[_; 1]>::try_from(terms) {
            Ok([(Summand::Plain(x), None)]) => return (x, None),
            Ok(term) => term.into(),
            Err(terms) => terms,
        };
        let mut shape = None;
        let mut fits = |found: [usize; 5]| {
            assert_eq!(found, *shape.get_or_insert(found), "a term has the shape of the sum");
            found
        };
        let (mut norms, mut plain, mut poolings) = (Vec::new(), Vec::new(), Vec::new());
        for (summand, z) in terms {
            match summand {
                Summand::Plain(x) => {
                    fits(x.dims());
                    plain.push(Plain { x: buffer(x), z: weight(z.as_ref()) });
                }
                Summand::Norm(operands) => {
                    fits(operands[0].dims());
                    norms.push(norm_of(operands.each_ref(), z.as_ref()));
                }
                Summand::MaxPool(x, spec) => {
                    fits(spec.out_shape(x.dims()));
                    poolings.push((x.dims(), spec, pooled(&x, z.as_ref(), Pooling::Max)));
                }
                Summand::AvgPool(x, spec) => {
                    fits(spec.out_shape(x.dims()));
                    poolings.push((x.dims(), spec, pooled(&x, z.as_ref(), Pooling::Mean)));
                }
            }
        }
        let ys = shape.expect("a sum has at least one term");
        // Two volumes without a norm are added in one launch.
        let (sum, moments) = match (&norms[..], &plain[..]) {
            ([], []) => (None, None),
            ([], [x]) if x.z.is_none() => (Some(x.x.clone()), None),
            ([], [x]) => (Some(elementwise::add_scaled(Sum::None, &x.x, x.z.as_ref())), None),
            ([], [x, y]) | ([], [y, x]) if x.z.is_none() => {
                let sum = Sum::Other(x.x.clone());
                (Some(elementwise::add_scaled(sum, &y.x, y.z.as_ref())), None)
            }
            _ => {
                let (sum, moments) = sums::sum(&norms, &plain, ys);
                (Some(sum), moments.map(|moments| moments_of(moments, norms.len(), ys)))
            }
        };
        let mut sum = sum.map(|sum| tensor(sum, ys));
        // Poolings of volumes of one shape are one launch.
        while let Some((xs, spec, first)) = poolings.first() {
            let (xs, spec, weighted) = (*xs, *spec, first.z.is_some());
            let (now, later): (Vec<_>, Vec<_>) = poolings
                .into_iter()
                .partition(|of| (of.0, of.1, of.2.z.is_some()) == (xs, spec, weighted));
            let now: Vec<Pooled> = now.into_iter().map(|(.., pooled)| pooled).collect();
            sum = Some(tensor(pool(sum_of(sum, ys), &now, xs, spec), ys));
            poolings = later;
        }
        (sum.expect("a sum has at least one term"), moments)
    }

    fn added(&self, terms: Vec<Tensor<5>>) -> Tensor<5> {
        let shape = terms[0].dims();
        match <[_; 1]>::try_from(terms) {
            Ok([alone]) => alone,
            Err(terms) => {
                let terms: Vec<Buffer> = terms.into_iter().map(buffer).collect();
                tensor(elementwise::added(&terms), shape)
            }
        }
    }

    fn together(&self, f: &mut dyn FnMut()) {
        together(f);
    }

    fn norm_gradients(
        &self,
        g: &Tensor<5>,
        norms: &[NormTerm],
        moments: &Tensor<5>,
    ) -> Vec<NormGradients> {
        let xs @ [_, channels, ..] = g.dims();
        let norms: Vec<Norm> = norms.iter().map(|norm| norm_of(norm.operands, norm.z)).collect();
        let scale = |by: Buffer| tensor(by, [1, channels, 1, 1, 1]);
        let found = sums::gradients(&read(g), &norms, &read(moments), xs).into_iter();
        let found = found.map(|Gradients { x, gamma, beta, z }| {
            ([tensor(x, xs), scale(gamma), scale(beta)], tensor(z, [1]))
        });
        found.collect()
    }
}
