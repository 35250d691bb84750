//! How the operations are plugged into Burn: [`apply`] takes any [`Op`] and its tensors.
//!
//! On `Flex` an operation just runs. On `Autodiff` it runs and leaves a step on the tape, which
//! keeps references to those inputs the backward pass reads and what the operation
//! [saved](Op::Saved), and nothing else.

use std::{array, cell::RefCell, collections::HashSet, fmt::Debug, marker::PhantomData};

use burn::{
    backend::{
        Autodiff, AutodiffBackend, DispatchAutodiffContext as Context, DispatchKindConversion,
        DispatchTensor, DispatchTensorKind, Flex, GradientCheckpointingStrategy as Checkpointing,
        TensorMetadata,
        autodiff::{
            NodeId,
            checkpoint::{
                base::Checkpointer,
                retro_forward::RetroForward,
                state::BackwardStates,
                strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing},
            },
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        tensor::FloatTensor,
    },
    tensor::{DType, Shape, Tensor},
};
use burn_flex::FlexTensor;

use super::{
    elementwise::sum,
    flex::{Values, primitive},
};

/// A differentiable operation on the CPU. The value is its parameters: strides, slopes, dilations.
pub(super) trait Op: Clone + Debug + Send + 'static {
    /// What the forward pass leaves for the backward pass, apart from inputs.
    type Saved: Clone + Debug + Send + 'static;

    /// Whether the result is cheaper to make a second time than to keep until the backward pass. It
    /// is kept all the same unless the device has gradient checkpointing.
    fn is_cheap(&self) -> bool {
        true
    }

    /// The result, given the inputs whose gradient is wanted. Inputs come by value: one that
    /// nothing else refers to may give its memory to the result.
    fn forward(&self, inputs: Vec<FlexTensor>, wanted: &[bool]) -> (FlexTensor, Self::Saved);

    /// Which inputs [`Op::backward`] reads, given those whose gradient is wanted.
    fn reads(&self, wanted: &[bool]) -> Vec<bool>;

    /// Hands the gradient of every wanted input, by its index, to `found` as soon as it is made,
    /// given that of the result, `g`.
    fn backward(
        &self,
        g: FlexTensor,
        inputs: &[Input],
        saved: Self::Saved,
        wanted: &[bool],
        found: &mut dyn FnMut(usize, FlexTensor),
    );
}

/// An input as the backward pass sees it.
pub(super) struct Input {
    pub shape: Shape,
    pub value: Option<FlexTensor>,
}

impl Input {
    /// The elements, for inputs that [`Op::reads`] named.
    pub fn values(&self) -> Values<'_> {
        let value = self.value.as_ref();
        Values::of(value.expect("an operation's `reads` names every input its backward reads"))
    }
}

impl From<FlexTensor> for Input {
    fn from(tensor: FlexTensor) -> Self {
        Self { shape: tensor.shape(), value: Some(tensor) }
    }
}

/// Whether the own kernels apply to `x`: to `f32` on the Flex device, with or without autodiff.
pub(super) fn has_kernels(x: &Tensor<5>) -> bool {
    // Asking the tensor for its device would allocate one, and this is asked for every operation of
    // every step.
    let x = x.clone().into_dispatch();
    let inner = match &x.kind {
        DispatchTensorKind::Autodiff(inner) => inner,
        kind => kind,
    };
    matches!(inner, DispatchTensorKind::Flex(_)) && inner.dtype() == DType::F32
}

/// Runs `op` on at most [`MOST_INPUTS`] tensors that [have kernels](has_kernels).
pub(super) fn apply(op: impl Op, inputs: impl IntoIterator<Item = DispatchTensor>) -> Tensor<5> {
    let inputs: Vec<DispatchTensor> = inputs.into_iter().collect();
    match inputs
        .iter()
        .map(|input| input.autodiff)
        .find(|&context| context != Context::Disabled)
        .unwrap_or_default()
    {
        Context::Disabled => {
            let wanted = vec![false; inputs.len()];
            let inputs = inputs
                .into_iter()
                .map(|input| primitive::<Flex>(Tensor::from_dispatch(input)))
                .collect();
            Tensor::from_primitive::<Flex>(op.forward(inputs, &wanted).0)
        }
        Context::Enabled(Checkpointing::Disabled) => tracked::<_, NoCheckpointing>(op, inputs),
        Context::Enabled(Checkpointing::Balanced) => {
            tracked::<_, BalancedCheckpointing>(op, inputs)
        }
    }
}

/// A tensor of a device with autodiff.
type Tracked<C> = FloatTensor<Autodiff<Flex, C>>;

/// Most inputs of an operation.
pub(super) const MOST_INPUTS: usize = 64;

