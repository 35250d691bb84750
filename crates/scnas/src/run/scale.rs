//! What a network costs where it is used: time and memory of the prediction of the largest training
//! case, measured by doing it.

use std::slice;
use std::time::Instant;

use medvol::{CaseFiles, RawImage, io};

use crate::error::{CasesFault, Error, Result};
use crate::memory;
use crate::network::architecture::Architecture;
use crate::observer::{Observer, Within};
use crate::predict::image::{ImagePredictor, Options};
use crate::run::setup::Run;
use crate::store::model::Model;

/// A prediction that takes less, in seconds, is done twice, and the faster one counts: the first
/// warms the machine up.
const QUICK_S: f64 = 10.0;

/// What the prediction of the largest training case takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weighed {
    /// Seconds, without reading and writing of files.
    pub seconds: f64,
    /// Bytes of a process that does nothing else; where the system tells.
    pub memory: Option<u64>,
}

/// Weighs networks of a run.
pub(super) struct Scale<'a> {
    run: &'a Run<'a>,
    /// The largest training case.
    name: String,
    image: RawImage,
    /// Bytes of the program itself.
    program: Option<u64>,
    observer: &'a dyn Observer,
}

impl<'a> Scale<'a> {
    /// Reads the training case with the most voxels on the preprocessed grid.
    ///
    /// # Errors
    /// An image that cannot be read; [`Error::Setting`] where memory has a budget and the system
    /// does not tell it.
    pub fn new(run: &'a Run, program: Option<u64>, observer: &'a dyn Observer) -> Result<Self> {
        if run.config.race.max_memory.is_some() && memory::peak().is_none() {
            let expected = "no budget of memory, which this system does not tell";
            return Err(Error::setting("race.max_memory", expected, "one"));
        }
        let (training, _) = run.plan.split(&run.cohort.dataset)?;
        let mut largest: Option<(f64, &CaseFiles)> = None;
        for case in &training {
            let voxels = run.cohort.header(case)?.resampled(run.plan.spacing).iter().product();
            if largest.is_none_or(|(most, _)| voxels > most) {
                largest = Some((voxels, case));
            }
        }
        let Some((_, case)) = largest else {
            let path = run.cohort.dataset.root.clone();
            return Err(CasesFault::TooFewTrainingCases { path, found: 0 }.into());
        };
        let image = io::open(&case.images)?.checked(run.plan.channels.len())?.raw()?;
        Ok(Self { run, name: case.name.clone(), image, program, observer })
    }

    /// What the prediction of the case takes a network with new weights.
    ///
    /// # Errors
    /// When there is too little memory for it; [`Error::Stopped`].
    pub fn weigh(&self, architecture: &Architecture, width: usize) -> Result<Weighed> {
        let Self { run, name, image, program, observer } = self;
        // What the network before has left would not be seen to be taken.
        volops::memory::give_back();
        let before = memory::in_use();
        let mut card = run.card(architecture.clone(), run.config.train.augment);
        card.size.width = width;
        let model = Model::new(card, &run.device, run.config.seed);
        let memory = run.config.data.memory_allowed();
        let options = Options { memory, ..Options::of(&model) };
        let predictor = ImagePredictor::new(slice::from_ref(&model), options)?;
        let mut seconds = f64::INFINITY;
        for _ in 0..2 {
            let start = Instant::now();
            predictor.predict(name, image, &Within(*observer))?;
            seconds = seconds.min(start.elapsed().as_secs_f64());
            if seconds > QUICK_S {
                break;
            }
        }
        let taken = memory::peak().zip(before).map(|(peak, before)| peak.saturating_sub(before));
        let memory = taken.zip(*program).map(|(taken, program)| program + image.bytes() + taken);
        Ok(Weighed { seconds, memory })
    }
}
