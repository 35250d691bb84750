//! scnas for Python: the command line, and the library with numpy arrays.
//!
//! `python/scnas/__init__.pyi` has every signature, with what it does. Arrays are `[x, y, z]`, or
//! `[channels, x, y, z]`, as nibabel has them; affines map voxels to millimetres in RAS+.

mod failure;
mod json;
mod model;
mod verbs;
mod volume;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: volops::memory::Allocator = volops::memory::Allocator;

/// Runs the command of `sys.argv`, and gives its exit code.
#[pyfunction]
fn main(py: Python<'_>) -> PyResult<u8> {
    let words: Vec<OsString> = py.import("sys")?.getattr("argv")?.extract()?;
    // Python would only hear of Ctrl-C once the command is over. Where it is ignored, it stays so.
    let signal = py.import("signal")?;
    let interrupt = signal.getattr("SIGINT")?;
    let handler = signal.call_method1("getsignal", (&interrupt,))?;
    if handler.is(&signal.getattr("default_int_handler")?) {
        signal.call_method1("signal", (interrupt, signal.getattr("SIG_DFL")?))?;
    }
    let program = words.first().map(PathBuf::from).filter(|path| path.is_absolute());
    let code = py.detach(|| scnas_cli::main(program, words));
    // Its number is not to be had otherwise.
    Ok((0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1))
}

#[pymodule]
fn _scnas(module: &Bound<'_, PyModule>) -> PyResult<()> {
    volops::memory::reserve_little();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("ScnasError", module.py().get_type::<failure::ScnasError>())?;
    module.add("Stopped", module.py().get_type::<failure::Stopped>())?;
    module.add_class::<model::Model>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(volume::read, module)?)?;
    module.add_function(wrap_pyfunction!(volume::write, module)?)?;
    module.add_function(wrap_pyfunction!(verbs::check, module)?)?;
    module.add_function(wrap_pyfunction!(verbs::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(verbs::search, module)?)?;
    module.add_function(wrap_pyfunction!(verbs::train, module)?)
}
