//! The values of the weights Θ of a network, and how a forward pass reads them.
//!
//! A network holds [`WeightId`]s, not tensors. A forward pass lifts the weights it touches onto the
//! autodiff tape only when Θ is to be trained, so an α step computes no weight gradients and an
//! update visits only the weights that ran.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt as _;

use crate::error::Found;
use crate::network::layout::{Declared, Init, Layout, WeightId};
use crate::random::{Stream, rng};
use crate::space::operation::SLOPE;

/// One weight.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Its identity in checkpoints and models.
    pub name: String,
    /// Shaped as [`Declared::shape`] says.
    pub value: Tensor<5>,
}

/// All weights of a network.
#[derive(Clone, Debug)]
pub struct Weights {
    entries: Vec<Weight>,
    device: Device,
    seed: u64,
}

impl Weights {
    /// Initial values, drawn from `seed`, for the weights that a network declared.
    pub fn new(device: &Device, seed: u64, layout: &Layout) -> Self {
        let mut weights = Self { entries: Vec::new(), device: device.clone(), seed };
        weights.extend(layout);
        weights
    }

    /// Weights by name, whatever network they belong to; to inherit from.
    pub fn from_tensors(
        device: &Device,
        tensors: impl IntoIterator<Item = (String, Tensor<5>)>,
    ) -> Self {
        let entries = tensors.into_iter().map(|(name, value)| Weight { name, value }).collect();
        Self { entries, device: device.clone(), seed: 0 }
    }

    /// Adds initial values for the weights of a layout that comes after these.
    pub fn extend(&mut self, layout: &Layout) {
        let added = layout
            .iter()
            .map(|declared| Weight { name: declared.name.clone(), value: self.initial(declared) });
        let added: Vec<_> = added.collect();
        self.entries.extend(added);
    }

    /// An initial value. It depends on the seed and the weight's name only, so that a candidate
    /// operation starts the same whatever else is in the network.
    fn initial(&self, declared: &Declared) -> Tensor<5> {
        let len = declared.scalars();
        let values: Vec<f32> = match declared.init {
            Init::Constant(value) => vec![value; len],
            Init::He { fan_in } => {
                let mut rng = rng(self.seed, Stream::Weights, name_hash(&declared.name));
                let slope = f64::from(SLOPE);
                let sd = (2.0 / ((1.0 + slope * slope) * fan_in as f64)).sqrt();
                let mut normal = || {
                    let (u, v): (f64, f64) = (rng.random(), rng.random());
                    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
                };
                (0..len).map(|_| (sd * normal()) as f32).collect()
            }
        };
        Tensor::from_data(TensorData::new(values, declared.shape), &self.device)
    }

    /// All weights in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (WeightId, &Weight)> {
        self.entries.iter().enumerate().map(|(i, w)| (WeightId(i), w))
    }

    /// Value of a weight.
    pub fn value(&self, id: WeightId) -> &Tensor<5> {
        &self.entries[id.0].value
    }

    /// Name of a weight.
    pub fn name(&self, id: WeightId) -> &str {
        &self.entries[id.0].name
    }

    /// Takes a weight out to be updated in place; give it back with [`Weights::set`].
    pub fn take(&mut self, id: WeightId) -> Tensor<5> {
        std::mem::replace(
            &mut self.entries[id.0].value,
            Tensor::empty([0, 0, 0, 0, 0], &self.device),
        )
    }

    /// Replaces a weight's value.
    pub fn set(&mut self, id: WeightId, value: Tensor<5>) {
        self.entries[id.0].value = value;
    }

    /// Where the weights live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Drops all weights but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    /// Number of weights.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Number of scalars, norms and biases included.
    pub fn scalars(&self) -> usize {
        self.entries.iter().map(|w| w.value.dims().iter().product::<usize>()).sum()
    }

    /// A CRC-32 of all values.
    pub fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        self.entries.iter().for_each(|w| crc.update(w.value.clone().into_data().as_bytes()));
        crc.finalize()
    }

    /// Sets every weight from the tensor of its name.
    ///
    /// # Errors
    /// What is missing, too much or of another shape.
    pub fn assign(&mut self, mut tensors: BTreeMap<String, Tensor<5>>) -> Result<(), Found> {
        for weight in &mut self.entries {
            let Weight { name, value } = weight;
            let tensor =
                tensors.remove(name).ok_or_else(|| Found::NoTensor { name: name.clone() })?;
            if tensor.dims() != value.dims() {
                return Err(Found::Shape {
                    name: name.clone(),
                    shape: tensor.dims().into(),
                    expected: Some(value.dims()),
                });
            }
            *value = tensor;
        }
        let surplus = tensors.into_keys().next();
        surplus.map_or(Ok(()), |name| Err(Found::SurplusTensor { name }))
    }

    /// Copies from `other` every weight of the same name and shape (`inherit`); returns the names
    /// it did not have.
    pub fn inherit(&mut self, other: &Weights) -> Vec<String> {
        let by_name: BTreeMap<&str, &Tensor<5>> =
            other.entries.iter().map(|w| (w.name.as_str(), &w.value)).collect();
        let mut missing = Vec::new();
        for weight in &mut self.entries {
            match by_name.get(weight.name.as_str()) {
                Some(value) if value.dims() == weight.value.dims() => {
                    weight.value = (*value).clone()
                }
                _ => missing.push(weight.name.clone()),
            }
        }
        missing
    }
}

/// FNV-1a, folded to the 48 bits a substream index has.
fn name_hash(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 48)) & 0xffff_ffff_ffff
}

/// What a forward pass records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tape {
    /// Nothing: prediction.
    Off,
    /// Gradients of Θ (and of anything on the tape that reaches it).
    Weights,
    /// Gradients of what is already on the tape (the operation weights ẑ), none of Θ.
    Architecture,
}

/// One forward pass over some weights.
#[derive(Debug)]
pub struct Pass<'a> {
    weights: &'a Weights,
    tape: Tape,
    leaves: RefCell<BTreeMap<WeightId, Tensor<5>>>,
}

impl<'a> Pass<'a> {
    /// Starts a pass.
    pub fn new(weights: &'a Weights, tape: Tape) -> Self {
        Self { weights, tape, leaves: RefCell::default() }
    }

    /// A tensor of the network's input kind from values in row-major order.
    pub fn input(&self, values: Vec<f32>, shape: [usize; 5]) -> Tensor<5> {
        self.lift(Tensor::from_data(TensorData::new(values, shape), self.weights.device()))
    }

    /// Zeros of the given shape.
    pub fn zeros(&self, shape: [usize; 5]) -> Tensor<5> {
        self.lift(Tensor::zeros(shape, self.weights.device()))
    }

    /// A weight, on the tape if this pass trains Θ.
    pub fn weight(&self, id: WeightId) -> Tensor<5> {
        let value = self.weights.value(id).clone();
        match self.tape {
            Tape::Off => value,
            Tape::Architecture => Tensor::from_inner(value),
            Tape::Weights => self
                .leaves
                .borrow_mut()
                .entry(id)
                .or_insert_with(|| Tensor::from_inner(value).require_grad())
                .clone(),
        }
    }

    /// The weights this pass put on the tape.
    pub fn into_leaves(self) -> BTreeMap<WeightId, Tensor<5>> {
        self.leaves.into_inner()
    }

    fn lift(&self, tensor: Tensor<5>) -> Tensor<5> {
        if self.tape == Tape::Off { tensor } else { Tensor::from_inner(tensor) }
    }
}
