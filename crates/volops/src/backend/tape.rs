//! How a node is plugged into Burn: [`apply`] takes it and its tensors.
//!
//! On a plain device a node just runs. On one with autodiff it runs and leaves a step on the tape,
//! which keeps references to those inputs the backward pass reads and what the operations kept, and
//! nothing else.

use std::{array, cell::RefCell, collections::HashSet, marker::PhantomData, sync::Arc};

#[cfg(feature = "cube")]
use burn::backend::Cube;
use burn::{
    backend::{
        Autodiff, AutodiffBackend, Backend, DispatchAutodiffContext as Context,
        DispatchKindConversion, DispatchTensor, DispatchTensorKind, Flex,
        GradientCheckpointingStrategy as Checkpointing, TensorMetadata,
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
    tensor::{Shape, Tensor},
};

use super::Summand;
use crate::node::{Kept, Node};

/// What backend `B` has of a tensor that is on it.
pub(super) fn lower<B: Backend>(tensor: DispatchTensor) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    // The rank is not asked for.
    Tensor::<5>::from_dispatch(tensor)
        .try_into_primitive::<B>()
        .unwrap_or_else(|error| panic!("tensors of one operation are on one device: {error:?}"))
}

fn lift<B: Backend>(tensor: FloatTensor<B>) -> DispatchTensor
where
    DispatchTensor: DispatchKindConversion<B>,
{
    Tensor::<5>::from_primitive::<B>(tensor).into_dispatch()
}

/// Where a tensor is, with or without autodiff.
pub(super) fn untracked(kind: &DispatchTensorKind) -> &DispatchTensorKind {
    match kind {
        DispatchTensorKind::Autodiff(inner) => inner,
        kind => kind,
    }
}

/// Runs `node` on at most [`MOST_INPUTS`] tensors.
pub(crate) fn apply(node: Arc<Node>, inputs: Vec<DispatchTensor>) -> Tensor<5> {
    match untracked(&inputs[0].kind) {
        DispatchTensorKind::Flex(_) => apply_on::<Flex>(node, inputs),
        #[cfg(feature = "cube")]
        DispatchTensorKind::Cube(_) => apply_on::<Cube>(node, inputs),
        DispatchTensorKind::Autodiff(_) => unreachable!("autodiff of autodiff"),
    }
}

fn apply_on<B: Backend>(node: Arc<Node>, inputs: Vec<DispatchTensor>) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B>
        + DispatchKindConversion<Autodiff<B, NoCheckpointing>>
        + DispatchKindConversion<Autodiff<B, BalancedCheckpointing>>,
{
    match inputs
        .iter()
        .map(|input| input.autodiff)
        .find(|&context| context != Context::Disabled)
        .unwrap_or_default()
    {
        Context::Disabled => {
            let wanted = vec![false; inputs.len()];
            node.forward(inputs, &wanted).0
        }
        Context::Enabled(Checkpointing::Disabled) => tracked::<B, NoCheckpointing>(node, inputs),
        Context::Enabled(Checkpointing::Balanced) => {
            tracked::<B, BalancedCheckpointing>(node, inputs)
        }
    }
}

/// A tensor of a device with autodiff.
type Tracked<B, C> = FloatTensor<Autodiff<B, C>>;

/// Most inputs of a node.
pub(crate) const MOST_INPUTS: usize = 64;

fn tracked<B: Backend, C: CheckpointStrategy>(
    node: Arc<Node>,
    inputs: Vec<DispatchTensor>,
) -> Tensor<5>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B, C>>,
{
    // A tensor of the plain device is a constant.
    let on_tape = |input: DispatchTensor| match input.autodiff {
        Context::Disabled => Autodiff::<B, C>::from_inner(lower::<B>(input)),
        Context::Enabled(_) => lower::<Autodiff<B, C>>(input),
    };
    let inputs: Vec<Tracked<B, C>> = inputs.into_iter().map(on_tape).collect();
    // Burn wants their number to be known to the compiler.
    Tensor::from_primitive::<Autodiff<B, C>>(match inputs.len() {
        ..=2 => record::<B, C, 2>(node, inputs),
        3..=8 => record::<B, C, 8>(node, inputs),
        9..=24 => record::<B, C, 24>(node, inputs),
        _ => record::<B, C, MOST_INPUTS>(node, inputs),
    })
}

/// Runs `node` and, if the gradient of any of its at most `N` inputs is wanted, leaves a [`Step`]
/// on the tape.
fn record<B: Backend, C: CheckpointStrategy, const N: usize>(
    node: Arc<Node>,
    inputs: Vec<Tracked<B, C>>,
) -> Tracked<B, C>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    assert!(inputs.len() <= N, "{} inputs of a node that may have {N}", inputs.len());
    let wanted: Vec<bool> = inputs.iter().map(|input| input.is_tracked()).collect();
    let parents: [_; N] = {
        let constant = Autodiff::<B, C>::from_inner(inputs[0].primitive().clone());
        array::from_fn(|i| inputs.get(i).unwrap_or(&constant).node())
    };
    let tape = Backward::<B, N>::prepare::<C>(Step(PhantomData::<B>), parents);
    let tape = if node.is_cheap() {
        let again = Recompute {
            node: node.clone(),
            inputs: inputs.iter().map(|input| input.id()).collect(),
            backend: PhantomData::<B>,
        };
        tape.memory_bound().retro_forward(again).parents(&inputs)
    } else {
        tape.compute_bound()
    };
    let forward = |inputs: Vec<Tracked<B, C>>| {
        let inputs = inputs.into_iter().map(|input| lift::<B>(input.into_primitive())).collect();
        let (sum, kept) = node.forward(inputs, &wanted);
        (lower::<B>(sum.into_dispatch()), kept)
    };
    match tape.stateful() {
        OpsKind::Tracked(mut tape) => {
            let read = inputs.iter().zip(node.reads(&wanted));
            let read = read
                .map(|(input, read)| Read {
                    shape: input.shape(),
                    node: read.then(|| tape.checkpoint(input)),
                })
                .collect();
            let (sum, kept) = forward(inputs);
            tape.finish((node, read, kept), sum)
        }
        OpsKind::UnTracked(_) => Autodiff::<B, C>::from_inner(forward(inputs).0),
    }
}

