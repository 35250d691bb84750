//! The graph of a network, written node by node while the network is traced.

use std::cell::RefCell;
use std::collections::BTreeMap;

use volops::{PoolSpec, Step, Term};

use crate::error::{Error, ExportFault, Result};
use crate::network::layout::WeightId;
use crate::network::medium::{Medium, Symbol};
use crate::network::weights::Weights;
use crate::store::onnx::proto::{self, Attribute, Node, Tensor};

/// Name of the graph's input.
pub(super) const IMAGE: &str = "image";

/// Name of its output.
pub(super) const LOGITS: &str = "logits";

/// A graph under way.
pub(super) struct Graph<'a> {
    weights: &'a Weights,
    written: RefCell<Written>,
}

/// What is there so far.
#[derive(Default)]
struct Written {
    nodes: Vec<Node>,
    /// In the order in which they were declared.
    weights: BTreeMap<WeightId, Tensor>,
    /// By their names.
    constants: BTreeMap<String, Tensor>,
    /// What many operations start from is activated once: a volume, and the bits of the slope.
    activated: BTreeMap<(Symbol, u32), Symbol>,
    /// What went wrong first.
    fault: Option<Error>,
}

impl<'a> Graph<'a> {
    /// A graph of an input alone, [`Self::INPUT`], for a network with these weights.
    pub fn new(weights: &'a Weights) -> Self {
        Self { weights, written: RefCell::default() }
    }

    /// The image.
    pub const INPUT: Symbol = Symbol::Volume(0);

    /// The whole, with `logits` as its output. Inputs and outputs are not described yet.
    ///
    /// # Errors
    /// An operation that has no steps; weights that the device does not hand out.
    pub fn finish(self, logits: Symbol) -> Result<proto::Graph> {
        let Written { mut nodes, weights, constants, fault, .. } = self.written.into_inner();
        if let Some(fault) = fault {
            return Err(fault);
        }
        if let Symbol::Volume(number) = logits {
            let own = volume_name(number);
            let names = nodes.iter_mut().flat_map(|n| n.input.iter_mut().chain(&mut n.output));
            names.filter(|name| **name == own).for_each(|name| *name = LOGITS.into());
        }
        let initializer = weights.into_values().chain(constants.into_values()).collect();
        Ok(proto::Graph { node: nodes, initializer, ..proto::Graph::default() })
    }

    /// Adds a node and gives what it makes.
    fn node(&self, operator: &str, inputs: Vec<String>, attributes: Vec<Attribute>) -> Symbol {
        let nodes = &mut self.written.borrow_mut().nodes;
        let number = nodes.len() + 1;
        nodes.push(Node {
            input: inputs,
            output: vec![volume_name(number)],
            name: format!("{operator}_{number}"),
            op_type: operator.into(),
            attribute: attributes,
        });
        Symbol::Volume(number)
    }

    /// The name of a volume or weight.
    fn name(&self, symbol: Symbol) -> String {
        let id = match symbol {
            Symbol::Volume(number) => return volume_name(number),
            Symbol::Weight(id) => id,
        };
        let (name, value) = (self.weights.name(id), self.weights.value(id));
        let values = value.clone().into_data().try_into_vec::<f32>();
        let written = &mut *self.written.borrow_mut();
        match values {
            Ok(values) => {
                let tensor = Tensor::floats(name, &value.dims(), &values);
                written.weights.insert(id, tensor);
            }
            Err(source) => {
                let fault = Error::Values { what: "weights of a network", source };
                written.fault.get_or_insert(fault);
            }
        }
        name.into()
    }

    fn constant(&self, tensor: Tensor) -> String {
        let name = tensor.name.clone();
        self.written.borrow_mut().constants.insert(name.clone(), tensor);
        name
    }

