//! The worst, the median and the best cases in pictures.

use std::fmt::Write as _;
use std::path::PathBuf;

use medvol::metrics::Structures;
use medvol::{Image, LabelMap, io};

use crate::error::{Error, Result};
use crate::memory;
use crate::report::evaluation::{CaseScore, Evaluation, Metric};
use crate::report::held_out::{HeldOut, on_grid};
use crate::report::html::markup::{escape, note, number};
use crate::report::html::plane::{Plane, Wrong, planes};
use crate::report::html::subject::{Network, Subject};

/// From so many cases on, three of the worst are shown.
const MANY: usize = 8;

/// Pictures of some cases, with a legend; a sentence where their files are not known. `data` is the
/// data set, should it not lie where the run found it.
///
/// # Errors
/// A data set that cannot be opened. A case whose files cannot be read is told of in its place.
pub fn section(
    subject: &Subject,
    evaluation: &Evaluation,
    data: Option<&HeldOut>,
) -> Result<String> {
    let chosen = chosen(evaluation);
    let mut figures = String::new();
    let mut drawn = 0;
    for (rank, case, dice) in &chosen {
        let Some((network, files)) = place(subject, &case.case, data) else { continue };
        match draw(network, files, &case.case) {
            Ok(Some(planes)) => {
                drawn += 1;
                figures += &figure(rank, case, *dice, evaluation, &network.of, &planes);
            }
            Ok(None) => {}
            Err(error) => figures += &note(&format!("{}: no picture: {error}", case.case)),
        }
    }
    Ok(match (chosen.is_empty() || subject.networks.is_empty(), drawn) {
        (true, _) => String::new(),
        (false, 0) if figures.is_empty() => note(
            "No picture could be drawn: the run does not say where its images are, or they are \
             there no longer. With the data set (scnas report RUN --data DATA) there will be some.",
        ),
        (false, 0) => figures,
        (false, _) => format!("<div class=\"pictures\">{}{figures}</div>\n", legend(evaluation)),
    })
}

/// The worst, the median and the best, with their mean Dice; each once.
fn chosen(evaluation: &Evaluation) -> Vec<(&'static str, &CaseScore, f64)> {
    let mut ranked: Vec<(&CaseScore, f64)> =
        evaluation.cases.iter().filter_map(|case| Some((case, case.mean(Metric::Dice)?))).collect();
    ranked.sort_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| a.case.cmp(&b.case)));
    let last = ranked.len().saturating_sub(1);
    let mut places = vec![(0, "worst")];
    if ranked.len() >= MANY {
        places.extend([(1, "second worst"), (2, "third worst")]);
    }
    places.extend([(last / 2, "median"), (last, "best")]);
    places.dedup_by_key(|(place, _)| *place);
    let named = |(place, rank): (usize, &'static str)| {
        ranked.get(place).map(|(case, dice)| (rank, *case, *dice))
    };
    places.into_iter().filter_map(named).collect()
}

/// The network that predicted a case, and where the case's files are listed.
pub fn place<'a>(
    subject: &'a Subject,
    case: &str,
    data: Option<&'a HeldOut>,
) -> Option<(&'a Network, &'a HeldOut)> {
    let scored = |network: &&Network| {
        let cases = network.results.iter().flat_map(|(_, evaluation)| &evaluation.cases);
        cases.into_iter().any(|of| of.case == case)
    };
    let network = subject.networks.iter().find(scored)?;
    Some((network, data.or(network.held_out.as_ref())?))
}

/// A case as its files hold it, on one grid.
#[derive(Debug)]
pub struct Volumes {
    /// All channels.
    pub image: Image,
    /// What it is scored against.
    pub reference: LabelMap,
    /// What the network made of it.
    pub prediction: LabelMap,
    /// What is scored.
    pub scored: Structures,
}

