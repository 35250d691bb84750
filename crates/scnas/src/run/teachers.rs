//! Teachers: trained networks whose probabilities a network in training learns besides the labels,
//! patch by patch as it sees them itself (Hinton et al. 2015; Beyer et al. 2022, "Knowledge
//! distillation: a good teacher is patient and consistent").

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use medvol::{ClassMap, Normalisation, Target, restate};
use serde::{Deserialize, Serialize};

use crate::data::files::name_of_folder;
use crate::data::plan::Plan;
use crate::error::{Error, Result};
use crate::learn::batch::Batch;
use crate::message::Message;
use crate::network::weights::Pass;
use crate::observer::Observer;
use crate::predict::image::alike;
use crate::predict::windows::probabilities;
use crate::run::predict::model_files;
use crate::store::model::Model;

/// Networks that teach, all of them by the same share; or none.
#[derive(Debug, Default)]
pub struct Teachers {
    models: Vec<Model>,
    /// What the patches of the pupil are.
    target: Target,
    normalisation: Vec<Normalisation>,
}

/// One of the teachers, as `teachers.json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teacher {
    /// Name of its run or file.
    pub name: String,
    /// Checksum of its file.
    pub crc32: u32,
}

impl Teachers {
    /// Networks that read and say what a run of `plan` does.
    ///
    /// # Errors
    /// [`Error::UnlikeModels`].
    pub fn new(models: Vec<Model>, plan: &Plan) -> Result<Self> {
        models.iter().try_for_each(|model| alike(plan, &model.card.plan))?;
        let (target, normalisation) = (plan.target.clone(), plan.normalisation.clone());
        Ok(Self { models, target, normalisation })
    }

    /// Those of files, run folders, and folders of cross-validations, with what identifies them.
    ///
    /// # Errors
    /// Files that cannot be read; those of [`Teachers::new`].
    pub fn read(
        paths: &[PathBuf],
        plan: &Plan,
        device: &Device,
        observer: &dyn Observer,
    ) -> Result<(Self, Vec<Teacher>)> {
        let (mut models, mut teachers) = (Vec::new(), Vec::new());
        for file in paths.iter().flat_map(|path| model_files(path)) {
            let bytes = std::fs::read(&file).map_err(|e| Error::file("read", &file, e))?;
            let model = Model::read(&file, device)?;
            let name = name_of_folder(file.parent().unwrap_or(Path::new("")));
            let seen = plan.seen_by(&model.card.plan);
            if seen > 0 {
                let held_out = plan.held_out().len();
                observer.message(&Message::TaughtCases { teacher: name.clone(), seen, held_out });
            }
            teachers.push(Teacher { name, crc32: crc32fast::hash(&bytes) });
            models.push(model);
        }
        Ok((Self::new(models, plan)?, teachers))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// The mean of their probabilities `[batch, outputs, voxels]` on a batch; 0 where a voxel is
    /// ignored. `None` without teachers.
    pub fn say(&self, batch: &Batch) -> Option<Vec<f32>> {
        let mut models = self.models.iter().map(|model| self.of(model, batch));
        let mut mean = models.next()?;
        for more in models {
            mean.iter_mut().zip(more).for_each(|(sum, p)| *sum += p);
        }
        let share = 1.0 / self.models.len() as f32;
        let [.., d, h, w] = batch.shape;
        let (voxels, outputs) = (d * h * w, mean.len() / batch.classes.len());
        for (row, values) in mean.chunks_exact_mut(voxels).enumerate() {
            let classes = &batch.classes[row / outputs * voxels..][..voxels];
            for (p, &class) in values.iter_mut().zip(classes) {
                *p *= if class == ClassMap::IGNORED { 0.0 } else { share };
            }
        }
        Some(mean)
    }

    fn of(&self, model: &Model, batch: &Batch) -> Vec<f32> {
        let mut image = batch.image.clone();
        let own = &model.card.plan.normalisation;
        let [_, channels, d, h, w] = batch.shape;
        for (row, values) in image.chunks_exact_mut(d * h * w).enumerate() {
            let of = |all: &[Normalisation]| all.get(row % channels).copied().unwrap_or_default();
            restate(of(&self.normalisation), of(own), values);
        }
        let mixture = model.mixture();
        let logits = |pass: &Pass, x| model.network.forward(pass, x, &mixture);
        probabilities(&model.weights, &self.target, image, batch.shape, logits)
            .unwrap_or_else(|e| panic!("probabilities are f32: {e:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cohort::Cohort;
    use crate::network::architecture::Architecture;
    use crate::settings::Config;
    use crate::store::model::Card;

    #[test]
    fn teachers_say_their_mean_and_nothing_of_what_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let task =
            medvol::phantom::PhantomTask { seed: 1, cases: 6, test_cases: 0, coarseness: 4.0 };
        medvol::phantom::write_task(&data, &task).unwrap();
        let lines = ["data.patch=[8, 8, 8]", "network.width=4"].map(String::from);
        let config = Config::load("default", None, &lines).unwrap();
        let plan = Plan::new(&Cohort::open(&data).unwrap(), &config).unwrap();
        let device = volops::device("cpu").unwrap();
        let model = |seed| {
            let (size, predict) = (plan.size(4), config.predict.clone());
            let card = Card::new(Architecture::UResNet, size, plan.clone(), predict);
            Model::new(card, &device, seed)
        };
        let shape = [2, plan.channels.len(), 8, 8, 8];
        let values = 0..shape.iter().product::<usize>();
        let mut classes = vec![1; 2 * 512];
        classes[700] = ClassMap::IGNORED;
        let image = values.map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let batch = Batch { image, shape, classes };
        let say = |seeds: &[u64]| {
            let models = seeds.iter().map(|&seed| model(seed)).collect();
            Teachers::new(models, &plan).unwrap().say(&batch)
        };
        assert_eq!(say(&[]), None);
        let [both, one, two] = [&[1, 2][..], &[1], &[2]].map(|seeds| say(seeds).unwrap());
        let outputs = both.len() / 1024;
        for (i, ((both, one), two)) in both.iter().zip(one).zip(two).enumerate() {
            let ignored = i / 512 / outputs == 1 && i % 512 == 700 - 512;
            assert!((both - (one + two) / 2.0).abs() < 1e-6);
            assert_eq!(*both == 0.0, ignored, "{i}");
        }
    }
}
