//! A genotype drawn as one SVG, the counterpart of the paper's Figures 3–6: per architecture a
//! diagram of its cell, side by side.
//!
//! Every edge has its own place, whatever the other edges are, so that two cells can be compared by
//! eye: the older input's edges run above the nodes, the newer input's below, edges between nodes
//! along and just above them. Labels stand on their edge in the gap before the node it enters (the
//! three long edges between nodes: in the gap where nothing else is at their height).

use std::fmt::Write as _;

use crate::space::genotype::Genotype;
use crate::space::operation::Family;
use crate::space::topology::{EDGES, NODES, Share};

mod places;

use places::{Curve, HEAD, INPUT, INPUT_Y, NODE, Point, place};

/// Half the width of the output's box.
const OUTPUT: f64 = 30.0;
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
struct Look {
    id: &'static str,
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
}

const LOOKS: [Look; 4] = [
    Look { id: "conv", name: "convolution", colour: "#0072b2", dashes: "none" },
    Look { id: "depthwise", name: "depthwise separable", colour: "#d55e00", dashes: "11 3" },
    Look { id: "pool", name: "pooling", colour: "#009e73", dashes: "5 3" },
    Look { id: "identity", name: "identity", colour: "#7a3e8e", dashes: "2 3" },
];

fn look(family: Family) -> Option<&'static Look> {
    let index = match family {
        Family::Convolution => 0,
        Family::Separable => 1,
        Family::Pooling => 2,
        Family::Identity => 3,
        Family::Zero => return None,
    };
    Some(&LOOKS[index])
}

/// What is written on `edge` of architecture `arch`.
fn label(genotype: &Genotype, arch: usize, edge: usize) -> String {
    let strided = genotype.space.arch_type(arch).halves(edge);
    let stride = if strided { " /2" } else { "" };
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
    let rows = genotype.space.architectures().div_ceil(columns);
    let step = step(genotype);
    let cell = [2.0 * INPUT + (NODES as f64 + 0.75) * step + OUTPUT, EXTENT[1] - EXTENT[0]];
    let width = MARGIN + columns as f64 * (cell[0] + MARGIN);
    let height = MARGIN + rows as f64 * (cell[1] + MARGIN) + LEGEND;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" class=\"scnas\" role=\"img\">\n<title>Cell \
         architectures</title>\n<style>{STYLE}</style>\n<defs>\n"
    );
    for Look { id, colour, .. } in &LOOKS {
        let _ = writeln!(
            out,
            "<marker id=\"{id}\" viewBox=\"0 -5 {HEAD} 10\" refX=\"0\" refY=\"0\" \
             markerWidth=\"{HEAD}\" markerHeight=\"10\" markerUnits=\"userSpaceOnUse\" \
             orient=\"auto\"><path d=\"M0,-4.5 L{HEAD},0 L0,4.5 Z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
    for arch in 0..genotype.space.architectures() {
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
    let edges: Vec<(usize, &Look)> =
        (0..EDGES).filter_map(|e| Some((e, look(genotype.kind(arch, e).family())?))).collect();
    let _ = writeln!(
        out,
        "<text x=\"16\" y=\"27\"><tspan class=\"title\">{}</tspan><tspan class=\"note\" \
         dx=\"10\">{} cell, {} of {EDGES} edges{}</tspan></text>",
        escape(&space.arch_name(arch)),
        space.arch_type(arch).name(),
        edges.len(),
        if space.residual { "; b is added to the output" } else { "" }
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
    for (&(_, look), (Curve([p, q, r, s]), _)) in edges.iter().zip(&places) {
        let path = format!(
            "M{:.1},{:.1} C{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}",
            p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1]
        );
        let _ = writeln!(
            out,
            "<path class=\"casing\" d=\"{path}\"/><path class=\"wire\" d=\"{path}\" stroke=\"{}\" \
             stroke-dasharray=\"{}\" marker-end=\"url(#{})\"/>",
            look.colour, look.dashes, look.id
        );
    }
    for (&(edge, look), (_, centre)) in edges.iter().zip(&places) {
        draw_label(out, *centre, &label(genotype, arch, edge), look);
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

fn draw_label(out: &mut String, [x, y]: Point, text: &str, look: &Look) {
    let width = label_width(text);
    let _ = writeln!(
        out,
        "<rect class=\"tag\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\" rx=\"4\" \
         fill=\"#fff\" stroke=\"{}\"/><text class=\"label\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
        x - width / 2.0,
        y - LABEL,
        2.0 * LABEL,
        look.colour,
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
    for look @ Look { id, name, colour, dashes } in &LOOKS {
        let mut looks = genotype.space.operations.iter().map(|o| self::look(o.kind.family()));
        if looks.any(|of| of.is_some_and(|of| std::ptr::eq(of, look))) {
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
mod tests;
