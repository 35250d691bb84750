//! Where the edges of a cell run and where their labels stand.

use crate::space::topology::edge_list;

/// Pixels; `y` grows downwards. In a cell the origin is on the line of the nodes, below the centre
/// of the input boxes.
pub type Point = [f64; 2];

/// Radius of a node and half the height of the other boxes.
pub const NODE: f64 = 14.0;
/// Half the width of an input's box.
pub const INPUT: f64 = 36.0;
/// Height of the older input above the nodes and of the newer one below.
pub const INPUT_Y: [f64; 2] = [-96.0, 92.0];
/// Length of an arrow's head.
pub const HEAD: f64 = 9.0;

/// A cubic Bézier curve whose `x` never falls.
#[derive(Clone, Copy)]
pub struct Curve(pub [Point; 4]);

impl Curve {
    /// The point at `t`, 0 at its start to 1 at its end.
    pub fn at(&self, t: f64) -> Point {
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
pub fn place(edge: usize, step: f64) -> (Curve, Point) {
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
