//! Plots in SVG: a frame with two axes, and lines, points and rules in it.
//!
//! A script reads values back from the drawing, so it holds its scales as attributes. Colours are
//! classes of the page's style sheet.

use std::fmt::Write as _;

use super::markup::escape;

/// Units of the drawing.
const SIZE: [f64; 2] = [560.0, 250.0];

/// Between the frame and the border: left, top, right, bottom.
const BORDER: [f64; 4] = [64.0, 14.0, 14.0, 40.0];

/// Ticks of an axis, about.
const TICKS: f64 = 5.0;

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it is of, with its unit.
    pub label: String,
    /// From where to where.
    pub range: [f64; 2],
}

impl Axis {
    /// One that holds all values, with a little room; `None` of no values.
    pub fn of(label: &str, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let [low, high] = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
            [low.min(value), high.max(value)]
        });
        let room = if high > low { 0.05 * (high - low) } else { 0.1 * low.abs().max(1e-3) };
        (low <= high).then(|| Self { label: label.into(), range: [low - room, high + room] })
    }

    /// The same, reaching at least to these values.
    pub fn with(mut self, values: &[f64]) -> Self {
        for value in values {
            self.range = [self.range[0].min(*value), self.range[1].max(*value)];
        }
        self
    }

    /// Distance of its ticks.
    fn step(&self) -> f64 {
        let rough = (self.range[1] - self.range[0]) / TICKS;
        let power = 10.0_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        steps.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power)
    }

    /// Round numbers in it.
    fn ticks(&self) -> Vec<f64> {
        let ([low, high], step) = (self.range, self.step());
        let first = (low / step).ceil() as i64;
        (first..first + 20).map(|n| n as f64 * step).take_while(|tick| *tick <= high).collect()
    }

    /// Decimals that tell its ticks apart.
    fn decimals(&self) -> usize {
        // A step of 0.1 is a little less in binary.
        (-(self.step() * 1.001).log10().floor()).clamp(0.0, 6.0) as usize
    }
}

/// A drawing under way.
#[derive(Clone, Debug)]
pub struct Plot {
    title: String,
    axes: [Axis; 2],
    marks: String,
    /// What is drawn: colour and name, each once.
    legend: Vec<(usize, String)>,
    /// Numbers below the horizontal axis.
    ticks: bool,
}

