//! `scnas picture`: outlines of label maps on planes of their image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::report::picture::Picture;
use serde_json::{Map, json};

use crate::output::Output;

/// Draw the outlines of label maps on their image
///
/// Writes three planes of an image, axial, coronal and sagittal, through the largest area of what
/// the first label map labels. Each map has a row, so that predictions can be seen beside each
/// other and beside the reference. As radiologists look at them: the patient's right is on the
/// left.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas picture scan.nii.gz labels.nii.gz --out picture.png
  scnas picture scan.nii.gz reference.nii.gz prediction.nii.gz --out picture.png")]
pub struct PictureArgs {
    /// Image; of several channels the first is shown
    pub image: PathBuf,
    /// Label maps on its grid, one a row
    #[arg(required = true)]
    pub labels: Vec<PathBuf>,
    /// PNG file to write
    #[arg(long, short, value_name = "FILE", value_parser = png)]
    pub out: PathBuf,
}

/// A name that no image has: one that is mistaken for the place of the picture would be lost.
fn png(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    is_png.then_some(path).ok_or_else(|| "expected a name that ends in .png".into())
}

pub fn run(args: &PictureArgs, output: Output) -> Result<ExitCode> {
    let picture = Picture::of_files(&args.image, &args.labels)?;
    picture.write(&args.out)?;
    let Picture { planes: [depth, height, width], colours, .. } = &picture;
    let legend: Vec<String> =
        colours.iter().map(|(label, colour)| format!("{label} {}", colour.name)).collect();
    let legend = if legend.is_empty() { "none".into() } else { legend.join(", ") };
    let text = format!(
        "{}: planes {depth}, {height}, {width} along depth, height, width (right-anterior-superior)\
         \nlabels: {legend}",
        args.out.display()
    );
    output.result(text, || {
        let colours: Map<_, _> =
            colours.iter().map(|(label, colour)| (label.to_string(), json!(colour))).collect();
        json!({ "picture": args.out, "planes": picture.planes, "labels": colours })
    })?;
    Ok(ExitCode::SUCCESS)
}
