//! A genotype drawn as one SVG, the counterpart of the paper's Figures 3–6: per architecture a
//! diagram of its cell, side by side.
//!
//! Every edge has its own place, whatever the other edges are, so that two cells can be compared by
//! eye: the older input's edges run above the nodes, the newer input's below, edges between nodes
//! along and just above them. Labels stand on their edge in the gap before the node it enters (the
//! three long edges between nodes: in the gap where nothing else is at their height).

use std::fmt::Write as _;

use crate::space::genotype::{Genotype, strided};
use crate::space::operation::Kind;
use crate::space::topology::{EDGES, NODES, Share, edge_list};

/// Pixels; `y` grows downwards. In a cell the origin is on the line of the nodes, below the centre
/// of the input boxes.
type Point = [f64; 2];

/// Radius of a node and half the height of the other boxes.
const NODE: f64 = 14.0;
/// Half the width of an input's box.
const INPUT: f64 = 36.0;
/// Height of the older input above the nodes and of the newer one below.
const INPUT_Y: [f64; 2] = [-96.0, 92.0];
/// Half the width of the output's box.
const OUTPUT: f64 = 30.0;
/// Length of an arrow's head.
const HEAD: f64 = 9.0;
/// Half the height of a label.
const LABEL: f64 = 9.0;
/// Advance of a character of a label: 0.602 em in the usual monospaced fonts.
const CHARACTER: f64 = 0.602 * 11.0;
/// Height of the rail that carries nodes to the output.
const RAIL: f64 = 36.0;
/// A cell's extent from the line of the nodes: top (with title) and bottom.
const EXTENT: [f64; 2] = [-206.0, 154.0];
/// White between cells and at the picture's border.
const MARGIN: f64 = 20.0;
/// Height of the legend.
const LEGEND: f64 = 44.0;

