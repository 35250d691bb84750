//! A node of a cell: the weighted sum of operations, as one step of the tape.
//!
//! Every step that is recorded and undone costs Burn's tape about 10 microseconds, as much as a
//! small kernel, and a node has up to ten terms.

mod whole;

use std::{fmt::Debug, ops::Range, sync::Arc};

use burn::{
    backend::DispatchTensor,
    tensor::{Shape, Tensor},
};

use crate::{
    backend::{
        Kernels, Stock, Summand, kernels_of, on_tape,
        tape::{self, MOST_INPUTS},
        undo,
    },
    ops::Identity,
    step::Step,
};

/// What a term of a node makes of its inputs: `operation(inputs)`, `[batch, channels, depth,
/// height, width]`.
///
/// The value is the operation's parameters: strides, slopes, dilations. Its inputs are the tensor
/// it works on and the weights it has, in the order that it documents.
///
/// Only [`Operation::forward`] has to be written. The gradients are then those of Burn's autodiff
/// for it; an operation that knows better has a [`backward`](Operation::backward) of its own, and
/// says what that [reads](Operation::reads). One that says its [steps](Operation::steps) can be
/// written down for other programs.
pub trait Operation: Debug + Send + Sync + 'static {
    /// `sum + z · operation(inputs)`, and, if it `keeps` anything, what the backward pass needs
    /// besides the inputs. Without a `sum` it is `z · operation(inputs)`; without `z` that is 1.
    ///
    /// Inputs come by value: one that nothing else refers to may give its memory to the result, and
    /// so may the sum. With the kernels of [`Stock`] the inputs may be on a tape.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    fn forward(
        &self,
        kernels: &dyn Kernels,
        sum: Option<Tensor<5>>,
        z: Option<&Tensor<1>>,
        inputs: Vec<Tensor<5>>,
        keeps: bool,
    ) -> (Tensor<5>, Kept);

    /// What it adds to a sum, and what it keeps, for kernels that make [whole
    /// sums](Kernels::whole_sums).
    fn summand(
        &self,
        kernels: &dyn Kernels,
        inputs: Vec<Tensor<5>>,
        keeps: bool,
    ) -> (Summand, Kept) {
        let (y, kept) = self.forward(kernels, None, None, inputs, keeps);
        (Summand::Plain(y), kept)
    }

    /// The operands of the instance norm that its summand is, if it is one: `x`, `gamma` and `beta`.
    /// Its backward pass is then [`Operation::behind_norm`].
    fn norm<'a>(&self, _term: &Undone<'a>) -> Option<[&'a Tensor<5>; 3]> {
        None
    }

    /// As [`Operation::backward`], given the gradients of the norm's operands.
    fn behind_norm(
        &self,
        _term: &Undone,
        _by_operands: [Tensor<5>; 3],
        _found: &mut dyn FnMut(usize, Tensor<5>),
    ) {
    }

    /// Whether what kernels return to it goes to kernels and to the node only. Then they may put their
    /// work [off](crate::WholeSums::together) until that of other terms is known.
    fn hands_on(&self) -> bool {
        false
    }

    /// What it does, one step after the other, if those of [`Step`] can say it.
    fn steps(&self) -> Option<Vec<Step>> {
        None
    }

    /// Whether the result is cheaper to make a second time than to keep until the backward pass. It
    /// is kept all the same unless the device has gradient checkpointing.
    fn is_cheap(&self) -> bool {
        true
    }

    /// Which inputs [`Operation::backward`] reads, given those whose gradient is wanted, and
    /// whether that of `z` is.
    fn reads(&self, wanted: &[bool], _wants_z: bool) -> Vec<bool> {
        vec![true; wanted.len()]
    }

    /// Hands the gradient of every wanted input, by its index, to `found` as soon as it is made,
    /// and returns that of `z` if it is wanted.
    fn backward(
        &self,
        term: &Undone,
        found: &mut dyn FnMut(usize, Tensor<5>),
    ) -> Option<Tensor<1>> {
        let inputs = term.inputs.iter().zip(term.wanted);
        let inputs: Vec<_> = inputs.map(|(x, &wanted)| on_tape(x.value(), wanted)).collect();
        let z = term.z.map(|z| on_tape(z, term.wants_z));
        let (y, _) = self.forward(&Stock, None, z.as_ref(), inputs.clone(), false);
        let grads = undo(y, term.g);
        for (i, input) in inputs.iter().enumerate() {
            input.grad(&grads).into_iter().for_each(|by_input| found(i, by_input));
        }
        z.and_then(|z| z.grad(&grads))
    }
}

