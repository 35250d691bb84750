//! Trained networks, and what they say of an array.

use std::collections::BTreeMap;
use std::path::PathBuf;

use medvol::RawImage;
use medvol::check::look_at;
use pyo3::prelude::*;
use scnas::ImagePredictor;
use scnas::message::Message;
use scnas::predict::image::Options;
use scnas::run::predict::model_files;

use crate::failure::{ScnasError, raised};
use crate::json::python;
use crate::volume::{image, to_numpy};
use crate::watch::Watch;

/// One trained network, or several whose mean is predicted.
#[pyclass(frozen, module = "scnas")]
pub struct Model(Vec<scnas::Model>);

impl Model {
    fn first(&self) -> &scnas::Model {
        &self.0[0]
    }
}

#[pymethods]
impl Model {
    #[staticmethod]
    #[pyo3(signature = (*paths, device = "cpu"))]
    fn load(py: Python<'_>, paths: Vec<PathBuf>, device: &str) -> PyResult<Self> {
        let device = scnas::device(device).map_err(|e| ScnasError::new_err(e.to_string()))?;
        let models = Watch::default().wait(py, |_| {
            let files = paths.iter().flat_map(|path| model_files(path));
            files.map(|path| scnas::Model::read(&path, &device)).collect::<scnas::Result<Vec<_>>>()
        })?;
        match models.is_empty() {
            true => Err(raised(&scnas::Error::NoModel)),
            false => Ok(Self(models)),
        }
    }

    #[getter]
    fn labels(&self) -> BTreeMap<u16, String> {
        let labels = &self.first().card.plan.labels;
        labels.iter().map(|label| (label.value, label.name.clone())).collect()
    }

    #[getter]
    fn channels(&self) -> Vec<String> {
        self.first().card.plan.channels.clone()
    }

    /// In mm along x, y, z of the canonical orientation.
    #[getter]
    fn spacing(&self) -> [f64; 3] {
        let [depth, height, width] = self.first().card.plan.spacing;
        [width, height, depth]
    }

    #[getter]
    fn card<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        python(py, &self.first().card)
    }

    #[pyo3(signature = (array, affine, *, probabilities = false, overlap = None, flips = None))]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        array: &Bound<'py, PyAny>,
        affine: &Bound<'py, PyAny>,
        probabilities: bool,
        overlap: Option<f64>,
        flips: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let image = RawImage::from(image(array, affine)?);
        let card = &self.first().card;
        let (expected, found) = (card.size.channels, image.channels());
        if found != expected {
            let text = format!(
                "an image of {found} channels: expected {expected}: {}",
                card.plan.channels.join(", ")
            );
            return Err(ScnasError::new_err(text));
        }
        let mut options = Options { probabilities, ..Options::of(self.first()) };
        options.settings.overlap = overlap.unwrap_or(options.settings.overlap);
        options.settings.flips = flips.unwrap_or(options.settings.flips);
        let prediction = Watch::default().wait(py, |observer| {
            let name = "the array";
            for finding in look_at(name, &image, card.plan.familiar()) {
                observer.message(&Message::Doubtful(finding));
            }
            ImagePredictor::new(&self.0, options)?.predict(name, &image, observer)
        })?;
        Ok(match prediction.probabilities {
            Some(probabilities) => to_numpy(py, probabilities.voxels),
            None => to_numpy(py, prediction.labels(&card.plan.labels).voxels),
        })
    }

    fn __repr__(&self) -> String {
        let plan = &self.first().card.plan;
        let labels: Vec<&str> = plan.labels.iter().map(|label| label.name.as_str()).collect();
        let (number, channels) = (self.0.len(), plan.channels.join(", "));
        format!("<scnas.Model: {number} of {}: {channels} → {}>", plan.dataset, labels.join(", "))
    }
}