/// The volumes of a case; `None` where its files or its prediction are not there, or not on one
/// grid. `share` is the part of the memory that is free that drawing may take.
///
/// # Errors
/// Files that cannot be read, or that do not belong together; [`Error::Memory`].
pub fn read(network: &Network, files: &HeldOut, case: &str, share: u64) -> Result<Option<Volumes>> {
    let predicted = prediction_file(network, case);
    let Some(plan) = network.plan.as_ref().filter(|_| predicted.exists()) else { return Ok(None) };
    let config = network.config.as_ref();
    let free = config.map_or_else(memory::free, |config| config.data.memory_free());
    let free = free.map(|free| free / share);
    let Some((image, header, reference)) = files.load(case, free)? else { return Ok(None) };
    let prediction = on_grid(&header, &predicted, None)?;
    if [reference.shape(), prediction.shape()].iter().any(|shape| *shape != image.shape()) {
        return Ok(None);
    }
    Ok(Some(Volumes { image, reference, prediction, scored: plan.scored() }))
}

fn prediction_file(network: &Network, case: &str) -> PathBuf {
    network.folder.join("predictions").join(format!("{case}{}", io::default_ending()))
}

/// The planes of a case; `None` where there are no [volumes](read).
fn draw(network: &Network, files: &HeldOut, case: &str) -> Result<Option<[Plane; 3]>> {
    let Some(Volumes { image, reference, prediction, scored }) = read(network, files, case, 1)?
    else {
        return Ok(None);
    };
    let planes = planes(&image, &reference, &prediction, &scored);
    let predicted = prediction_file(network, case);
    Ok(Some(planes.map_err(|e| Error::file("draw a picture of", &predicted, e.into()))?))
}

/// How the planes are looked at: name, what is on the left and what above.
const VIEWS: [(&str, &str, &str); 3] =
    [("axial", "R", "A"), ("coronal", "R", "S"), ("sagittal", "A", "S")];

/// What is said of a case beside its mean Dice.
pub fn facts(case: &CaseScore, evaluation: &Evaluation, of: &str) -> String {
    let by_class: Vec<String> = (evaluation.classes.iter().enumerate())
        .map(|(n, class)| format!("{class} {}", number(case.get(Metric::Dice, n), 3)))
        .collect();
    let apart = case.mean(Metric::Hd95Mm).map(|mm| format!("HD95 {mm:.1} mm"));
    let facts: Vec<String> = (evaluation.classes.len() > 1)
        .then(|| by_class.join(", "))
        .into_iter()
        .chain(apart)
        .chain(Some(of.to_string()).filter(|of| !of.is_empty()))
        .collect();
    facts.join(" · ")
}

fn figure(
    rank: &str,
    case: &CaseScore,
    dice: f64,
    evaluation: &Evaluation,
    of: &str,
    planes: &[Plane; 3],
) -> String {
    let facts = facts(case, evaluation, of);
    let drawn: String = planes
        .iter()
        .zip(VIEWS)
        .map(|(plane, (view, left, above))| {
            let name = format!("{}: {view} plane", case.case);
            format!(
                "<div class=\"plane\" style=\"flex-grow:{:.3}\" data-left=\"{left}\" \
                 data-above=\"{above}\">{}</div>",
                plane.mm[1] / plane.mm[0],
                svg(plane, &name)
            )
        })
        .collect();
    format!(
        "<figure class=\"case\"><figcaption><b>{}</b> <span class=\"badge\">{rank}</span> <span \
         class=\"dice\">Dice {dice:.3}</span> <span class=\"note\">{}</span></figcaption><div \
         class=\"planes\">{drawn}</div></figure>\n",
        escape(&case.case),
        escape(&facts)
    )
}

