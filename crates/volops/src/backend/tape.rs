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
            let is_whole = node.kernels.whole_sums().is_some();
            let read = inputs.iter().zip(node.reads(&wanted));
            let read = read
                .map(|(input, read)| Read {
                    shape: input.shape(),
                    node: read.then(|| tape.checkpoint(input)),
                    number: (is_whole && input.rank() == 1 && input.is_tracked())
                        .then(|| input.clone()),
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
struct Read<B: Backend> {
    shape: Shape,
    node: Option<NodeId>,
    /// The weight of a term where kernels make whole sums: of other tensors Burn lets nobody take a
    /// gradient out again, and a weight that cells share gets one from each.
    number: Option<Tracked<B, NoCheckpointing>>,
}

impl<B: Backend, const N: usize> Backward<B, N> for Step<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = (Arc<Node>, Vec<Read<B>>, Vec<Kept>);

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
        let (inputs, numbers): (Vec<_>, Vec<_>) = read
            .into_iter()
            .map(|Read { shape, node, number }| ((shape, node.map(&mut value)), number))
            .unzip();
        let kernels = node.kernels;
        let Some(sums) = kernels.whole_sums() else {
            node.backward(g, inputs, kept, &wanted, &mut |i, by_input| {
                let Some(parent) = &ops.parents[i] else { return };
                // A leaf has no parents. Its gradient stays where it is, so that only Burn can add to
                // it. The weight of a term is one number.
                let is_left_to_burn = parent.parents.is_empty() || is_number(&by_input);
                let sum = if is_left_to_burn || is_first(parent.id) {
                    by_input
                } else {
                    let sum = Tensor::from_dispatch(lift::<B>(grads.consume::<B>(parent)));
                    let by_input = Tensor::from_dispatch(by_input);
                    kernels.add_scaled(Some(sum), by_input, None).into_dispatch()
                };
                grads.register::<B>(parent.id, lower::<B>(sum));
            });
            return;
        };
        // All gradients of a parent, by its first index, as several inputs may be one tensor.
        let found = node.together(|| {
            let mut found: Vec<(usize, bool, Vec<Tensor<5>>)> = Vec::new();
            node.backward(g, inputs, kept, &wanted, &mut |i, by_input| {
                let id = |i: usize| ops.parents[i].as_ref().map(|parent| parent.id);
                let known = found.iter().position(|(other, ..)| id(*other) == id(i));
                let known = known.unwrap_or_else(|| {
                    found.push((i, is_number(&by_input), Vec::new()));
                    found.len() - 1
                });
                found[known].2.push(volume(by_input));
            });
            let add = |(i, is_number, mut terms): (usize, bool, Vec<Tensor<5>>)| {
                let parent = ops.parents[i].as_ref()?;
                let waiting = match &numbers[i] {
                    Some(number) => grads.remove::<B>(number),
                    None if parent.parents.is_empty() || is_first(parent.id) => None,
                    None => Some(grads.consume::<B>(parent)),
                };
                terms.splice(..0, waiting.map(|waiting| volume(lift::<B>(waiting))));
                let sum = sums.added(terms);
                let sum = match is_number {
                    true => sum.reshape([1]).into_dispatch(),
                    false => sum.into_dispatch(),
                };
                Some((parent.id, sum))
            };
            found.into_iter().filter_map(add).collect::<Vec<_>>()
        });
        for (id, sum) in found {
            grads.register::<B>(id, lower::<B>(sum));
        }
    }
}

/// Whether it is the gradient of the weight of a term.
fn is_number(gradient: &DispatchTensor) -> bool {
    gradient.shape().num_dims() == 1
}

/// A gradient, a number as a volume.
fn volume(gradient: DispatchTensor) -> Tensor<5> {
    match is_number(&gradient) {
        true => Tensor::<1>::from_dispatch(gradient).reshape([1; 5]),
        false => Tensor::from_dispatch(gradient),
    }
}

/// Whether no reader of the node `id` has given it a gradient yet; from now on one has.
fn is_first(id: NodeId) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        if waiting.len() == MOST_WAITING {
            waiting.clear();
        }
        waiting.insert(id)
    })
}

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
