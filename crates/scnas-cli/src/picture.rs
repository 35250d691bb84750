//! `scnas picture`: outlines of label maps on planes of their image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use scnas::report::picture::{Colour, Picture};
use scnas::report::raster::montage::{Montage, WRONG};
use serde_json::{Map, Value, json};

use crate::output::Output;

/// Draw the outlines of label maps on their image
///
/// Writes three planes of an image, axial, coronal and sagittal, through the largest area of what
/// the first label map labels. Each map has a row, so that predictions can be seen beside each
/// other and beside the reference. With --errors the planes go through the largest error of a
/// prediction instead, cut to the structures: the reference in white, the prediction in colours,
/// wrong voxels filled. As radiologists look at them: the patient's right is on the left.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas picture scan.nii.gz labels.nii.gz --out picture.png
  scnas picture scan.nii.gz reference.nii.gz prediction.nii.gz --out picture.png
  scnas picture scan.nii.gz reference.nii.gz prediction.nii.gz --errors --png errors.png")]
pub struct PictureArgs {
    /// Image; of several channels the first is shown
    pub image: PathBuf,
    /// Label maps on its grid, one a row
    #[arg(required = true)]
    pub labels: Vec<PathBuf>,
    /// Show what is wrong in the second label map, of which the first is the reference
    #[arg(long)]
    pub errors: bool,
    /// PNG file to write
    #[arg(long, short, visible_alias = "png", value_name = "FILE", value_parser = png)]
    pub out: PathBuf,
}

/// A name that no image has: one that is mistaken for the place of the picture would be lost.
pub fn png(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    is_png.then_some(path).ok_or_else(|| "expected a name that ends in .png".into())
}

pub fn run(args: &PictureArgs, output: Output) -> Result<ExitCode> {
    if args.errors {
        return errors(args, output);
    }
    let picture = Picture::of_files(&args.image, &args.labels)?;
    picture.write(&args.out)?;
    let Picture { planes: [depth, height, width], colours, .. } = &picture;
    let text = format!(
        "{}: planes {depth}, {height}, {width} along depth, height, width (right-anterior-superior)\
         \nlabels: {}",
        args.out.display(),
        legend(colours)
    );
    output.result(
        text,
        || json!({ "picture": args.out, "planes": picture.planes, "labels": by_label(colours) }),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn errors(args: &PictureArgs, output: Output) -> Result<ExitCode> {
    let [reference, prediction] = args.labels.as_slice() else {
        bail!(
            "--errors: expected two label maps, the reference and the prediction; found {}",
            args.labels.len()
        );
    };
    let montage = Montage::of_files(&args.image, [reference, prediction])?;
    montage.write(&args.out)?;
    let [missed, added, otherwise] = WRONG.map(|colour| colour.name);
    let text = format!(
        "{}: planes through the largest error\nreference: white; prediction: {}\nmissed {missed}, \
         added {added}, labelled otherwise {otherwise}",
        args.out.display(),
        legend(&montage.colours)
    );
    output.result(text, || {
        let [missed, added, otherwise] = WRONG;
        let wrong = json!({ "missed": missed, "added": added, "labelled_otherwise": otherwise });
        json!({ "picture": args.out, "labels": by_label(&montage.colours), "wrong": wrong })
    })?;
    Ok(ExitCode::SUCCESS)
}

fn legend(colours: &[(u16, Colour)]) -> String {
    let named: Vec<String> =
        colours.iter().map(|(label, colour)| format!("{label} {}", colour.name)).collect();
    if named.is_empty() { "none".into() } else { named.join(", ") }
}

fn by_label(colours: &[(u16, Colour)]) -> Map<String, Value> {
    colours.iter().map(|(label, colour)| (label.to_string(), json!(colour))).collect()
}