/// Every rule is for this picture alone, so that it may be pasted into a page.
const STYLE: &str = r#"
.scnas text { font: 13px "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; fill: #1a1a1a; }
.scnas .middle, .scnas .label { text-anchor: middle; }
.scnas .label { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.scnas .title { font-size: 15px; font-weight: bold; }
.scnas .note { font-size: 12px; fill: #595959; }
.scnas .node { fill: #fff; stroke: #333; stroke-width: 1.5; }
.scnas .rail { fill: none; stroke: #c4c4c4; stroke-width: 4; }
.scnas .wire { fill: none; stroke-width: 2.2; }
.scnas .casing { fill: none; stroke: #fff; stroke-width: 6; }
"#;

/// How the edges of one family of operations look: colour (three of Okabe and Ito's and a darker
/// purple, told apart with any colour vision) and dashes (for print in grey).
struct Family {
    id: &'static str,
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
}

const FAMILIES: [Family; 4] = [
    Family { id: "conv", name: "convolution", colour: "#0072b2", dashes: "none" },
    Family { id: "depthwise", name: "depthwise separable", colour: "#d55e00", dashes: "11 3" },
    Family { id: "pool", name: "pooling", colour: "#009e73", dashes: "5 3" },
    Family { id: "identity", name: "identity", colour: "#7a3e8e", dashes: "2 3" },
];

fn family(kind: Kind) -> Option<&'static Family> {
    let index = match kind {
        Kind::Conv { .. } => 0,
        Kind::Depthwise { .. } => 1,
        Kind::MaxPool | Kind::AveragePool => 2,
        Kind::Identity => 3,
        Kind::Zero => return None,
    };
    Some(&FAMILIES[index])
}

/// A cubic Bézier curve whose `x` never falls.
#[derive(Clone, Copy)]
struct Curve([Point; 4]);

impl Curve {
    fn at(&self, t: f64) -> Point {
        let s = 1.0 - t;
        let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
        [0, 1].map(|axis| self.0.iter().zip(weights).map(|(p, w)| p[axis] * w).sum())
    }

    /// The curve's point at `x`, by bisection.
    fn at_x(&self, x: f64) -> Point {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.at(middle)[0] < x { low = middle } else { high = middle }
        }
        self.at(low)
    }
}

/// An arch: it rises to `height` over `start` and comes down on `end`.
fn arch(start: Point, height: f64, end: Point) -> Curve {
    Curve([start, [start[0], height], [end[0], height], end])
}

/// The place of `edge` when nodes are `step` apart: its curve, up to the arrow's head, and the
/// centre of its label.
fn place(edge: usize, step: f64) -> (Curve, Point) {
    let (source, node) = edge_list()[edge];
    let x = |node: usize| (node + 1) as f64 * step;
    let gap_before = |node: usize| x(node) - 0.5 * step;
    let target = x(node);
    let (curve, label_x) = match (source, node) {
        // From an input to the first node: a slope. To the others: level at a height of its own,
        // then down (or up) on the node.
        (0 | 1, 0) => {
            let side = INPUT_Y[source].signum();
            let end = [target - 8.0, side * (NODE + HEAD - 2.0)];
            let start = [0.5 * INPUT, INPUT_Y[source] - side * NODE];
            (
                Curve([
                    start,
                    [0.35 * step, 0.45 * start[1]],
                    [target - 0.22 * step, side * 58.0],
                    end,
                ]),
                0.53 * step,
            )
        }
        (0 | 1, _) => {
            let side = INPUT_Y[source].signum();
            let height = [[0.0, -124.0, -163.0, -200.0], [0.0, 110.0, 142.0, 172.0]][source][node];
            let start = [INPUT, INPUT_Y[source] + side * (node as f64 - 1.0) * 5.0];
            let end = [target + 4.0, side * (NODE + HEAD)];
            let shoulder = target - [0.0, 1.0, 1.5, 2.0][node] * step;
            (
                Curve([start, [shoulder, height], [end[0], height], end]),
                gap_before(node) - 0.06 * step,
            )
        }
        // Between neighbours: straight.
        _ if source == node + 1 => {
            let (start, end) = (x(node - 1) + NODE, target - NODE - HEAD);
            (Curve([[start, 0.0], [start, 0.0], [end, 0.0], [end, 0.0]]), gap_before(node))
        }
        // Over one node: a low arch. Over two: a high one around it.
        (2, 3) => (
            arch([x(0) + 2.0, -NODE], -118.0, [target - 7.0, -NODE - HEAD]),
            gap_before(2) - 0.1 * step,
        ),
        _ => {
            let first = source - 2;
            let label_x =
                if first == 0 { gap_before(1) + 0.08 * step } else { gap_before(3) - 0.08 * step };
            (
                arch([x(first) + 11.0, 5.0 - NODE], -64.0, [target - 15.0, 5.0 - NODE - HEAD]),
                label_x,
            )
        }
    };
    (curve, curve.at_x(label_x))
}

/// What is written on `edge` of architecture `arch`.
fn label(genotype: &Genotype, arch: usize, edge: usize) -> String {
    let stride = if strided(genotype.space.arch_type(arch), edge) { " /2" } else { "" };
    format!("{}{stride}", genotype.space.operations.get(genotype.choices[arch][edge]))
}

/// Width of a label's box.
fn label_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER + 10.0
}

/// Distance of nodes: the longest name of the table, with its stride, fits between two nodes
/// whichever edge it is on.
fn step(genotype: &Genotype) -> f64 {
    let widest = genotype
        .space
        .operations
        .iter()
        .map(|o| label_width(&format!("{o} /2")))
        .fold(0.0, f64::max);
    (1.6 * widest - 8.0).max(110.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The architectures of `genotype` side by side as a self-contained SVG: four in two columns or
/// twelve in three.
pub fn svg(genotype: &Genotype) -> String {
    let columns = match genotype.space.share {
        Share::Type => 2,
        Share::Cell => 3,
    };
    let rows = genotype.choices.len().div_ceil(columns);
    let step = step(genotype);
    let cell = [2.0 * INPUT + (NODES as f64 + 0.75) * step + OUTPUT, EXTENT[1] - EXTENT[0]];
    let width = MARGIN + columns as f64 * (cell[0] + MARGIN);
    let height = MARGIN + rows as f64 * (cell[1] + MARGIN) + LEGEND;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" class=\"scnas\" role=\"img\">\n<title>Cell \
         architectures</title>\n<style>{STYLE}</style>\n<defs>\n"
    );
    for Family { id, colour, .. } in &FAMILIES {
        let _ = writeln!(
            out,
            "<marker id=\"{id}\" viewBox=\"0 -5 {HEAD} 10\" refX=\"0\" refY=\"0\" \
             markerWidth=\"{HEAD}\" markerHeight=\"10\" markerUnits=\"userSpaceOnUse\" \
             orient=\"auto\"><path d=\"M0,-4.5 L{HEAD},0 L0,4.5 Z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
    for arch in 0..genotype.choices.len() {
        let corner = [arch % columns, arch / columns];
        let [left, top] = [0, 1].map(|axis| MARGIN + corner[axis] as f64 * (cell[axis] + MARGIN));
        let _ = writeln!(
            out,
            "<g transform=\"translate({left:.1},{top:.1})\">\n<rect width=\"{:.1}\" \
             height=\"{:.1}\" rx=\"8\" fill=\"none\" stroke=\"#d0d0d0\"/>",
            cell[0], cell[1]
        );
        draw_cell(&mut out, genotype, arch, step);
        out.push_str("</g>\n");
    }
    draw_legend(&mut out, genotype, height - LEGEND / 2.0 - MARGIN / 2.0);
    out.push_str("</svg>\n");
    out
}

fn draw_cell(out: &mut String, genotype: &Genotype, arch: usize, step: f64) {
    let space = &genotype.space;
    let edges: Vec<(usize, &Family)> =
        (0..EDGES).filter_map(|e| Some((e, family(genotype.kind(arch, e))?))).collect();
    let _ = writeln!(
        out,
        "<text x=\"16\" y=\"27\"><tspan class=\"title\">{}</tspan><tspan class=\"note\" \
         dx=\"10\">{} cell, {} of {EDGES} edges</tspan></text>",
        escape(&space.arch_name(arch)),
        space.arch_type(arch).name(),
        edges.len()
    );
    let _ = writeln!(out, "<g transform=\"translate({:.1},{:.1})\">", INPUT + 16.0, -EXTENT[0]);

    let x = |node: usize| (node + 1) as f64 * step;
    let output = (NODES as f64 + 0.75) * step;
    // The concatenation: a rail below the nodes gathers the first three, the last goes straight on.
    for node in 0..NODES - 1 {
        let start = x(node) + 8.0;
        let _ = writeln!(
            out,
            "<path class=\"rail\" d=\"M{start:.1},9 C{:.1},{RAIL} {:.1},{RAIL} {:.1},{RAIL} \
             H{:.1} Q{:.1},{RAIL} {output:.1},{NODE}\"/>",
            start + 10.0,
            start + 16.0,
            start + 34.0,
            x(NODES - 1) + 30.0,
            output - 4.0
        );
    }
    let _ = writeln!(out, "<path class=\"rail\" d=\"M{:.1},0 H{output:.1}\"/>", x(NODES - 1));

    let places: Vec<(Curve, Point)> = edges.iter().map(|&(edge, _)| place(edge, step)).collect();
    for (&(_, family), (Curve([p, q, r, s]), _)) in edges.iter().zip(&places) {
        let path = format!(
            "M{:.1},{:.1} C{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}",
            p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1]
        );
        let _ = writeln!(
            out,
            "<path class=\"casing\" d=\"{path}\"/><path class=\"wire\" d=\"{path}\" stroke=\"{}\" \
             stroke-dasharray=\"{}\" marker-end=\"url(#{})\"/>",
            family.colour, family.dashes, family.id
        );
    }
    for (&(edge, family), (_, centre)) in edges.iter().zip(&places) {
        draw_label(out, *centre, &label(genotype, arch, edge), family);
    }

    for (y, name) in INPUT_Y.into_iter().zip(["a older", "b newer"]) {
        draw_box(out, [0.0, y], INPUT, name);
    }
    draw_box(out, [output, 0.0], OUTPUT, "output");
    for node in 0..NODES {
        let _ = writeln!(
            out,
            "<circle class=\"node\" cx=\"{:.1}\" cy=\"0\" r=\"{NODE}\"/><text class=\"middle\" \
             x=\"{:.1}\" y=\"4.5\">{}</text>",
            x(node),
            x(node),
            node + 1
        );
    }
    out.push_str("</g>\n");
}

fn draw_label(out: &mut String, [x, y]: Point, text: &str, family: &Family) {
    let width = label_width(text);
    let _ = writeln!(
        out,
        "<rect class=\"tag\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\" rx=\"4\" \
         fill=\"#fff\" stroke=\"{}\"/><text class=\"label\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
        x - width / 2.0,
        y - LABEL,
        2.0 * LABEL,
        family.colour,
        y + 3.8,
        escape(text)
    );
}

fn draw_box(out: &mut String, [x, y]: Point, half_width: f64, text: &str) {
    let _ = writeln!(
        out,
        "<rect class=\"node\" x=\"{:.1}\" y=\"{:.1}\" width=\"{}\" height=\"{}\" rx=\"6\"/><text \
         class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
        x - half_width,
        y - NODE,
        2.0 * half_width,
        2.0 * NODE,
        y + 4.5
    );
}

/// One line: the families of the table, then the other marks.
fn draw_legend(out: &mut String, genotype: &Genotype, y: f64) {
    let mut x = MARGIN + 16.0;
    let mut entry = |out: &mut String, mark: &str, text: &str| {
        let _ = writeln!(
            out,
            "<g transform=\"translate({x:.1},{y:.1})\">{mark}<text x=\"44\" \
             y=\"4.5\">{text}</text></g>"
        );
        x += 70.0 + 7.2 * text.chars().count() as f64;
    };
    for family @ Family { id, name, colour, dashes } in &FAMILIES {
        if genotype
            .space
            .operations
            .iter()
            .any(|o| self::family(o.kind).is_some_and(|f| std::ptr::eq(f, family)))
        {
            let mark = format!(
                "<path class=\"wire\" d=\"M0,0 H27\" stroke=\"{colour}\" \
                 stroke-dasharray=\"{dashes}\" marker-end=\"url(#{id})\"/>"
            );
            entry(out, &mark, name);
        }
    }
    entry(out, "<path class=\"rail\" d=\"M0,0 H36\"/>", "concatenation of nodes 1–4");
    entry(out, "<text class=\"label\" x=\"28\" y=\"3.8\">/2</text>", "stride 2");
    entry(out, "", "zero: not drawn");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::topology::Space;

    /// The paper's space, those with shorter and longer names, and that with an architecture per
    /// cell.
    fn spaces() -> Vec<Space> {
        let named = |length: usize| {
            let text =
                format!(r#"["zero", {{"name": "{}", "kind": "max-pool"}}]"#, "x".repeat(length));
            Space { operations: serde_json::from_str(&text).unwrap(), ..Space::paper() }
        };
        let mut spaces: Vec<Space> = [1, 6, 12, 20, 35, 80].map(named).into();
        spaces.extend([Space::paper(), Space { share: Share::Cell, ..Space::paper() }]);
        spaces
    }

    /// Left, top, right, bottom.
    type Box = [f64; 4];

    fn around([x, y]: Point, half_width: f64, half_height: f64) -> Box {
        [x - half_width, y - half_height, x + half_width, y + half_height]
    }

    fn overlap(a: Box, b: Box) -> bool {
        a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
    }

    #[test]
    fn no_label_of_the_densest_cell_touches_another_label_a_node_the_frame_or_an_edge_that_is_not_its_own()
     {
        for space in spaces() {
            for operation in space.operations.iter().filter(|o| o.kind != Kind::Zero) {
                let genotype = Genotype::uniform(&space, &operation.name).unwrap();
                let step = step(&genotype);
                let places: Vec<(Curve, Point)> =
                    (0..EDGES).map(|edge| place(edge, step)).collect();
                // A reduction cell: its labels are the widest.
                let tags: Vec<Box> = (0..EDGES)
                    .map(|e| around(places[e].1, label_width(&label(&genotype, 0, e)) / 2.0, LABEL))
                    .collect();
                let mut nodes: Vec<Box> =
                    (0..NODES).map(|n| around([(n + 1) as f64 * step, 0.0], NODE, NODE)).collect();
                nodes.extend(INPUT_Y.map(|y| around([0.0, y], INPUT, NODE)));
                for (edge, &tag) in tags.iter().enumerate() {
                    let name = format!("{operation} on {:?}", edge_list()[edge]);
                    assert!(
                        tag[1] > EXTENT[0] + 36.0 && tag[3] < EXTENT[1],
                        "{name} leaves the frame"
                    );
                    assert!(nodes.iter().all(|&node| !overlap(tag, node)), "{name} covers a node");
                    for other in (0..EDGES).filter(|&o| o != edge) {
                        assert!(
                            !overlap(tag, tags[other]),
                            "{name} covers the label of {:?}",
                            edge_list()[other]
                        );
                        let crossed = (0..=500).any(|i| {
                            overlap(tag, around(places[other].0.at(f64::from(i) / 500.0), 1.5, 1.5))
                        });
                        assert!(!crossed, "{name} covers {:?}", edge_list()[other]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_edge_that_is_not_zero_has_one_label_and_one_arrow() {
        for space in spaces() {
            for seed in 0..5 {
                let genotype = Genotype::random(&space, seed);
                let picture = svg(&genotype);
                let drawn = genotype
                    .choices
                    .iter()
                    .flatten()
                    .filter(|&&op| space.operations.get(op).kind != Kind::Zero)
                    .count();
                assert_eq!(picture.matches("class=\"tag\"").count(), drawn);
                assert_eq!(picture.matches("class=\"casing\"").count(), drawn);
                let strided = picture.matches(" /2</text>").count();
                let expected =
                    (0..genotype.choices.len()).flat_map(|a| (0..EDGES).map(move |e| (a, e)));
                let expected = expected.filter(|&(a, e)| {
                    genotype.kind(a, e) != Kind::Zero && strided_in(&genotype, a, e)
                });
                assert_eq!(strided, expected.count());
            }
        }
    }

    fn strided_in(genotype: &Genotype, arch: usize, edge: usize) -> bool {
        genotype.space.arch_type(arch) == crate::space::topology::CellType::Reduction
            && edge_list()[edge].0 < 2
    }

    #[test]
    fn a_genotype_read_back_is_drawn_the_same() {
        for space in spaces() {
            let genotype = Genotype::random(&space, 7);
            let again = serde_json::from_str(&serde_json::to_string(&genotype).unwrap()).unwrap();
            assert_eq!(svg(&genotype), svg(&again));
        }
    }

    #[test]
    fn tags_are_closed_in_the_order_they_were_opened() {
        for space in spaces() {
            let picture = svg(&Genotype::random(&space, 3));
            let mut open = Vec::new();
            for tag in picture.split('<').skip(1) {
                let (tag, text) = tag.split_once('>').expect("a tag ends");
                assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
                assert!(!text.contains('>'), "{text}");
                let name = tag.split_whitespace().next().unwrap_or_default();
                match name.strip_prefix('/') {
                    Some(name) => assert_eq!(open.pop(), Some(name)),
                    None if tag.ends_with('/') => {}
                    None => open.push(name),
                }
            }
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn text_with_markup_is_escaped() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
