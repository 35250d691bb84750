//! How the operations are plugged into Burn: a backend extension whose methods take any [`Op`] of one, two or three inputs.
//!
//! On `Flex` an operation just runs. On `Autodiff` it runs and leaves a step on the tape, which keeps references to those inputs
//! the backward pass reads, and nothing else.

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
    elementwise::{Add, adam_step},
    flex::Values,
};
use crate::AdamStep;

/// A differentiable operation of `N` inputs on the CPU. The value is its parameters: strides, slopes, dilations.
pub(crate) trait Op<const N: usize>: Clone + Debug + Send + 'static {
    /// Whether the result is cheaper to make a second time than to keep until the backward pass. It is kept all the same unless
    /// the device has gradient checkpointing.
    const CHEAP: bool;

    /// The result. Inputs come by value: one that nothing else refers to may give its memory to the result.
    fn forward(&self, inputs: [FlexTensor; N]) -> FlexTensor;

    /// Which inputs [`Op::backward`] reads, given those whose gradient is wanted.
    fn reads(&self, wanted: [bool; N]) -> [bool; N];

    /// The gradient of every wanted input, given that of the result, `g`. Gradients that are not wanted are `None`.
    fn backward(&self, g: FlexTensor, inputs: [Input; N], wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// An input as the backward pass sees it.
pub(crate) struct Input {
    pub shape: Shape,
    value: Option<FlexTensor>,
}

impl Input {
    /// The elements, for inputs that [`Op::reads`] named.
    pub fn values(&self) -> Values {
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

pub(crate) fn apply1<O: Op<1>>(op: O, a: DispatchTensor) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::volume_op1(a, op))
}

pub(crate) fn apply2<O: Op<2>>(op: O, a: DispatchTensor, b: DispatchTensor) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::volume_op2(a, b, op))
}

pub(crate) fn apply3<O: Op<3>>(op: O, a: DispatchTensor, b: DispatchTensor, c: DispatchTensor) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::volume_op3(a, b, c, op))
}

pub(crate) fn apply4<O: Op<4>>(op: O, [a, b, c, d]: [DispatchTensor; 4]) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::volume_op4(a, b, c, d, op))
}

pub(crate) fn apply5<O: Op<5>>(op: O, [a, b, c, d, e]: [DispatchTensor; 5]) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::volume_op5(a, b, c, d, e, op))
}

// One method for each number of inputs, because Burn's macro routes tensors, not arrays of them.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait VolumeOps: Backend {
    fn volume_op1<O: Op<1>>(a: FloatTensor<Self>, op: O) -> FloatTensor<Self>;

    fn volume_op2<O: Op<2>>(a: FloatTensor<Self>, b: FloatTensor<Self>, op: O) -> FloatTensor<Self>;

    fn volume_op3<O: Op<3>>(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, op: O) -> FloatTensor<Self>;

    fn volume_op4<O: Op<4>>(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        op: O,
    ) -> FloatTensor<Self>;

    fn volume_op5<O: Op<5>>(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        op: O,
    ) -> FloatTensor<Self>;

    fn adam(
        p: FloatTensor<Self>,
        g: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: &AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl VolumeOps for Flex {
    fn volume_op1<O: Op<1>>(a: FlexTensor, op: O) -> FlexTensor {
        op.forward([a])
    }

    fn volume_op2<O: Op<2>>(a: FlexTensor, b: FlexTensor, op: O) -> FlexTensor {
        op.forward([a, b])
    }

    fn volume_op3<O: Op<3>>(a: FlexTensor, b: FlexTensor, c: FlexTensor, op: O) -> FlexTensor {
        op.forward([a, b, c])
    }

    fn volume_op4<O: Op<4>>(a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor, op: O) -> FlexTensor {
        op.forward([a, b, c, d])
    }

    fn volume_op5<O: Op<5>>(a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor, e: FlexTensor, op: O) -> FlexTensor {
        op.forward([a, b, c, d, e])
    }

    fn adam(p: FlexTensor, g: FlexTensor, m: FlexTensor, v: FlexTensor, step: &AdamStep) -> (FlexTensor, FlexTensor, FlexTensor) {
        adam_step(p, g, m, v, step)
    }
}

impl<C: CheckpointStrategy> VolumeOps for Autodiff<Flex, C> {
    fn volume_op1<O: Op<1>>(a: FloatTensor<Self>, op: O) -> FloatTensor<Self> {
        record::<O, C, 1>(op, [a])
    }

    fn volume_op2<O: Op<2>>(a: FloatTensor<Self>, b: FloatTensor<Self>, op: O) -> FloatTensor<Self> {
        record::<O, C, 2>(op, [a, b])
    }

    fn volume_op3<O: Op<3>>(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, op: O) -> FloatTensor<Self> {
        record::<O, C, 3>(op, [a, b, c])
    }

    fn volume_op4<O: Op<4>>(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        op: O,
    ) -> FloatTensor<Self> {
        record::<O, C, 4>(op, [a, b, c, d])
    }

    fn volume_op5<O: Op<5>>(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        op: O,
    ) -> FloatTensor<Self> {
        record::<O, C, 5>(op, [a, b, c, d, e])
    }

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

/// Runs `op` and, if the gradient of any input is wanted, leaves a [`Step`] on the tape.
fn record<O: Op<N>, C: CheckpointStrategy, const N: usize>(
    op: O,
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
) -> FloatTensor<Autodiff<Flex, C>> {
    let reads = op.reads(inputs.each_ref().map(|input| input.is_tracked()));
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
            let output = op.forward(inputs.map(|input| input.into_primitive()));
            tape.finish((op, kept), output)
        }
        OpsKind::UnTracked(_) => {
            let output = op.forward(inputs.map(|input| input.into_primitive()));
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
        states.save(output, self.op.forward(inputs));
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
    type State = (O, [Kept; N]);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (op, kept) = ops.state;
        let g = grads.consume::<Flex>(&ops.node);
        WAITING.with_borrow_mut(|waiting| waiting.remove(&ops.node.id));
        let inputs = kept.map(|kept| Input { shape: kept.shape, value: kept.node.map(|id| checkpointer.retrieve_node_output(id)) });
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, grad) in ops.parents.iter().zip(op.backward(g, inputs, wanted)) {
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
                grad = Add.forward([grads.consume::<Flex>(parent), grad]);
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