fn tracked<O: Op, C: CheckpointStrategy>(op: O, inputs: Vec<DispatchTensor>) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    // A tensor of the plain device is a constant.
    let lifted = |input: DispatchTensor| match input.autodiff {
        Context::Disabled => {
            Autodiff::<Flex, C>::from_inner(primitive::<Flex>(Tensor::from_dispatch(input)))
        }
        Context::Enabled(_) => primitive::<Autodiff<Flex, C>>(Tensor::from_dispatch(input)),
    };
    let inputs: Vec<Tracked<C>> = inputs.into_iter().map(lifted).collect();
    // Burn wants their number to be known to the compiler.
    Tensor::from_primitive::<Autodiff<Flex, C>>(match inputs.len() {
        ..=2 => record::<O, C, 2>(op, inputs),
        3..=8 => record::<O, C, 8>(op, inputs),
        9..=24 => record::<O, C, 24>(op, inputs),
        _ => record::<O, C, MOST_INPUTS>(op, inputs),
    })
}

/// Runs `op` and, if the gradient of any of its at most `N` inputs is wanted, leaves a [`Step`] on
/// the tape.
fn record<O: Op, C: CheckpointStrategy, const N: usize>(
    op: O,
    inputs: Vec<Tracked<C>>,
) -> Tracked<C> {
    assert!(inputs.len() <= N, "{} inputs of an operation that may have {N}", inputs.len());
    let wanted: Vec<bool> = inputs.iter().map(|input| input.is_tracked()).collect();
    let nodes: [_; N] = {
        let constant = Autodiff::<Flex, C>::from_inner(inputs[0].primitive().clone());
        array::from_fn(|i| inputs.get(i).unwrap_or(&constant).node())
    };
    let tape = Backward::<Flex, N>::prepare::<C>(Step(PhantomData::<O>), nodes);
    let tape = if op.is_cheap() {
        let again =
            Recompute { op: op.clone(), inputs: inputs.iter().map(|input| input.id()).collect() };
        tape.memory_bound().retro_forward(again).parents(&inputs)
    } else {
        tape.compute_bound()
    };
    let primitives =
        |inputs: Vec<Tracked<C>>| inputs.into_iter().map(|input| input.into_primitive()).collect();
    match tape.stateful() {
        OpsKind::Tracked(mut tape) => {
            let kept = inputs.iter().zip(op.reads(&wanted));
            let kept = kept
                .map(|(input, read)| Kept {
                    shape: input.shape(),
                    node: read.then(|| tape.checkpoint(input)),
                })
                .collect();
            let (output, saved) = op.forward(primitives(inputs), &wanted);
            tape.finish((op, kept, saved), output)
        }
        OpsKind::UnTracked(_) => {
            Autodiff::<Flex, C>::from_inner(op.forward(primitives(inputs), &wanted).0)
        }
    }
}

/// Makes the result of a [cheap](Op::is_cheap) operation a second time.
#[derive(Debug)]
struct Recompute<O> {
    op: O,
    inputs: Vec<NodeId>,
}

impl<O: Op> RetroForward for Recompute<O> {
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let inputs = self.inputs.iter().map(|input| states.get_state(input)).collect();
        states.save(output, self.op.forward(inputs, &vec![false; self.inputs.len()]).0);
    }
}

/// The step of operation `O` on the tape.
#[derive(Debug)]
struct Step<O>(PhantomData<O>);

/// What the tape keeps of an input: its shape, and where to find the tensor if the backward pass
/// reads it.
#[derive(Debug, Clone)]
struct Kept {
    shape: Shape,
    node: Option<NodeId>,
}

impl<O: Op, const N: usize> Backward<Flex, N> for Step<O> {
    type State = (O, Vec<Kept>, O::Saved);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let (op, kept, saved) = ops.state;
        let g = grads.consume::<Flex>(&ops.node);
        WAITING.with_borrow_mut(|waiting| waiting.remove(&ops.node.id));
        let wanted: Vec<bool> = ops.parents[..kept.len()].iter().map(Option::is_some).collect();
        let mut input = |kept: Kept| Input {
            shape: kept.shape,
            value: kept.node.map(|id| checkpointer.retrieve_node_output(id)),
        };
        let inputs: Vec<Input> = kept.into_iter().map(&mut input).collect();
        op.backward(g, &inputs, saved, &wanted, &mut |i, mut grad| {
            let Some(parent) = &ops.parents[i] else { return };
            // A leaf has no parents. Its gradient stays where it is, so that only Burn can add to
            // it.
            let is_first = parent.parents.is_empty()
                || WAITING.with_borrow_mut(|waiting| {
                    if waiting.len() == MOST_WAITING {
                        waiting.clear();
                    }
                    waiting.insert(parent.id)
                });
            if !is_first {
                grad = sum(grads.consume::<Flex>(parent), grad);
            }
            grads.register::<Flex>(parent.id, grad);
        });
    }
}

thread_local! {
    /// Nodes with a gradient from one of their readers, to which the next reader's is added. Burn does not tell whether there is one, and its own
    /// sum, which [`Gradients::register`] falls back to, runs on one thread. Nodes that operations of Burn made stay behind, as they do not
    /// say when they take their gradient; a node that is forgotten costs only time.
    static WAITING: RefCell<HashSet<NodeId>> = RefCell::default();
}

/// Nodes in [`WAITING`] at which all are forgotten.
const MOST_WAITING: usize = 1 << 12;