/// Makes the result of a [cheap](Node::is_cheap) node a second time.
#[derive(Debug)]
struct Recompute<B> {
    node: Arc<Node>,
    inputs: Vec<NodeId>,
    backend: PhantomData<B>,
}

impl<B: Backend> RetroForward for Recompute<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|input| lift::<B>(states.get_state(input))).collect();
        let (sum, _) = self.node.forward(inputs, &vec![false; self.inputs.len()]);
        states.save(output, lower::<B>(sum.into_dispatch()));
    }
}

/// The step of a node on the tape.
#[derive(Debug)]
struct Step<B>(PhantomData<B>);

/// What the tape keeps of an input: its shape, and where to find the tensor if the backward pass
/// reads it.
#[derive(Debug, Clone)]
struct Read {
    shape: Shape,
    node: Option<NodeId>,
}

impl<B: Backend, const N: usize> Backward<B, N> for Step<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = (Arc<Node>, Vec<Read>, Vec<Kept>);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let (node, read, kept) = ops.state;
        let g = Tensor::from_dispatch(lift::<B>(grads.consume::<B>(&ops.node)));
        WAITING.with_borrow_mut(|waiting| waiting.remove(&ops.node.id));
        let wanted: Vec<bool> = ops.parents[..read.len()].iter().map(Option::is_some).collect();
        let mut value = |id| lift::<B>(checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let inputs = read.into_iter().map(|Read { shape, node }| (shape, node.map(&mut value)));
        let kernels = node.kernels;
        let together = if kernels.whole_sums().is_some() { MOST_TOGETHER } else { 1 };
        // Adds gradients of a parent to that of its other readers, should there be any yet.
        let add = |grads: &mut Gradients, parent: usize, found: Vec<Tensor<5>>| {
            let Some(parent) = &ops.parents[parent] else { return };
            let is_first = WAITING.with_borrow_mut(|waiting| {
                if waiting.len() == MOST_WAITING {
                    waiting.clear();
                }
                waiting.insert(parent.id)
            });
            let waiting = (!is_first).then(|| lift::<B>(grads.consume::<B>(parent)));
            let mut terms = waiting.map(Tensor::from_dispatch).into_iter().chain(found);
            let sum = match kernels.whole_sums() {
                Some(sums) => {
                    let terms = terms.map(|term| (Summand::Plain(term), None));
                    Some(sums.sum(terms.collect()).0)
                }
                None => terms.next().map(|first| {
                    terms.fold(first, |sum, term| kernels.add_scaled(Some(sum), term, None))
                }),
            };
            sum.into_iter().for_each(|sum| {
                grads.register::<B>(parent.id, lower::<B>(sum.into_dispatch()));
            });
        };
        // Parents by their first index, as several inputs may be one tensor.
        let mut gathered: Vec<(usize, Vec<Tensor<5>>)> = Vec::new();
        node.backward(g, inputs.collect(), kept, &wanted, &mut |i, by_input| {
            let Some(parent) = &ops.parents[i] else { return };
            // A leaf has no parents. Its gradient stays where it is, so that only Burn can add to
            // it. The weight of a term is one number.
            if parent.parents.is_empty() || by_input.shape().num_dims() == 1 {
                return grads.register::<B>(parent.id, lower::<B>(by_input));
            }
            let is_same = |other: usize| {
                ops.parents[other].as_ref().is_some_and(|other| other.id == parent.id)
            };
            let known = gathered.iter().position(|(other, _)| is_same(*other));
            let known = known.unwrap_or_else(|| {
                gathered.push((i, Vec::new()));
                gathered.len() - 1
            });
            gathered[known].1.push(Tensor::from_dispatch(by_input));
            if gathered[known].1.len() == together {
                let (parent, found) = gathered.swap_remove(known);
                add(grads, parent, found);
            }
        });
        gathered.into_iter().for_each(|(parent, found)| add(grads, parent, found));
    }
}

/// Gradients of one input that are added up in one launch, where kernels make whole sums: so many
/// are in memory together.
const MOST_TOGETHER: usize = 4;

thread_local! {
    /// Nodes of Burn's graph with a gradient from one of their readers, to which the next reader's
    /// is added. Burn does not tell whether there is one, and its own sum, which
    /// [`Gradients::register`] falls back to, runs on one thread. Nodes that operations of Burn
    /// made stay behind, as they do not say when they take their gradient; a node that is forgotten
    /// costs only time.
    static WAITING: RefCell<HashSet<NodeId>> = RefCell::default();
}

/// Nodes in [`WAITING`] at which all are forgotten.
const MOST_WAITING: usize = 1 << 12;
