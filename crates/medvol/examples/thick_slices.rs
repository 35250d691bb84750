//! Makes a second task of a first one, for experiments with transfer: every third slice only, a
//! second channel (the negative of the first, blurred along the width), and all foreground as one
//! class. Cases keep their names, and so their folds.
//!
//! ```sh
//! cargo run --release --example thick_slices -- DATA/Task04_Hippocampus DATA/Task04_thick
//! ```

use std::fs::create_dir_all;
use std::path::PathBuf;

use medvol::{Affine, Dataset, Image, LabelMap, atomic_write, io};
use ndarray::{Array4, Axis, ShapeError, concatenate, s};
use serde_json::json;

const EVERY: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [from, to] = match std::env::args_os().skip(1).collect::<Vec<_>>().as_slice() {
        [from, to] => [PathBuf::from(from), PathBuf::from(to)],
        _ => return Err("give the folder of a task and a folder to write".into()),
    };
    let source = Dataset::open(from)?;
    for folder in ["imagesTr", "labelsTr"] {
        create_dir_all(to.join(folder))?;
    }
    let mut training = Vec::new();
    for case in &source.cases {
        let (image, labels) = source.load(case)?;
        let labels = labels.ok_or_else(|| format!("{}: a case without labels", case.name))?;
        let file = format!("{}.nii.gz", case.name);
        io::create(to.join("imagesTr").join(&file))?.image(&thick_image(&image)?)?;
        io::create(to.join("labelsTr").join(&file))?.labels(&thick_labels(&labels))?;
        training.push(
            json!({ "image": format!("./imagesTr/{file}"), "label": format!("./labelsTr/{file}") }),
        );
    }
    let dataset = json!({
        "name": format!("{} thick", source.name),
        "tensorImageSize": "4D",
        "modality": { "0": "first", "1": "second" },
        "labels": { "0": "background", "1": "foreground" },
        "numTraining": training.len(),
        "numTest": 0,
        "training": training,
        "test": [],
    });
    Ok(atomic_write(to.join("dataset.json"), format!("{dataset:#}\n").as_bytes())?)
}

/// Every third slice is three times as far from the next.
fn thick(affine: &Affine) -> Affine {
    affine.compose(&Affine::from_spacing([EVERY as f64, 1.0, 1.0]))
}

fn thick_image(image: &Image) -> Result<Image, ShapeError> {
    let first = image.voxels.slice(s![..1, ..;EVERY, .., ..]).to_owned();
    let mut second = Array4::zeros(first.dim());
    for (to, from) in second.rows_mut().into_iter().zip(first.rows()) {
        let last = from.len() - 1;
        to.into_iter().enumerate().for_each(|(i, to)| {
            *to = -(from[i.saturating_sub(1)] + from[i] + from[(i + 1).min(last)]) / 3.0
        });
    }
    Ok(Image {
        voxels: concatenate(Axis(0), &[first.view(), second.view()])?,
        affine: thick(&image.affine),
    })
}

fn thick_labels(labels: &LabelMap) -> LabelMap {
    let voxels = labels.voxels.slice(s![..;EVERY, .., ..]).map(|&label| u16::from(label > 0));
    LabelMap { voxels, affine: thick(&labels.affine) }
}
