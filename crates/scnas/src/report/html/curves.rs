//! Curves over the epochs of a search and of the training behind it; folds lie over each other.

use crate::observer::EpochLine;
use crate::report::html::markup::note;
use crate::report::html::plot::{Axis, Plot};
use crate::report::html::scores::colour;
use crate::report::html::subject::{Network, Subject};
use crate::settings::Config;

/// What is read from a line of the log.
type Reading = dyn Fn(&EpochLine) -> Option<f64>;

/// A quantity of the log.
struct Curve {
    name: String,
    colour: usize,
    of: Box<Reading>,
}

impl Curve {
    fn new(name: &str, colour: usize, of: impl Fn(&EpochLine) -> Option<f64> + 'static) -> Self {
        Self { name: name.into(), colour, of: Box::new(of) }
    }
}

/// All plots; nothing where no epoch is over.
pub fn section(subject: &Subject) -> String {
    let networks: Vec<&Network> =
        subject.networks.iter().filter(|network| !network.lines.is_empty()).collect();
    if networks.is_empty() {
        return String::new();
    }
    let classes = subject.classes();
    let mut dice = vec![Curve::new("mean", 0, |line| line.mean_dice)];
    // More lines than that are not told apart.
    if networks.len() == 1 && classes.len() > 1 && classes.len() < 5 {
        dice.extend(classes.iter().enumerate().map(|(n, class)| {
            Curve::new(class, colour(n), move |line| line.dice.as_ref()?.get(n).copied().flatten())
        }));
    }
    let plots = [
        plot(
            "Loss",
            "loss",
            &networks,
            vec![
                Curve::new("weights", 0, |line| Some(line.loss)),
                Curve::new("architecture", 1, |line| line.search.as_ref()?.alpha_loss),
            ],
            &[],
        ),
        plot("Dice of the held-out cases, as training sees them", "Dice", &networks, dice, &[]),
        plot(
            "Learning rate",
            "learning rate",
            &networks,
            vec![Curve::new("weights", 0, |line| Some(line.learning_rate))],
            &[(0.0, "")],
        ),
        plot(
            "Temperature of the search",
            "τ",
            &networks,
            vec![Curve::new("τ", 0, |line| Some(line.search.as_ref()?.tau))],
            &[(0.0, "")],
        ),
        entropy(&networks, subject.config()),
        plot(
            "How sure the search is",
            "correlation of two halves of its gradients",
            &networks,
            vec![Curve::new("r", 0, |line| Some(line.search.as_ref()?.agreement?.r))],
            &[(0.0, "chance"), (1.0, "certain")],
        ),
        plot(
            "What the edges are",
            "share of the edges",
            &networks,
            vec![
                Curve::new("none", 0, |line| Some(line.search.as_ref()?.edges.zero)),
                Curve::new("identity", 1, |line| Some(line.search.as_ref()?.edges.identity)),
                Curve::new("pooling", 2, |line| Some(line.search.as_ref()?.edges.pool)),
            ],
            &[(0.0, "")],
        ),
    ];
    let several = match networks.len() {
        1 => String::new(),
        n => note(&format!("Each line is a fold: {n} lie over each other.")),
    };
    format!("{several}<div class=\"plots\">{}</div>\n", plots.concat())
}

/// How undecided the search is: from the entropy of a choice of which nothing is known, to 0.
fn entropy(networks: &[&Network], config: Option<&Config>) -> String {
    let curve = Curve::new("entropy", 0, |line| Some(line.search.as_ref()?.entropy));
    let operations = config.map_or(0, |config| config.network.operations.len());
    let most = (operations as f64).ln();
    let undecided: &[(f64, &str)] = match operations > 1 {
        true => &[(most, "nothing decided"), (0.0, "all decided")],
        false => &[(0.0, "all decided")],
    };
    plot(
        "How undecided the search is",
        "entropy of a choice, nats",
        networks,
        vec![curve],
        undecided,
    )
}

/// One plot; nothing where no line has any of its curves. `rules` are values to reach, with what
/// they mean.
fn plot(
    title: &str,
    label: &str,
    networks: &[&Network],
    curves: Vec<Curve>,
    rules: &[(f64, &str)],
) -> String {
    let mut drawn = Vec::new();
    for network in networks {
        for curve in &curves {
            let points: Vec<[f64; 2]> = network
                .lines
                .iter()
                .filter_map(|line| Some([place(network, line), (curve.of)(line)?]))
                .collect();
            drawn.push((network, curve, points));
        }
    }
    let all = || drawn.iter().flat_map(|(.., points)| points);
    let Some(y) = Axis::of(label, all().map(|[_, y]| *y)) else { return String::new() };
    let rule_values: Vec<f64> = rules.iter().map(|(value, _)| *value).collect();
    let last = all().fold(2.0, |last: f64, [x, _]| last.max(*x));
    let x = Axis { label: "epoch".into(), range: [1.0, last] };
    let mut plot = Plot::new(title, x, y.with(&rule_values));
    for (value, text) in rules.iter().filter(|(_, text)| !text.is_empty()) {
        plot.rule(*value, text, "soft");
    }
    if let Some(searched) = networks.iter().map(|network| searched(network)).find(|n| *n > 0)
        && (searched as f64) < last
    {
        plot.divide(searched as f64 + 0.5, "training");
    }
    for (network, curve, points) in &drawn {
        plot.line(curve.colour, &curve.name, &network.of, points);
    }
    plot.figure(true)
}

/// Epochs of a network's search.
fn searched(network: &Network) -> usize {
    let search = network.lines.iter().find(|line| line.phase == "search");
    search.map_or(0, |line| line.epochs)
}

/// The place of a line: the epochs of the training count on from those of the search.
fn place(network: &Network, line: &EpochLine) -> f64 {
    let before = if line.phase == "search" { 0 } else { searched(network) };
    (before + line.epoch + 1) as f64
}