impl Plot {
    /// An empty one.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        let (marks, legend) = (String::new(), Vec::new());
        Self { title: title.into(), axes: [x, y], marks, legend, ticks: true }
    }

    /// Without numbers below the horizontal axis, along which things stand in a row.
    pub fn without_ticks(self) -> Self {
        Self { ticks: false, ..self }
    }

    /// Where a point is drawn.
    fn at(&self, point: [f64; 2]) -> [f64; 2] {
        let [left, top, right, bottom] = BORDER;
        let frame = [[left, SIZE[0] - right], [SIZE[1] - bottom, top]];
        [0, 1].map(|axis| {
            let ([low, high], [from, to]) = (self.axes[axis].range, frame[axis]);
            from + (point[axis] - low) / (high - low) * (to - from)
        })
    }

    /// A colour of the legend.
    fn named(&mut self, colour: usize, name: &str) {
        if !self.legend.iter().any(|(_, known)| known == name) {
            self.legend.push((colour, name.into()));
        }
    }

    /// A line through points, in one of the page's colours; `of` says which of several of that
    /// name it is. A single point is a dot.
    pub fn line(&mut self, colour: usize, name: &str, of: &str, points: &[[f64; 2]]) {
        let drawn: Vec<[f64; 2]> = points
            .iter()
            .filter(|point| point.iter().all(|value| value.is_finite()))
            .map(|point| self.at(*point))
            .collect();
        let Some(last) = drawn.last() else { return };
        self.named(colour, name);
        let label = if of.is_empty() { name.to_string() } else { format!("{name}, {of}") };
        let label = escape(&label);
        let points: Vec<String> = drawn.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(
            self.marks,
            "<polyline class=\"c{colour}\" data-name=\"{label}\" points=\"{points}\"/>"
        );
        if drawn.len() == 1 {
            let [x, y] = last;
            let _ = writeln!(
                self.marks,
                "<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            );
        }
    }

    /// A point with what is said of it; `hollow` ones stand back.
    pub fn point(&mut self, colour: usize, text: &str, point: [f64; 2], hollow: bool) {
        let [x, y] = self.at(point);
        let (hollow, text) = (if hollow { " hollow" } else { "" }, escape(text));
        let _ = writeln!(
            self.marks,
            "<circle class=\"p c{colour}{hollow}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\">\
             <title>{text}</title></circle>"
        );
    }

    /// Text beside a point.
    pub fn text(&mut self, text: &str, point: [f64; 2], class: &str) {
        let [x, y] = self.at(point);
        let anchor = if x > 0.7 * SIZE[0] { "end" } else { "start" };
        let x = if anchor == "end" { x - 8.0 } else { x + 8.0 };
        let _ = writeln!(
            self.marks,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            y - 6.0,
            escape(text)
        );
    }

    /// A horizontal line across the frame, with what it is.
    pub fn rule(&mut self, y: f64, text: &str, class: &str) {
        let [left, _, right, _] = BORDER;
        let [_, at] = self.at([self.axes[0].range[0], y]);
        let end = SIZE[0] - right;
        let _ = writeln!(
            self.marks,
            "<path class=\"rule {class}\" d=\"M{left},{at:.1}H{end}\"/><text class=\"rule\" \
             x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            end - 4.0,
            at - 4.0,
            escape(text)
        );
    }

    /// A vertical line across the frame, with what begins there.
    pub fn divide(&mut self, x: f64, text: &str) {
        let [_, top, _, bottom] = BORDER;
        let [at, _] = self.at([x, self.axes[1].range[0]]);
        let _ = writeln!(
            self.marks,
            "<path class=\"rule\" d=\"M{at:.1},{top}V{}\"/><text class=\"rule\" x=\"{:.1}\" \
             y=\"{}\">{}</text>",
            SIZE[1] - bottom,
            at + 4.0,
            top + 11.0,
            escape(text)
        );
    }

    /// What stands in a column, below the horizontal axis.
    pub fn column(&mut self, x: f64, text: &str) {
        let [at, _] = self.at([x, self.axes[1].range[0]]);
        let _ = writeln!(
            self.marks,
            "<text class=\"name\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            SIZE[1] - BORDER[3] + 18.0,
            escape(text)
        );
    }

    /// A box from one corner to the other.
    pub fn block(&mut self, class: &str, from: [f64; 2], to: [f64; 2]) {
        let ([x, y], [right, bottom]) = (self.at(from), self.at(to));
        let _ = writeln!(
            self.marks,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            x.min(right),
            y.min(bottom),
            (right - x).abs(),
            (bottom - y).abs()
        );
    }

    /// The finished drawing, with its title and legend. Lines can be read off with the pointer and
    /// the arrow keys: `traced`.
    pub fn figure(self, traced: bool) -> String {
        let mut frame = String::new();
        let [left, top, right, bottom] = BORDER;
        let ends = [SIZE[0] - right, SIZE[1] - bottom];
        let [x, y] = &self.axes;
        for tick in x.ticks().into_iter().filter(|_| self.ticks) {
            let [at, _] = self.at([tick, y.range[0]]);
            let _ = writeln!(
                frame,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                ends[1] + 16.0,
                tick_text(tick, x.decimals())
            );
        }
        for tick in y.ticks() {
            let [_, at] = self.at([x.range[0], tick]);
            let _ = writeln!(
                frame,
                "<path class=\"grid\" d=\"M{left},{at:.1}H{}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                ends[0],
                left - 6.0,
                at + 4.0,
                tick_text(tick, y.decimals())
            );
        }
        let (title, marks) = (escape(&self.title), &self.marks);
        let [width, height] = SIZE;
        let scale = |axis: &Axis| format!("{} {}", axis.range[0], axis.range[1]);
        let trace = match traced {
            true => format!(
                " tabindex=\"0\" data-x=\"{}\" data-y=\"{}\" data-frame=\"{left} {} {top} {}\"",
                scale(x),
                scale(y),
                ends[0],
                ends[1]
            ),
            false => String::new(),
        };
        let legend: String = (self.legend.iter())
            .map(|(colour, name)| format!("<li class=\"c{colour}\">{}</li>", escape(name)))
            .collect();
        let legend = match self.legend.len() {
            // What a single one is, the title says.
            0 | 1 => String::new(),
            _ => format!("<ul class=\"legend\">{legend}</ul>"),
        };
        let (kind, keys) = match traced {
            true => ("plot traced", ". Arrow keys read the values"),
            false => ("plot", ""),
        };
        format!(
            "<figure class=\"{kind}\"><figcaption>{title}</figcaption>{legend}<svg viewBox=\"0 0 \
             {width} {height}\" role=\"img\" aria-label=\"{title}{keys}\"{trace}>\n{frame}<path \
             class=\"axis\" d=\"M{left},{top}V{bottom}H{right}\"/><text class=\"label\" \
             x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>{}\n{marks}</svg></figure>\n",
            escape(&x.label),
            vertical(&y.label),
            right = ends[0],
            bottom = ends[1],
            middle = (left + ends[0]) / 2.0,
            below = height - 6.0,
        )
    }
}

