#!/usr/bin/env python3
"""The search iteration and the prediction of scnas written in PyTorch, to measure scnas against on the same machine.

    python scripts/pytorch_peer.py search  --size 40 56 40 --width 16
    python scripts/pytorch_peer.py predict --size 64 64 64 --width 32 --genotype genotype.json

`search` times one iteration: a step of Adam for the weights and one for alpha, on the same sampled architecture; only sampled operations
run, and the alpha step computes no gradients of weights. `predict` times the class scores of one patch by the network of a genotype.json,
of the output of `scnas show ARCH --json`, or of `random`, which draws an architecture of its own.

Needs PyTorch 2 and nothing else. Tensors are float32, [batch, channels, depth, height, width]. Prints one JSON object with the names
that `scnas bench --json` uses. Tensors lie in memory with channels last unless --layout says otherwise: PyTorch's depthwise convolutions
and pooling are several times faster so. Adam is PyTorch's fused one.
"""

import argparse
import json
import random
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.01
NODES = 4
# A cell's nodes 0 and 1 are its inputs; every later node receives an edge from each before it.
EDGES = [(source, node) for node in range(2, 2 + NODES) for source in range(node)]
LETTERS = "RNDE"

BUILT_IN = {
    "conv3": {"kind": "conv", "kernel": [3, 3, 3]},
    "conv1": {"kind": "conv", "kernel": [1, 1, 1]},
    "conv1x3x3": {"kind": "conv", "kernel": [1, 3, 3]},
    "conv3x1x1": {"kind": "conv", "kernel": [3, 1, 1]},
    "sep3": {"kind": "depthwise", "kernel": [3, 3, 3], "dilation": 1},
    "dil2": {"kind": "depthwise", "kernel": [3, 3, 3], "dilation": 2},
    "dil3": {"kind": "depthwise", "kernel": [3, 3, 3], "dilation": 3},
    "dil4": {"kind": "depthwise", "kernel": [3, 3, 3], "dilation": 4},
    "max3": {"kind": "max-pool"},
    "avg3": {"kind": "average-pool"},
    "identity": {"kind": "identity"},
    "zero": {"kind": "zero"},
}
PAPER_SPACE = {
    "operations": ["conv3", "dil2", "dil3", "dil4", "max3", "avg3", "identity", "zero"],
    "decoder_order": "normal-first",
    "upsample": "transposed",
    "share": "type",
}


class Space:
    """Candidate operations by name, and how the cells are put together."""

    def __init__(self, described):
        if described["share"] != "type":
            sys.exit("only spaces whose cells share an architecture by type are known here (network.share = \"type\")")
        self.upsample = described["upsample"]
        self.operations = {}
        for entry in described["operations"]:
            name = entry if isinstance(entry, str) else entry["name"]
            self.operations[name] = BUILT_IN[name] if isinstance(entry, str) else entry
        self.names = list(self.operations)
        decoder = "DEDEDE" if described["decoder_order"] == "normal-first" else "EDEDED"
        self.cells = []
        level = 0
        for letter in "RNRNRN" + decoder:
            level += {"R": 1, "E": -1}.get(letter, 0)
            self.cells.append((letter, level))


class Convolution(nn.Module):
    """LeakyReLU, the convolutions, instance norm."""

    def __init__(self, channels, *convolutions, activated=True):
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.activated = activated

    def forward(self, x):
        if self.activated:
            x = F.leaky_relu(x, SLOPE)
        for convolution in self.convolutions:
            x = convolution(x)
        return F.instance_norm(x, weight=self.gamma, bias=self.beta)