/// What an operation keeps for its backward pass besides its inputs.
pub type Kept = Vec<Tensor<5>>;

/// A term as its backward pass sees it.
#[derive(Debug)]
pub struct Undone<'a> {
    /// What to compute with.
    pub kernels: &'a dyn Kernels,
    /// The gradient of the node, and so of every term.
    pub g: &'a Tensor<5>,
    /// The weight of the term, if it has one.
    pub z: Option<&'a Tensor<1>>,
    /// The inputs of the operation.
    pub inputs: &'a [Input],
    /// What the forward pass kept.
    pub kept: &'a [Tensor<5>],
    /// Whose gradients are wanted, of the inputs.
    pub wanted: &'a [bool],
    /// Whether that of `z` is.
    pub wants_z: bool,
}

impl Undone<'_> {
    /// The gradient of `operation(inputs)`, for kernels that know no weight.
    pub fn unweighted(&self) -> Tensor<5> {
        self.kernels.add_scaled(None, self.g.clone(), self.z)
    }

    /// The gradient of `z` if it is wanted, by making the result `y` of the operation again.
    pub fn by_weight(&self, y: impl FnOnce() -> Tensor<5>) -> Option<Tensor<1>> {
        self.wants_z.then(|| self.kernels.dot(self.g, &y()))
    }
}

/// An input as the backward pass sees it.
#[derive(Debug)]
pub struct Input {
    /// `[batch, channels, depth, height, width]`
    pub shape: [usize; 5],
    value: Option<Tensor<5>>,
}

impl Input {
    /// The tensor, of inputs that [`Operation::reads`] named.
    ///
    /// # Panics
    /// For other inputs.
    pub fn value(&self) -> &Tensor<5> {
        self.value.as_ref().expect("an operation's `reads` names every input its backward reads")
    }

    /// The tensor, if [`Operation::reads`] named it.
    pub fn if_read(&self) -> Option<&Tensor<5>> {
        self.value.as_ref()
    }
}

/// `z · operation(inputs)`, one term of a weighted sum: of tensors, or of whatever stands for them.
#[derive(Debug)]
pub struct Term<V = Tensor<5>> {
    /// What it makes of its inputs.
    pub operation: Arc<dyn Operation>,
    /// The tensor it works on, `[batch, channels, depth, height, width]`, and the operation's
    /// weights.
    pub inputs: Vec<V>,
    /// `[1]`; none means 1.
    pub z: Option<Tensor<1>>,
}

impl<V> Term<V> {
    /// `operation(inputs)`, with weight 1.
    pub fn new(operation: impl Operation, inputs: impl Into<Vec<V>>) -> Self {
        Self { operation: Arc::new(operation), inputs: inputs.into(), z: None }
    }

    /// `x` as it is.
    pub fn identity(x: V) -> Self {
        Self::new(Identity, [x])
    }

    fn size(&self) -> usize {
        self.inputs.len() + usize::from(self.z.is_some())
    }
}

/// Most terms that a step of the tape adds to the sum before them. Where a long sum is cut decides
/// how its gradients are rounded, so it follows the number of terms, not that of their inputs.
const MOST_TERMS: usize = 10;