    /// What an operation makes of its inputs.
    fn applied(&self, term: Term<Symbol>) -> Symbol {
        let Term { operation, inputs, z } = term;
        // Weighted are the terms of searches and of drop-path alone.
        let Some(steps) = operation.steps().filter(|_| z.is_none()) else {
            let fault = ExportFault::Operation { operation: format!("{operation:?}") };
            self.written.borrow_mut().fault.get_or_insert(fault.into());
            return Self::INPUT;
        };
        if steps == [Step::Concat] {
            let parts = inputs.into_iter().map(|part| self.name(part)).collect();
            return self.node("Concat", parts, vec![Attribute::int("axis", 1)]);
        }
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("an operation has the inputs that its steps take");
        let x = next();
        steps.into_iter().fold(x, |x, step| self.step(step, x, &mut next))
    }

    /// A step on `x`, and on what it takes from `next`.
    fn step(&self, step: Step, x: Symbol, next: &mut impl FnMut() -> Symbol) -> Symbol {
        match step {
            Step::LeakyRelu { slope } => self.activated(x, slope),
            Step::Convolution { kernel, stride, dilation, depthwise } => {
                let weight = next();
                let mut attributes = window(kernel, stride, dilation);
                attributes.push(Attribute::ints("dilations", [dilation; 3]));
                if let (true, Symbol::Weight(id)) = (depthwise, weight) {
                    attributes.push(Attribute::int("group", self.weights.value(id).dims()[0]));
                }
                self.node("Conv", vec![self.name(x), self.name(weight)], attributes)
            }
            Step::Transposed { kernel, stride } => {
                let mut attributes = window(kernel, stride, 1);
                // What makes an axis exactly as many times as long.
                attributes.push(Attribute::ints("output_padding", stride.map(|s| s - 1)));
                self.node("ConvTranspose", vec![self.name(x), self.name(next())], attributes)
            }
            Step::InstanceNorm { epsilon } => {
                let [gamma, beta] = [next(), next()];
                self.instance_norm(x, gamma, beta, epsilon as f32)
            }
            Step::MaxPool(PoolSpec { window: kernel, stride }) => {
                self.node("MaxPool", vec![self.name(x)], window(kernel, stride, 1))
            }
            // Padding is not counted, unless that is asked for.
            Step::AvgPool(PoolSpec { window: kernel, stride }) => {
                self.node("AveragePool", vec![self.name(x)], window(kernel, stride, 1))
            }
            Step::Upsample { factor } => {
                let [d, h, w] = factor;
                let scales = [1.0, 1.0].into_iter().chain(factor.map(|n| n as f32));
                let scales: Vec<f32> = scales.collect();
                let name = format!("scales.{d}x{h}x{w}");
                let scales = self.constant(Tensor::floats(&name, &[scales.len()], &scales));
                let attributes = vec![
                    Attribute::word("mode", "linear"),
                    Attribute::word("coordinate_transformation_mode", "half_pixel"),
                ];
                // Between them would stand a region, which this resampling has not.
                self.node("Resize", vec![self.name(x), String::new(), scales], attributes)
            }
            Step::Concat => unreachable!("it is the only step of its operation"),
        }
    }

    /// Written out, as ONNX's own node of this name is made with sums over whole volumes in single
    /// precision: logits would differ by a thousandth.
    fn instance_norm(&self, x: Symbol, gamma: Symbol, beta: Symbol, epsilon: f32) -> Symbol {
        let epsilon = self.constant(Tensor::floats("epsilon", &[], &[epsilon]));
        let centred = self.binary("Sub", x, self.mean(x));
        let variance = self.mean(self.binary("Mul", centred, centred));
        let variance = self.node("Add", vec![self.name(variance), epsilon], vec![]);
        let deviation = self.node("Sqrt", vec![self.name(variance)], vec![]);
        let scaled = self.binary("Mul", centred, self.binary("Div", gamma, deviation));
        self.binary("Add", scaled, beta)
    }

    /// `[batch, channels, 1, 1, 1]`, the mean of every channel, axis after axis: short sums are close.
    /// Neighbours differ in what they keep, for OpenVINO would make one long sum of those that do
    /// not.
    fn mean(&self, x: Symbol) -> Symbol {
        let along = |x, axis: i64, keep: usize| {
            let axis = self.constant(Tensor::integers(&format!("axis.{axis}"), &[axis]));
            self.node(
                "ReduceMean",
                vec![self.name(x), axis],
                vec![Attribute::int("keepdims", keep)],
            )
        };
        let mean = along(along(along(x, 4, 0), 3, 1), 2, 0);
        let axes = self.constant(Tensor::integers("axes.3.4", &[3, 4]));
        self.node("Unsqueeze", vec![self.name(mean), axes], vec![])
    }

