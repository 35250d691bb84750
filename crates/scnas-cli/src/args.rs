//! What can be typed.

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::check::CheckArgs;
use crate::compare::CompareArgs;
use crate::config::ConfigArgs;
use crate::cross_validate::CrossValidateArgs;
use crate::demo::DemoArgs;
use crate::devices::DevicesArgs;
use crate::evaluate::EvaluateArgs;
use crate::export::ExportArgs;
use crate::generate::GenerateArgs;
use crate::jobs::plan::PlanJobsArgs;
use crate::jobs::status::StatusArgs;
use crate::jobs::worker::WorkerArgs;
use crate::picture::PictureArgs;
use crate::predict::PredictArgs;
use crate::report::ReportArgs;
use crate::search::SearchArgs;
use crate::show::ShowArgs;
use crate::train::TrainArgs;
use crate::view::ViewArgs;

/// What the help of the whole command ends with.
pub const AFTER_HELP: &str = "\
Start with `scnas demo`: it makes up a small data set and does everything once, in a few minutes.

Results go to stdout, progress and messages to stderr.
Exit codes: 0 done, 1 an error (one line on stderr says which), 2 wrong usage, 130 stopped by \
                              Ctrl-C or a
closed terminal, 75 stopped by SIGTERM or SIGUSR1, as a batch scheduler sends them: the same \
                              command goes on.";

/// Find and train segmentation networks for 3-D medical images.
#[derive(Debug, Parser)]
#[command(name = "scnas", version, after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub struct Global {
    /// Threads to use; results do not depend on it [default: all cores]
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Where to compute: cpu, or a GPU such as gpu or gpu:1 in a build with the feature gpu;
    /// `scnas devices` lists them
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        default_value = "cpu",
        value_name = "DEVICE"
    )]
    pub device: String,
    /// No progress and no messages but warnings and errors
    #[arg(long, short, global = true, help_heading = "Options of every command")]
    pub quiet: bool,
    /// Results as JSON
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub json: bool,
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err("expected a number from 1 to 1024".into()),
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Check(CheckArgs),
    Search(SearchArgs),
    Train(TrainArgs),
    CrossValidate(CrossValidateArgs),
    Predict(PredictArgs),
    Evaluate(EvaluateArgs),
    Show(ShowArgs),
    Export(ExportArgs),
    Picture(PictureArgs),
    Compare(CompareArgs),
    Report(ReportArgs),
    View(ViewArgs),
    Bench(BenchArgs),
    Devices(DevicesArgs),
    Demo(DemoArgs),
    Config(ConfigArgs),
    Generate(GenerateArgs),
    PlanJobs(PlanJobsArgs),
    Worker(WorkerArgs),
    Status(StatusArgs),
}