/// `Σ z · operation(inputs)`, added up in the order of the terms.
///
/// On the CPU what a norm or a pooling makes is never in memory: it is added to the sum as it is
/// made. The sum takes over the memory of an input that goes into it as it is, if nothing else
/// refers to that, and the gradient of such an input is the result's, not a copy of it. The
/// gradients of the weights `z` come from sums that those of the operations need anyway.
///
/// # Panics
/// If there is no term, or shapes do not fit together.
pub fn weighted_sum(terms: Vec<Term>) -> Tensor<5> {
    let mut terms = terms.into_iter().peekable();
    let mut step: Vec<Term> = terms.next().into_iter().collect();
    loop {
        let mut size: usize = step.iter().map(Term::size).sum();
        let mut taken = 1;
        while let Some(term) =
            terms.next_if(|term| taken < MOST_TERMS && size + term.size() <= MOST_INPUTS)
        {
            size += term.size();
            taken += 1;
            step.push(term);
        }
        let sum = one_step(step);
        match terms.next() {
            Some(term) => step = vec![Term::identity(sum), term],
            None => return sum,
        }
    }
}

/// `acc + z·y`. Without `acc` that is `z·y`; without `z` the weight is 1.
///
/// # Shapes
/// - `acc`, `y`, result: `[batch, channels, depth, height, width]`
/// - `z`: `[1]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn add_scaled(acc: Option<Tensor<5>>, y: Tensor<5>, z: Option<Tensor<1>>) -> Tensor<5> {
    let acc = acc.map(Term::identity).into_iter();
    weighted_sum(acc.chain([Term { z, ..Term::identity(y) }]).collect())
}

/// The result of one operation.
pub(crate) fn alone(operation: impl Operation, inputs: impl Into<Vec<Tensor<5>>>) -> Tensor<5> {
    one_step(vec![Term::new(operation, inputs)])
}

/// The sum of terms with at most [`MOST_INPUTS`] inputs together.
fn one_step(terms: Vec<Term>) -> Tensor<5> {
    let Some(x) = terms.first().and_then(|term| term.inputs.first()) else {
        panic!("a sum has at least one term, and a term an input")
    };
    // For a tensor as it is there is nothing to undo, and a step would change the order in which its
    // gradients are added up.
    if let [Term { operation, z: None, .. }] = &terms[..]
        && operation.steps().is_some_and(|steps| steps.is_empty())
    {
        return x.clone();
    }
    let kernels = kernels_of(x);
    let mut inputs = Vec::new();
    let parts = terms.into_iter().map(|term| {
        let first = inputs.len();
        inputs.extend(term.inputs.into_iter().map(Tensor::into_dispatch));
        let own = first..inputs.len();
        let is_weighted = term.z.is_some();
        inputs.extend(term.z.map(Tensor::into_dispatch));
        Part { operation: term.operation, inputs: own, is_weighted }
    });
    let node = Node { kernels, parts: parts.collect() };
    tape::apply(Arc::new(node), inputs)
}

/// A weighted sum without its tensors. Inputs: those of each part in turn.
#[derive(Debug)]
pub(crate) struct Node {
    /// What it computes with.
    pub kernels: &'static dyn Kernels,
    parts: Vec<Part>,
}

/// A term without its tensors.
#[derive(Debug)]
struct Part {
    operation: Arc<dyn Operation>,
    /// The operation's own among all. Behind them is `z` if the part is weighted.
    inputs: Range<usize>,
    is_weighted: bool,
}

impl Part {
    /// Index of the weight among all inputs.
    fn z(&self) -> Option<usize> {
        self.is_weighted.then_some(self.inputs.end)
    }
}

impl Node {
    /// Whether all of it is cheaper to make a second time than to keep.
    pub fn is_cheap(&self) -> bool {
        self.parts.iter().all(|part| part.operation.is_cheap())
    }