def dense(before, after, kernel=(3, 3, 3), stride=1, **more):
    padding = tuple(k // 2 for k in kernel)
    return Convolution(after, nn.Conv3d(before, after, tuple(kernel), stride, padding, bias=False), **more)


def operation(described, channels, stride):
    """The module of a candidate operation; None for zero, which is never computed."""
    kind = described["kind"]
    if kind == "conv":
        return dense(channels, channels, described["kernel"], stride)
    if kind == "depthwise":
        kernel, dilation = tuple(described["kernel"]), described["dilation"]
        padding = tuple(k // 2 * dilation for k in kernel)
        depthwise = nn.Conv3d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
        return Convolution(channels, depthwise, nn.Conv3d(channels, channels, 1, bias=False))
    if kind == "max-pool":
        return nn.MaxPool3d(3, stride, padding=1)
    if kind == "average-pool":
        return nn.AvgPool3d(3, stride, padding=1, count_include_pad=False)
    if kind == "identity":
        return nn.Identity() if stride == 1 else dense(channels, channels, (1, 1, 1), stride)
    return None


class Projection(nn.Module):
    """Brings an input of a cell to the channels of its nodes and to the grid its edges start from."""

    def __init__(self, before, level, after, target, upsample):
        super().__init__()
        self.trilinear = level > target and upsample == "trilinear"
        if level > target and upsample == "transposed":
            transposed = nn.ConvTranspose3d(before, after, 3, stride=2, padding=1, output_padding=1, bias=False)
            self.convolution = Convolution(after, transposed)
        else:
            self.convolution = dense(before, after, (1, 1, 1), 2 if level < target else 1)

    def forward(self, x):
        x = self.convolution(x)
        return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False) if self.trilinear else x


class Cell(nn.Module):
    def __init__(self, space, letter, inputs, channels, level, wanted):
        super().__init__()
        self.reduces = letter == "R"
        target = level - 1 if self.reduces else level
        self.projections = nn.ModuleList(Projection(before, at, channels, target, space.upsample) for before, at in inputs)
        self.edges = nn.ModuleList()
        for edge, (source, _) in enumerate(EDGES):
            stride = 2 if self.reduces and source < 2 else 1
            candidates = nn.ModuleDict()
            for name in [wanted[edge]] if wanted else space.names:
                module = operation(space.operations[name], channels, stride)
                if module is not None:
                    candidates[name] = module
            self.edges.append(candidates)

    def forward(self, older, newer, mixture):
        nodes = [projection(x) for projection, x in zip(self.projections, (older, newer))]
        for target in range(2, 2 + NODES):
            total = None
            for candidates, (source, node), chosen in zip(self.edges, EDGES, mixture):
                if node != target:
                    continue
                for name, z in chosen:
                    if name not in candidates:
                        continue
                    y = candidates[name](nodes[source])
                    if total is None:
                        total = y if z is None else y * z
                    else:
                        total = total + y if z is None else torch.addcmul(total, y, z)
            nodes.append(self.zeros(nodes[0]) if total is None else total)
        return torch.cat(nodes[2:], 1)

    def zeros(self, like):
        """What a node is when all its edges drew zero."""
        grid = [(n + 1) // 2 for n in like.shape[2:]] if self.reduces else like.shape[2:]
        return like.new_zeros(*like.shape[:2], *grid)


class Network(nn.Module):
    """Stem, twelve cells, class scores. `genotype`: operation names by cell type; without, all candidates are there."""

    def __init__(self, space, channels, classes, width, genotype=None):
        super().__init__()
        self.space = space
        self.stem = dense(channels, width, activated=False)
        self.cells = nn.ModuleList()
        inputs = [(width, 0), (width, 0)]
        for letter, level in space.cells:
            wanted = genotype[letter] if genotype else None
            self.cells.append(Cell(space, letter, inputs, (width << level) // NODES, level, wanted))
            inputs = [inputs[1], (width << level, level)]
        self.head = nn.Conv3d(width, classes, 1)

    def forward(self, x, mixtures):
        older = newer = self.stem(x)
        encoder = {0: newer}
        for cell, (letter, level) in zip(self.cells, self.space.cells):
            y = cell(older, newer, mixtures[letter])
            if letter == "N":
                encoder[level] = y
            elif letter == "E":
                y = y + encoder[level]
            older, newer = newer, y
        return self.head(newer)


def sample(alpha, names, tau):
    """Two operations an edge and their weights, by the Gumbel softmax of alpha (one row an edge)."""
    uniform = torch.rand(alpha.shape, dtype=torch.float64).clamp_(1e-300, 1 - 1e-16)
    logits = alpha - (-uniform.log()).log().float()
    first = torch.multinomial(torch.softmax(logits.detach() / tau, 1), 1)
    # Uniformly one of the others.
    second = (first + torch.randint(1, len(names), first.shape)) % len(names)
    pair = logits.gather(1, torch.cat([first, second], 1))
    z = torch.softmax(pair / tau, 1)
    mixture = []
    for a, b, row in zip(first.flatten().tolist(), second.flatten().tolist(), z):
        worth = row.detach().tolist()
        mixture.append([(names[op], row[i]) for i, op in enumerate((a, b)) if worth[i] >= 1e-3])
    return mixture


def dice_loss(scores, target):
    """1 - soft Dice, mean over the foreground classes. `target`: one-hot foreground."""
    probabilities = scores.softmax(1)[:, 1:]
    overlap = (probabilities * target).sum((0, 2, 3, 4))
    size = probabilities.sum((0, 2, 3, 4)) + target.sum((0, 2, 3, 4))
    return 1 - ((2 * overlap + 1e-5) / (size + 1e-5)).mean()


def repeat(step, args):
    """Times `step` after times that do not count: PyTorch prepares a convolution when it first meets its shape."""
    seconds = []
    for _ in range(args.warm_up + args.repetitions):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    seconds = seconds[args.warm_up:]
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "seconds": seconds}


def measure_search(args, space, layout):
    image = torch.rand(1, args.channels, *args.size).mul_(2).sub_(1).to(memory_format=layout)
    classes = torch.randint(args.classes, (1, *args.size))
    target = F.one_hot(classes, args.classes).permute(0, 4, 1, 2, 3)[:, 1:].float().contiguous(memory_format=layout)
    network = Network(space, args.channels, args.classes, args.width).to(memory_format=layout)
    weights = list(network.parameters())
    alphas = {letter: nn.Parameter(1e-3 * torch.randn(len(EDGES), len(space.names))) for letter in LETTERS}
    adam = torch.optim.Adam(weights, lr=1e-3, fused=True)
    alpha_adam = torch.optim.Adam(alphas.values(), lr=3e-3, betas=(0.5, 0.999))

    def iteration():
        mixtures = {letter: sample(alpha, space.names, args.tau) for letter, alpha in alphas.items()}
        constant = {letter: [[(name, z.detach()) for name, z in edge] for edge in edges] for letter, edges in mixtures.items()}
        adam.zero_grad(set_to_none=True)
        dice_loss(network(image, constant), target).backward()
        adam.step()
        alpha_adam.zero_grad(set_to_none=True)
        network.requires_grad_(False)
        dice_loss(network(image, mixtures), target).backward()
        network.requires_grad_(True)
        alpha_adam.step()

    return repeat(iteration, args)


def read_genotype(text, seed):
    if text == "random":
        choice = random.Random(seed)
        return PAPER_SPACE, {letter: [choice.choice(PAPER_SPACE["operations"]) for _ in EDGES] for letter in LETTERS}
    with open(text, encoding="utf-8") as file:
        document = json.load(file)
    document = document.get("genotype", document)
    return document["space"], document["cells"]


def measure_predict(args, layout):
    described, genotype = read_genotype(args.genotype, args.seed)
    network = Network(Space(described), args.channels, args.classes, args.width, genotype).to(memory_format=layout).eval()
    mixtures = {letter: [[(name, None)] for name in names] for letter, names in genotype.items()}
    image = torch.rand(1, args.channels, *args.size).to(memory_format=layout)
    with torch.inference_mode():
        return repeat(lambda: network(image, mixtures), args)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("part", choices=["search", "predict"])
    parser.add_argument("--size", type=int, nargs=3, default=[64, 64, 64], metavar=("D", "H", "W"))
    parser.add_argument("--width", type=int, default=32, help="channels of the stem")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--classes", type=int, default=2, help="background included")
    parser.add_argument("--genotype", default="random", help="of predict: a genotype.json or random")
    parser.add_argument("--upsample", choices=["transposed", "trilinear"], default="transposed", help="of search")
    parser.add_argument("--tau", type=float, default=1.0, help="temperature of search")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=3, help="repetitions before those that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--layout", choices=["channels-last", "channels-first"], default="channels-last")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if any(n % 8 for n in args.size):
        parser.error("--size: expected multiples of 8")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    layout = torch.channels_last_3d if args.layout == "channels-last" else torch.contiguous_format
    if args.part == "search":
        timing = measure_search(args, Space({**PAPER_SPACE, "upsample": args.upsample}), layout)
    else:
        timing = measure_predict(args, layout)
    # KiB on Linux, bytes on macOS.
    unit = 1024 if sys.platform != "darwin" else 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    print(json.dumps({"torch": torch.__version__, "threads": args.threads, args.part: timing, "peak_memory_mib": peak}))


if __name__ == "__main__":
    main()
