//! What the command's verbs do with data sets and runs.

use std::path::PathBuf;

use medvol::io::Reading;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use scnas::ranks::Alone;
use scnas::report::evaluation::TOLERANCE_MM;
use scnas::report::scoring::{self, Scoring};
use scnas::run::pipeline::{Order, run_search, run_train};
use scnas::run::start::Start;
use scnas::store::named::Named;
use scnas::{Config, Device};
use serde_json::json;

use crate::failure::{ScnasError, raised};
use crate::json::{overrides, python};
use crate::watch::Watch;

/// Everything that is wrong with a data set; a corrected copy in `fix`.
#[pyfunction]
#[pyo3(signature = (data, *, splits = None, geometry = None, fix = None))]
pub fn check<'py>(
    py: Python<'py>,
    data: PathBuf,
    splits: Option<PathBuf>,
    geometry: Option<&str>,
    fix: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    let reading = reading(geometry)?;
    let (report, fixed) = Watch::default().wait(py, |observer| {
        scnas::run::check::check(&data, splits.as_deref(), reading, fix.as_deref(), observer)
    })?;
    python(py, &json!({ "cases": report.cases, "findings": report.findings, "fixed": fixed }))
}

/// Scores of label maps against reference label maps.
#[pyfunction]
#[pyo3(signature = (predictions, references = None, *, data = None, geometry = None, tolerance = TOLERANCE_MM))]
pub fn evaluate<'py>(
    py: Python<'py>,
    predictions: PathBuf,
    references: Option<PathBuf>,
    data: Option<PathBuf>,
    geometry: Option<&str>,
    tolerance: f64,
) -> PyResult<Bound<'py, PyAny>> {
    if references.is_none() && data.is_none() {
        return Err(PyValueError::new_err("give references, or data, whose labels they are"));
    }
    let reading = reading(geometry)?;
    let scoring = Scoring { predictions, references, data, reading, tolerance_mm: tolerance };
    let scored = Watch::default().wait(py, |observer| {
        let scored = scoring::evaluate(&scoring, observer)?;
        scored.failures.iter().for_each(|error| observer.failed(error));
        Ok(scored)
    })?;
    python(py, &scored.evaluation.summary())
}

/// Searches a network, trains and scores it; goes on with a run that was stopped.
#[pyfunction]
#[pyo3(signature = (data, out, *, preset = "default", settings = None, device = "cpu", callback = None))]
pub fn search<'py>(
    py: Python<'py>,
    data: PathBuf,
    out: PathBuf,
    preset: &str,
    settings: Option<&Bound<'py, PyDict>>,
    device: &str,
    callback: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (config, device) = configured(preset, settings, device)?;
    let (result, _) = Watch::calling(callback).wait(py, |observer| {
        let (data, folder, device, ranks) = (&data, &out, &device, &Alone);
        run_search(Order { data, folder, config, device, ranks }, observer)
    })?;
    python(py, &result)
}

/// Trains and scores an architecture; goes on with a run that was stopped.
#[pyfunction]
#[pyo3(signature = (data, out, arch, *, preset = "default", settings = None, distill = Vec::new(), device = "cpu", callback = None))]
#[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
pub fn train<'py>(
    py: Python<'py>,
    data: PathBuf,
    out: PathBuf,
    arch: &str,
    preset: &str,
    settings: Option<&Bound<'py, PyDict>>,
    distill: Vec<PathBuf>,
    device: &str,
    callback: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (config, device) = configured(preset, settings, device)?;
    let (result, _) = Watch::calling(callback).wait(py, |observer| {
        let named = Named::resolve(arch, &config.network.space(), config.seed, &device)?;
        let (data, folder, device, ranks) = (&data, &out, &device, &Alone);
        let order = Order { data, folder, config, device, ranks };
        run_train(order, &named, Start::Scratch, &distill, observer)
    })?;
    python(py, &result)
}

/// The settings of a run, and where it computes.
fn configured(
    preset: &str,
    settings: Option<&Bound<'_, PyDict>>,
    device: &str,
) -> PyResult<(Config, Device)> {
    let config = Config::load(preset, None, &overrides(settings)?).map_err(|e| raised(&e))?;
    let device = scnas::device(device).map_err(|e| ScnasError::new_err(e.to_string()))?;
    Ok((config, device))
}

fn reading(name: Option<&str>) -> PyResult<Option<Reading>> {
    let read = name.map(scnas_cli::reading).transpose();
    read.map_err(|why| PyValueError::new_err(format!("geometry: {why}")))
}