    /// An operator of two.
    fn binary(&self, operator: &str, a: Symbol, b: Symbol) -> Symbol {
        self.node(operator, vec![self.name(a), self.name(b)], vec![])
    }

    fn activated(&self, x: Symbol, slope: f32) -> Symbol {
        let key = (x, slope.to_bits());
        let known = self.written.borrow().activated.get(&key).copied();
        known.unwrap_or_else(|| {
            let alpha = Attribute::float("alpha", slope);
            let y = self.node("LeakyRelu", vec![self.name(x)], vec![alpha]);
            self.written.borrow_mut().activated.insert(key, y);
            y
        })
    }
}

impl Medium for Graph<'_> {
    type Volume = Symbol;

    fn weight(&self, id: WeightId) -> Symbol {
        Symbol::Weight(id)
    }

    fn weighted_sum(&self, terms: Vec<Term<Symbol>>) -> Symbol {
        let terms = terms.into_iter().map(|term| self.applied(term));
        terms
            .reduce(|sum, term| self.binary("Add", sum, term))
            .expect("a sum has at least one term")
    }

    fn shifted(&self, x: Symbol, by: Symbol) -> Symbol {
        self.binary("Add", x, by)
    }

    fn gated(&self, x: Symbol, gate: Symbol) -> Symbol {
        let share = self.node("Sigmoid", vec![self.name(gate)], vec![]);
        self.binary("Mul", x, share)
    }

    fn zeros(&self, x: &Symbol, stride: [usize; 3]) -> Symbol {
        let [d, h, w] = stride;
        let spatial = |name: &str, values: [i64; 3]| {
            self.constant(Tensor::integers(&format!("slice.{name}"), &values))
        };
        let steps = spatial(&format!("steps.{d}x{h}x{w}"), stride.map(|n| n as i64));
        let inputs = vec![
            self.name(*x),
            spatial("starts", [0; 3]),
            spatial("ends", [i64::MAX; 3]),
            spatial("axes", [2, 3, 4]),
            steps,
        ];
        let thinned = self.node("Slice", inputs, vec![]);
        let zero = self.constant(Tensor::floats("zero", &[], &[0.0]));
        self.node("Mul", vec![self.name(thinned), zero], vec![])
    }
}

fn volume_name(number: usize) -> String {
    if number == 0 { IMAGE.into() } else { format!("v{number}") }
}

/// A window of odd extents around every `stride`-th voxel, the border padded at both ends alike.
fn window(kernel: [usize; 3], stride: [usize; 3], dilation: usize) -> Vec<Attribute> {
    let pads = kernel.map(|k| dilation * (k - 1) / 2);
    vec![
        Attribute::ints("kernel_shape", kernel),
        Attribute::ints("strides", stride),
        Attribute::ints("pads", pads.into_iter().chain(pads)),
    ]
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor as Values;
    use volops::{Kept, Kernels, Operation};

    use super::*;
    use crate::network::layout::Layout;

    /// An operation that says no steps.
    #[derive(Debug)]
    struct Unheard;

    impl Operation for Unheard {
        fn forward(
            &self,
            _: &dyn Kernels,
            _: Option<Values<5>>,
            _: Option<&Values<1>>,
            mut inputs: Vec<Values<5>>,
            _: bool,
        ) -> (Values<5>, Kept) {
            (inputs.swap_remove(0), Kept::new())
        }
    }

    #[test]
    fn an_operation_without_steps_is_refused_by_its_name() {
        let weights = Weights::new(&volops::device("cpu").unwrap(), 0, &Layout::default());
        let graph = Graph::new(&weights);
        let y = graph.weighted_sum(vec![Term::new(Unheard, [Graph::INPUT])]);
        let error = graph.finish(y).unwrap_err().to_string();
        assert!(error.contains("found Unheard"), "{error}");
    }
}
