//! How the operations are plugged into Burn: a backend extension whose methods take any [`Op`] of one to seven inputs.
//!
//! On `Flex` an operation just runs. On `Autodiff` it runs and leaves a step on the tape, which keeps references to those inputs
//! the backward pass reads and what the operation [saved](Op::Saved), and nothing else.

// Of seven tensors and an operation; the macro below would lose an attribute of the functions themselves.
#![allow(clippy::too_many_arguments)]

use std::{array, cell::RefCell, collections::HashSet, fmt::Debug, marker::PhantomData};

use burn::{
    backend::{
        Autodiff, AutodiffBackend, Backend, Dispatch, DispatchTensor, DispatchTensorKind, Flex, TensorMetadata,
        autodiff::{
            NodeId,
            checkpoint::{base::Checkpointer, retro_forward::RetroForward, state::BackwardStates, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::{DType, Shape, Tensor},
};
use burn_flex::FlexTensor;

use super::{
    elementwise::{adam_step, sum},
    flex::Values,
};
use crate::AdamStep;

/// A differentiable operation of `N` inputs on the CPU. The value is its parameters: strides, slopes, dilations.
pub(crate) trait Op<const N: usize>: Clone + Debug + Send + 'static {
    /// Whether the result is cheaper to make a second time than to keep until the backward pass. It is kept all the same unless
    /// the device has gradient checkpointing.
    const CHEAP: bool;

    /// What the forward pass leaves for the backward pass, apart from inputs.
    type Saved: Clone + Debug + Send + 'static;

    /// The result, given the inputs whose gradient is wanted. Inputs come by value: one that nothing else refers to may give its
    /// memory to the result.
    fn forward(&self, inputs: [FlexTensor; N], wanted: [bool; N]) -> (FlexTensor, Self::Saved);

    /// Which inputs [`Op::backward`] reads, given those whose gradient is wanted.
    fn reads(&self, wanted: [bool; N]) -> [bool; N];

    /// The gradient of every wanted input, given that of the result, `g`. Gradients that are not wanted are `None`.
    fn backward(&self, g: FlexTensor, inputs: [Input; N], saved: Self::Saved, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// An input as the backward pass sees it.
pub(crate) struct Input {
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

/// What an operation on a tensor runs.
pub(crate) enum Route {
    /// The own kernels.
    Kernels(DispatchTensor),
    /// The composition of stock operations.
    Composition(Tensor<5>),
}

/// The own kernels where they apply to `x`: to `f32` on the Flex device, with or without autodiff.
pub(crate) fn route(x: Tensor<5>) -> Route {
    // Asking the tensor for its device would allocate one, and this is asked for every operation of every step.
    let x = x.into_dispatch();
    let inner = match &x.kind {
        DispatchTensorKind::Autodiff(inner) => inner,
        kind => kind,
    };
    if matches!(inner, DispatchTensorKind::Flex(_)) && inner.dtype() == DType::F32 {
        Route::Kernels(x)
    } else {
        Route::Composition(Tensor::from_dispatch(x))
    }
}

/// Runs `op` on tensors that [`route`] sent to the kernels.
pub(crate) fn apply<O: Op<N>, const N: usize>(op: O, inputs: [DispatchTensor; N]) -> Tensor<5>
where
    [DispatchTensor; N]: Inputs<N>,
{
    Tensor::from_dispatch(inputs.run(op))
}

/// As many tensors as an operation may have.
pub(crate) trait Inputs<const N: usize> {
    fn run<O: Op<N>>(self, op: O) -> DispatchTensor;
}

/// One method for each number of inputs, because Burn's macro routes tensors, not arrays of them.
macro_rules! volume_ops {
    ($($name:ident $n:tt [$($x:ident)*])*) => {
        #[backend_extension(Flex, Autodiff)]
        pub(crate) trait VolumeOps: Backend {
            $(fn $name<O: Op<$n>>($($x: FloatTensor<Self>,)* op: O) -> FloatTensor<Self>;)*

            fn adam(
                p: FloatTensor<Self>,
                g: FloatTensor<Self>,
                m: FloatTensor<Self>,
                v: FloatTensor<Self>,
                step: &AdamStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
        }

        impl VolumeOps for Flex {
            $(fn $name<O: Op<$n>>($($x: FlexTensor,)* op: O) -> FlexTensor {
                op.forward([$($x),*], [false; $n]).0
            })*

            fn adam(
                p: FlexTensor,
                g: FlexTensor,
                m: FlexTensor,
                v: FlexTensor,
                step: &AdamStep,
            ) -> (FlexTensor, FlexTensor, FlexTensor) {
                adam_step(p, g, m, v, step)
            }
        }

        impl<C: CheckpointStrategy> VolumeOps for Autodiff<Flex, C> {
            $(fn $name<O: Op<$n>>($($x: FloatTensor<Self>,)* op: O) -> FloatTensor<Self> {
                record::<O, C, $n>(op, [$($x),*])
            })*

            fn adam(
                p: FloatTensor<Self>,
                g: FloatTensor<Self>,
                m: FloatTensor<Self>,
                v: FloatTensor<Self>,
                step: &AdamStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let [p, g, m, v] = [p, g, m, v].map(|t| t.into_primitive());
                let (p, m, v) = adam_step(p, g, m, v, step);
                (Self::from_inner(p), Self::from_inner(m), Self::from_inner(v))
            }
        }

        $(impl Inputs<$n> for [DispatchTensor; $n] {
            fn run<O: Op<$n>>(self, op: O) -> DispatchTensor {
                let [$($x),*] = self;
                Dispatch::$name($($x,)* op)
            }
        })*
    };
}

volume_ops! {
    volume_op1 1 [a]
    volume_op2 2 [a b]
    volume_op3 3 [a b c]
    volume_op4 4 [a b c d]
    volume_op5 5 [a b c d e]
    volume_op6 6 [a b c d e f]
    volume_op7 7 [a b c d e f g]
}

/// Runs `op` and, if the gradient of any input is wanted, leaves a [`Step`] on the tape.
fn record<O: Op<N>, C: CheckpointStrategy, const N: usize>(
    op: O,
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
) -> FloatTensor<Autodiff<Flex, C>> {
    let wanted = inputs.each_ref().map(|input| input.is_tracked());
    let reads = op.reads(wanted);
    let nodes = inputs.each_ref().map(|input| input.node());
    let tape = Step(PhantomData::<O>).prepare::<C>(nodes);
    let tape = if O::CHEAP {
        let again = Recompute { op: op.clone(), inputs: inputs.each_ref().map(|input| input.id()) };
        tape.memory_bound().retro_forward(again).parents(&inputs)
    } else {
        tape.compute_bound()
    };
    match tape.stateful() {
        OpsKind::Tracked(mut tape) => {
            let kept = array::from_fn(|i| Kept { shape: inputs[i].shape(), node: reads[i].then(|| tape.checkpoint(&inputs[i])) });
            let (output, saved) = op.forward(inputs.map(|input| input.into_primitive()), wanted);
            tape.finish((op, kept, saved), output)
        }
        OpsKind::UnTracked(_) => {
            let (output, _) = op.forward(inputs.map(|input| input.into_primitive()), wanted);
            <Autodiff<Flex, C> as AutodiffBackend>::from_inner(output)
        }
    }
}

/// Makes the result of a [cheap](Op::CHEAP) operation a second time.
#[derive(Debug)]
struct Recompute<O, const N: usize> {
    op: O,
    inputs: [NodeId; N],
}

impl<O: Op<N>, const N: usize> RetroForward for Recompute<O, N> {
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let inputs = self.inputs.each_ref().map(|input| states.get_state(input));
        states.save(output, self.op.forward(inputs, [false; N]).0);
    }
}

/// The step of operation `O` on the tape.
#[derive(Debug)]
struct Step<O>(PhantomData<O>);

/// What the tape keeps of an input: its shape, and where to find the tensor if the backward pass reads it.
#[derive(Debug, Clone)]
struct Kept {
    shape: Shape,
    node: Option<NodeId>,
}

impl<O: Op<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = (O, [Kept; N], O::Saved);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (op, kept, saved) = ops.state;
        let g = grads.consume::<Flex>(&ops.node);
        WAITING.with_borrow_mut(|waiting| waiting.remove(&ops.node.id));
        let inputs = kept.map(|kept| Input { shape: kept.shape, value: kept.node.map(|id| checkpointer.retrieve_node_output(id)) });
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, grad) in ops.parents.iter().zip(op.backward(g, inputs, saved, wanted)) {
            let (Some(parent), Some(mut grad)) = (parent, grad) else { continue };
            // A leaf has no parents. Its gradient stays where it is, so that only Burn can add to it.
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
        }
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