/// The label of the vertical axis, beside it.
fn vertical(label: &str) -> String {
    let middle = (BORDER[1] + SIZE[1] - BORDER[3]) / 2.0;
    format!(
        "<text class=\"label\" transform=\"translate(11 {middle}) rotate(-90)\" \
         text-anchor=\"middle\">{}</text>",
        escape(label)
    )
}

fn tick_text(tick: f64, decimals: usize) -> String {
    // No "-0".
    let tick = if tick.abs() < 1e-12 { 0.0 } else { tick };
    format!("{tick:.decimals$}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(low: f64, high: f64) -> Axis {
        Axis { label: "x".into(), range: [low, high] }
    }

    #[test]
    fn ticks_are_few_round_and_told_apart() {
        for (low, high) in [(0.0, 1.0), (0.8123, 0.8127), (-3.0, 17.0), (1e-5, 3e-3), (0.0, 400.0)]
        {
            let axis = axis(low, high);
            let ticks = axis.ticks();
            assert!((2..=11).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            let texts: std::collections::BTreeSet<String> =
                ticks.iter().map(|tick| tick_text(*tick, axis.decimals())).collect();
            assert_eq!(texts.len(), ticks.len(), "{texts:?}");
            assert!(ticks.iter().all(|tick| (low..=high).contains(tick)));
        }
    }

    #[test]
    fn an_axis_holds_its_values_also_a_single_one_and_what_is_no_number_is_left_out() {
        let axis = Axis::of("y", [2.0, f64::NAN, 4.0]).unwrap();
        assert!(axis.range[0] < 2.0 && axis.range[1] > 4.0 && axis.range[1] < 4.5);
        let axis = Axis::of("y", [0.0]).unwrap();
        assert!(axis.range[0] < 0.0 && axis.range[1] > 0.0);
        assert!(Axis::of("y", [f64::NAN]).is_none());
    }

    #[test]
    fn corners_of_the_ranges_are_corners_of_the_frame() {
        let plot = Plot::new("t", axis(0.0, 10.0), axis(-1.0, 1.0));
        assert_eq!(plot.at([0.0, -1.0]), [BORDER[0], SIZE[1] - BORDER[3]]);
        assert_eq!(plot.at([10.0, 1.0]), [SIZE[0] - BORDER[2], BORDER[1]]);
    }

    #[test]
    fn names_are_text_and_stand_once_in_the_legend() {
        let mut plot = Plot::new("<t>", axis(0.0, 1.0), axis(0.0, 1.0));
        plot.line(0, "a<b", "fold 0", &[[0.0, 0.0], [1.0, 1.0]]);
        plot.line(0, "a<b", "fold 1", &[[0.0, 0.5], [f64::NAN, 1.0]]);
        assert!(!plot.clone().figure(true).contains("<li"), "a legend of one");
        plot.line(1, "c", "", &[[0.0, 0.5], [1.0, 0.5]]);
        let html = plot.figure(true);
        assert_eq!((html.matches("<li").count(), html.matches("<polyline").count()), (2, 3));
        assert!(!html.contains("a<b") && !html.contains("<t>"));
    }
}
