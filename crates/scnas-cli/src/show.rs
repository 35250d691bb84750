//! `scnas show`: what an architecture is, how large, how costly; as text, JSON and drawing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use scnas::Device;
use scnas::Plan;
use scnas::message::Outputs;
use scnas::report::decided::Decided;
use scnas::report::model_card;
use scnas::report::portrait::{Portrait, Wanted};
use scnas::report::race::Race;
use scnas::report::raster;
use scnas::settings::{Config, PRESETS};
use scnas::space::genotype::EdgeShares;
use serde_json::json;

use crate::output::{Output, note};
use crate::picture::png;
use crate::race;
use crate::run_options::{ARCHITECTURES, patch};

/// Show an architecture: size, cost, cells, drawing
///
/// Prints convolution weights, GFLOPs of one patch, and for each cell the inputs of its nodes (a
/// and b: the outputs of the cell before last and of the last cell). Size and patch are those of
/// the run or model; elsewhere the paper's, 4 channels, 4 classes, 128³. Of a race also its rungs,
/// with the Dice of its candidates and the seconds that they take to predict; of a search with
/// search.decide, how sure it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scnas show runs/Task04_Hippocampus/search-fold0 --svg cells.svg --png cells.png
  scnas show runs/Task04_Hippocampus/search-fold0 --md --licence \"CC BY 4.0\" > MODEL.md
  scnas show conv3 --preset paper
  scnas show random:1 --width 16 --channels 1 --classes 3 --patch 40,56,40 --json")]
pub struct ShowArgs {
    #[arg(value_name = "ARCH", help = ARCHITECTURES)]
    pub arch: String,
    /// Channels of the stem, a multiple of 4
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
    /// Input channels
    #[arg(long, value_name = "N")]
    pub channels: Option<usize>,
    /// Classes, background included
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
    /// Patch in voxels: depth,height,width
    #[arg(long, value_name = "D,H,W", value_parser = patch)]
    pub patch: Option<[usize; 3]>,
    /// Preset whose search space and width random architectures and single operations have
    #[arg(long, value_parser = PRESETS, default_value = "default", value_name = "NAME")]
    pub preset: String,
    /// Also draw the cells into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Also draw the cells as pixels into this file, as wide as a page at 300 dots an inch
    #[arg(long, value_name = "FILE", value_parser = png)]
    pub png: Option<PathBuf>,
    /// Print a model card in Markdown instead: network, data, scores, limits
    #[arg(long)]
    pub md: bool,
    /// What the model card says of the licence [default: not stated]
    #[arg(long, value_name = "TEXT", requires = "md")]
    pub licence: Option<String>,
}

pub fn run(args: &ShowArgs, device: &Device, output: Output) -> Result<ExitCode> {
    let ShowArgs { channels, classes, width, patch, .. } = *args;
    let wanted = Wanted { channels, classes, width, patch };
    let run = Path::new(&args.arch);
    let race = Race::read(run)?;
    // A race that is not over has no architecture yet.
    if let Some(race) = race.as_ref().filter(|_| !run.join("genotype.json").exists()) {
        output.result(race::text(race), || json!({ "race": race }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(&args.preset, None, &[])?;
    let portrait = Portrait::of(&args.arch, &config, wanted, device)?;
    let drawn = |path: &Path| match output.quiet {
        true => {}
        false => note(format_args!("drawing: {}", path.display())),
    };
    if let Some(path) = &args.svg {
        medvol::atomic_write(path, portrait.drawing()?.as_bytes())?;
        drawn(path);
    }
    if let Some(path) = &args.png {
        raster::write(&portrait.drawing()?, path)?;
        drawn(path);
    }
    if args.md {
        let card = model_card::markdown(&portrait, run, args.licence.as_deref())?;
        output.result(&card, || json!({ "card": card }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Portrait { name, architecture, size, patch, plan, cost, edges } = portrait;
    let unknown = Outputs { classes: size.classes, regions: Vec::new(), ignore: None };
    let outputs = plan.as_ref().map_or(unknown, Plan::outputs);
    let [d, h, w] = patch;
    let text = format!(
        "{name}: {:.3} M parameters, {:.2} GFLOPs a patch of {d}×{h}×{w} (width {}, {} \
         channel(s), {outputs})\n{}{}",
        cost.millions(),
        cost.gflops(),
        size.width,
        size.channels,
        match size.grid.is_isotropic() {
            true => String::new(),
            false => format!("grids by axis: {}\n", size.grid.text(patch)),
        },
        match (architecture.genotype(), edges) {
            (Some(genotype), Some(EdgeShares { zero, identity, pool })) => format!(
                "edges: {:.0} % zero, {:.0} % identity, {:.0} % pooling\n{}",
                100.0 * zero,
                100.0 * identity,
                100.0 * pool,
                genotype.text()
            ),
            _ => architecture.design(size).map(|design| design.to_string()).unwrap_or_default(),
        },
    );
    let decided = Decided::read(run)?;
    let text = match &decided {
        Some(decided) => format!("{}\n{}", text.trim_end(), decided.sureness),
        None => text,
    };
    let text = match &race {
        Some(race) => format!("{text}\n\n{}", race::text(race)),
        None => text,
    };
    output.result(text, || {
        json!({
            "name": name, "size": size, "patch": patch,
            "parameters": cost.parameters, "multiply_adds": cost.multiply_adds, "gflops": cost.gflops(),
            "edges": edges, "genotype": architecture,
            "target": plan.as_ref().map(|plan| &plan.target),
            "ignore": plan.as_ref().and_then(|plan| plan.ignore),
            "race": race, "decided": decided,
        })
    })?;
    Ok(ExitCode::SUCCESS)
}
