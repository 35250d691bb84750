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
use crate::space::topology::{EDGES, NODES, Share, Space};

mod film;
mod places;

pub use film::{Film, film};
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
pub const STYLE: &str = r#"
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

/// What is written on `edge` of architecture `arch` where it has this operation.
fn label(space: &Space, arch: usize, edge: usize, operation: usize) -> String {
    let stride = if space.arch_type(arch).halves(edge) { " /2" } else { "" };
    format!("{}{stride}", space.operations.get(operation))
}

/// Width of a label's box.
fn label_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER + 10.0
}

/// Distance of nodes: the longest name of the table, with its stride, fits between two nodes
/// whichever edge it is on.
fn step(space: &Space) -> f64 {
    let widest =
        space.operations.iter().map(|o| label_width(&format!("{o} /2"))).fold(0.0, f64::max);
    (1.6 * widest - 8.0).max(110.0)
}

/// Text as markup that shows it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The architectures of `genotype` side by side as a self-contained SVG: four in two columns or
/// twelve in three.
pub fn svg(genotype: &Genotype) -> String {
    let space = &genotype.space;
    let cells = (0..space.architectures()).map(|arch| {
        let marks: Vec<Mark> = (0..EDGES)
            .filter_map(|edge| Mark::of(space, arch, edge, genotype.choices[arch][edge]))
            .collect();
        (format!(", {} of {EDGES} edges", marks.len()), marks)
    });
    drawing(space, &cells.collect::<Vec<_>>(), "", STYLE)
}

/// An operation on an edge as it is drawn.
struct Mark {
    edge: usize,
    text: String,
    look: &'static Look,
    /// Attributes that tell it apart from others on its edge; empty where it is the only one.
    group: String,
}

impl Mark {
    /// That of an operation; `None` of none.
    fn of(space: &Space, arch: usize, edge: usize, operation: usize) -> Option<Self> {
        let look = look(space.operations.get(operation).kind.family())?;
        Some(Self { edge, text: label(space, arch, edge, operation), look, group: String::new() })
    }

    /// A part of it, so that all of its parts can be shown and hidden.
    fn part(&self, part: String) -> String {
        if self.group.is_empty() { part } else { format!("<g {}>{part}</g>", self.group) }
    }
}

/// Cells side by side, each with what is said of it and its marks. Names that the picture refers to
/// begin with `prefix`, so that a page can have several.
fn drawing(space: &Space, cells: &[(String, Vec<Mark>)], prefix: &str, style: &str) -> String {
    let columns = match space.share {
        Share::Type => 2,
        Share::Cell => 3,
    };
    let rows = cells.len().div_ceil(columns);
    let step = step(space);
    let cell = [2.0 * INPUT + (NODES as f64 + 0.75) * step + OUTPUT, EXTENT[1] - EXTENT[0]];
    let width = MARGIN + columns as f64 * (cell[0] + MARGIN);
    let height = MARGIN + rows as f64 * (cell[1] + MARGIN) + LEGEND;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" class=\"scnas\" role=\"img\">\n<title>Cell \
         architectures</title>\n"
    );
    if !style.is_empty() {
        let _ = writeln!(out, "<style>{style}</style>");
    }
    out.push_str("<defs>\n");
    for Look { id, colour, .. } in &LOOKS {
        let _ = writeln!(
            out,
            "<marker id=\"{prefix}{id}\" viewBox=\"0 -5 {HEAD} 10\" refX=\"0\" refY=\"0\" \
             markerWidth=\"{HEAD}\" markerHeight=\"10\" markerUnits=\"userSpaceOnUse\" \
             orient=\"auto\"><path d=\"M0,-4.5 L{HEAD},0 L0,4.5 Z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
    for (arch, (said, marks)) in cells.iter().enumerate() {
        let corner = [arch % columns, arch / columns];
        let [left, top] = [0, 1].map(|axis| MARGIN + corner[axis] as f64 * (cell[axis] + MARGIN));
        let _ = writeln!(
            out,
            "<g transform=\"translate({left:.1},{top:.1})\">\n<rect width=\"{:.1}\" \
             height=\"{:.1}\" rx=\"8\" fill=\"none\" stroke=\"#d0d0d0\"/>",
            cell[0], cell[1]
        );
        let _ = writeln!(
            out,
            "<text x=\"16\" y=\"27\"><tspan class=\"title\">{}</tspan><tspan class=\"note\" \
             dx=\"10\">{} cell{said}{}</tspan></text>",
            escape(&space.arch_name(arch)),
            space.arch_type(arch).name(),
            if space.residual { "; b is added to the output" } else { "" }
        );
        draw_cell(&mut out, marks, prefix, step);
        out.push_str("</g>\n");
    }
    draw_legend(&mut out, space, prefix, height - LEGEND / 2.0 - MARGIN / 2.0);
    out.push_str("</svg>\n");
    out
}

fn draw_cell(out: &mut String, marks: &[Mark], prefix: &str, step: f64) {
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

    let places: Vec<(Curve, Point)> = marks.iter().map(|mark| place(mark.edge, step)).collect();
    for (mark, (Curve([p, q, r, s]), _)) in marks.iter().zip(&places) {
        let path = format!(
            "M{:.1},{:.1} C{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}",
            p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1]
        );
        let Look { id, colour, dashes, .. } = mark.look;
        let wire = format!(
            "<path class=\"casing\" d=\"{path}\"/><path class=\"wire\" d=\"{path}\" \
             stroke=\"{colour}\" stroke-dasharray=\"{dashes}\" marker-end=\"url(#{prefix}{id})\"/>"
        );
        let _ = writeln!(out, "{}", mark.part(wire));
    }
    for (mark, (_, centre)) in marks.iter().zip(&places) {
        let _ = writeln!(out, "{}", mark.part(tag(*centre, &mark.text, mark.look)));
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

/// A label on its edge.
fn tag([x, y]: Point, text: &str, look: &Look) -> String {
    let width = label_width(text);
    format!(
        "<rect class=\"tag\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\" rx=\"4\" \
         fill=\"#fff\" stroke=\"{}\"/><text class=\"label\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
        x - width / 2.0,
        y - LABEL,
        2.0 * LABEL,
        look.colour,
        y + 3.8,
        escape(text)
    )
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
fn draw_legend(out: &mut String, space: &Space, prefix: &str, y: f64) {
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
        let mut looks = space.operations.iter().map(|o| self::look(o.kind.family()));
        if looks.any(|of| of.is_some_and(|of| std::ptr::eq(of, look))) {
            let mark = format!(
                "<path class=\"wire\" d=\"M0,0 H27\" stroke=\"{colour}\" \
                 stroke-dasharray=\"{dashes}\" marker-end=\"url(#{prefix}{id})\"/>"
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