/// A plane in millimetres; what is drawn over the image, in its voxels.
fn svg(plane: &Plane, name: &str) -> String {
    let ([rows, columns], [height, width]) = (plane.voxels, plane.mm);
    let (across, down) = (width / columns as f64, height / rows as f64);
    let mut layers = String::new();
    for (class, path) in ["missed", "added", "confused"].iter().zip(&plane.wrong) {
        if !path.is_empty() {
            let _ = write!(layers, "<path class=\"wrong {class}\" d=\"{path}\"/>");
        }
    }
    for (n, path) in plane.reference.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let _ = write!(layers, "<path class=\"reference k{}\" d=\"{path}\"/>", n % 7);
    }
    for (n, path) in plane.prediction.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let _ = write!(layers, "<path class=\"prediction k{}\" d=\"{path}\"/>", n % 7);
    }
    format!(
        "<svg viewBox=\"0 0 {width:.2} {height:.2}\" role=\"img\" aria-label=\"{}\"><image \
         width=\"{width:.2}\" height=\"{height:.2}\" preserveAspectRatio=\"none\" \
         href=\"data:image/png;base64,{}\"/><g transform=\"scale({across:.5} {down:.5})\">{layers}</g></svg>",
        escape(name),
        base64(&plane.png)
    )
}

/// What the lines and areas are, and switches for them.
fn legend(evaluation: &Evaluation) -> String {
    let switch = |class: &str, name: &str| {
        format!(
            "<label><input type=\"checkbox\" checked data-layer=\"{class}\"> <i class=\"{class}\"></i>{name}</label>"
        )
    };
    let kinds =
        ["missed", "added", "labelled otherwise"].iter().zip(["missed", "added", "confused"]);
    let wrong: String = kinds
        .take(if evaluation.classes.len() > 1 { Wrong::ALL.len() } else { 2 })
        .map(|(name, class)| format!("<span><i class=\"{class}\"></i>{name}</span>"))
        .collect();
    let classes: String = (evaluation.classes.iter().enumerate())
        .map(|(n, class)| format!("<span><i class=\"k{}\"></i>{}</span>", n % 7, escape(class)))
        .collect();
    format!(
        "<div class=\"controls\"><div class=\"keys\">{}{}{}</div><div class=\"keys\">{classes}</div>\
         <div class=\"keys\">{wrong}</div></div>\n{}",
        switch("reference", "reference"),
        switch("prediction", "prediction"),
        switch("wrong", "wrong voxels"),
        note(
            "Planes through the largest connected error of each case, as radiologists see them: \
             the patient's right is on the left."
        )
    )
}

/// As RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let known = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, expected) in known.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), expected);
        }
    }

    fn evaluation(dice: &[f64]) -> Evaluation {
        let mut evaluation = Evaluation::new(vec!["a".into()], 1.0);
        evaluation.cases = (dice.iter().enumerate())
            .map(|(n, dice)| CaseScore {
                case: format!("c{n}"),
                scores: BTreeMap::from([(Metric::Dice, vec![Some(*dice)])]),
                reference_ml: Vec::new(),
            })
            .collect();
        evaluation
    }

    #[test]
    fn the_worst_the_median_and_the_best_are_shown_each_once() {
        let names = |dice: &[f64]| -> Vec<(String, &str)> {
            let evaluation = evaluation(dice);
            chosen(&evaluation)
                .into_iter()
                .map(|(rank, case, _)| (case.case.clone(), rank))
                .collect()
        };
        let owned = |all: &[(&str, &'static str)]| -> Vec<(String, &str)> {
            all.iter().map(|(case, rank)| (case.to_string(), *rank)).collect()
        };
        assert_eq!(names(&[]), []);
        assert_eq!(names(&[0.5]), owned(&[("c0", "worst")]));
        assert_eq!(
            names(&[0.5, 0.2, 0.9]),
            owned(&[("c1", "worst"), ("c0", "median"), ("c2", "best")])
        );
        let many = names(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        let expected = [
            ("c0", "worst"),
            ("c1", "second worst"),
            ("c2", "third worst"),
            ("c4", "median"),
            ("c8", "best"),
        ];
        assert_eq!(many, owned(&expected));
    }
}
