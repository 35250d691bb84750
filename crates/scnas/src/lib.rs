//! Scalable neural architecture search for 3-D medical image segmentation (SCNAS; Kim et al., MIDL
//! 2019).
//!
//! Four types of cells of a 3-D U-Net are searched at once with their weights. The way of the data
//! and of the method are the folders of this crate, from the ground up; a folder knows those before
//! it only:
//!
//! | folder | holds |
//! |---|---|
//! | [`space`] | what can be found: operations, cells and how they are wired, genotypes |
//! | [`network`] | networks of cells, the U-ResNet, weights, cost |
//! | [`learn`] | α and its relaxation (Algorithm 2), loss, gradients, optimisers |
//! | [`settings`] | the settings of a run, section by section |
//! | [`data`] | from a data set on disk to patches |
//! | [`store`] | checkpoints, models, run folders |
//! | [`predict`] | label maps of images |
//! | [`report`] | scores and comparisons |
//! | [`run`] | search (Algorithm 1), training, and all that a user can ask for |
//!
//! # Example
//! A made-up data set, a training of a random architecture, and the label map of an image.
//!
//! ```
//! use scnas::{Architecture, Cohort, Config, Genotype, ImagePredictor, Plan, Run, Silent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let data = folder.path().join("data");
//! let task = medvol::phantom::PhantomTask { seed: 1, cases: 6, test_cases: 1, coarseness: 3.0 };
//! medvol::phantom::write_task(&data, &task)?;
//!
//! let small = ["network.width=4", "data.patch=[16, 16, 16]", "train.epochs=1"];
//! let config = Config::load("default", None, &small.map(String::from))?;
//! let cohort = Cohort::open(&data)?;
//! let plan = Plan::new(&cohort, &config)?;
//! let device = scnas::device("cpu")?;
//! let mut run = Run::open(&cohort, plan, &folder.path().join("run"), config, device, &Silent)?;
//!
//! let architecture = Architecture::from(Genotype::random(&run.config.network.space(), 0));
//! let mut model = scnas::run::start::prepare(&run, architecture, None)?;
//! scnas::run::phases::train(&mut run, &mut model, &Silent)?;
//!
//! let case = &cohort.dataset.test[0];
//! let image = medvol::io::open(&case.images)?.checked(model.card.size.channels)?.raw()?;
//! let options = scnas::predict::image::Options::of(&model);
//! let predictor = ImagePredictor::new(std::slice::from_ref(&model), options)?;
//! let prediction = predictor.predict(&case.name, &image, &Silent)?;
//! assert_eq!(prediction.labels(&cohort.dataset.labels).shape(), image.shape());
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs, unsafe_code)]

pub mod data;
pub mod disk;
pub mod error;
pub mod learn;
pub mod machine;
pub mod memory;
pub mod message;
pub mod network;
pub mod observer;
pub mod predict;
pub mod random;
pub mod ranks;
pub mod report;
pub mod run;
pub mod settings;
pub mod space;
pub mod store;

pub use burn::tensor::Device;
pub use data::cohort::Cohort;
pub use data::plan::Plan;
pub use error::{Error, Result};
pub use message::Message;
pub use network::architecture::Architecture;
pub use observer::{Observer, Silent};
pub use predict::image::ImagePredictor;
pub use report::evaluation::Evaluation;
pub use run::pipeline::{Order, run_search, run_train};
pub use run::setup::Run;
pub use settings::Config;
pub use space::genotype::Genotype;
pub use store::model::Model;
pub use volops::{Listed, device, devices};