    /// The sum, given the inputs whose gradient is wanted.
    pub fn forward(&self, inputs: Vec<DispatchTensor>, wanted: &[bool]) -> (Tensor<5>, Vec<Kept>) {
        let keeps = wanted.contains(&true);
        if let Some(sums) = self.kernels.whole_sums() {
            return self.together(|| self.forward_whole(sums, inputs, keeps));
        }
        let mut inputs = inputs.into_iter();
        let mut sum = None;
        let mut kept = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let own = inputs.by_ref().take(part.inputs.len()).map(Tensor::from_dispatch).collect();
            let z = part.is_weighted.then(|| inputs.next()).flatten().map(Tensor::from_dispatch);
            let (more, saved) = part.operation.forward(self.kernels, sum, z.as_ref(), own, keeps);
            sum = Some(more);
            kept.push(saved);
        }
        (sum.expect("a sum has at least one term"), kept)
    }

    /// The result of `f`, in which kernels may put off their work if all parts let them.
    pub fn together<R>(&self, f: impl FnOnce() -> R) -> R {
        let sums = self.kernels.whole_sums();
        match sums.filter(|_| self.parts.iter().all(|part| part.operation.hands_on())) {
            Some(sums) => {
                let (mut f, mut result) = (Some(f), None);
                sums.together(&mut || result = f.take().map(|f| f()));
                result.expect("`together` runs what it is given")
            }
            None => f(),
        }
    }

    /// Which inputs [`Node::backward`] reads, given those whose gradient is wanted.
    pub fn reads(&self, wanted: &[bool]) -> Vec<bool> {
        let mut reads = Vec::with_capacity(wanted.len());
        for part in &self.parts {
            let wants_z = part.z().is_some_and(|z| wanted[z]);
            reads.extend(part.operation.reads(&wanted[part.inputs.clone()], wants_z));
            reads.extend(part.z().map(|_| true));
        }
        reads
    }

    /// Hands the gradient of every wanted input, by its index, to `found` as soon as it is made,
    /// given that of the sum, `g`. Last to first: what was kept last is the likeliest to be in a
    /// cache still.
    pub fn backward(
        &self,
        g: Tensor<5>,
        inputs: Vec<(Shape, Option<DispatchTensor>)>,
        mut kept: Vec<Kept>,
        wanted: &[bool],
        found: &mut dyn FnMut(usize, DispatchTensor),
    ) {
        // A slice of a larger gradient is copied once, not for each part.
        let g = self.kernels.laid_out(g);
        let mut inputs = inputs;
        let mut of_norms = match self.kernels.whole_sums() {
            Some(sums) => self.norm_gradients(sums, &g, &inputs, &mut kept),
            None => Vec::new(),
        };
        for part in self.parts.iter().rev() {
            let Range { start, end } = part.inputs;
            let z = inputs.drain(end..).next().and_then(|(_, z)| z).map(Tensor::from_dispatch);
            let own: Vec<Input> = inputs.drain(start..).map(Input::from).collect();
            let kept = kept.pop().unwrap_or_default();
            let term = Undone {
                kernels: self.kernels,
                g: &g,
                z: z.as_ref(),
                inputs: &own,
                kept: &kept,
                wanted: &wanted[start..end],
                wants_z: part.z().is_some_and(|z| wanted[z]),
            };
            let mut found_own = |i, by_input: Tensor<5>| found(start + i, by_input.into_dispatch());
            let by_z = match of_norms.pop().flatten() {
                Some((by_operands, by_z)) => {
                    part.operation.behind_norm(&term, by_operands, &mut found_own);
                    Some(by_z).filter(|_| term.wants_z)
                }
                None => part.operation.backward(&term, &mut found_own),
            };
            by_z.into_iter().for_each(|by_z| found(end, by_z.into_dispatch()));
        }
    }
}

impl From<(Shape, Option<DispatchTensor>)> for Input {
    fn from((shape, value): (Shape, Option<DispatchTensor>)) -> Self {
        Self { shape: shape.dims(), value: value.map(Tensor::from_dispatch) }
    }
}
