//! Errors as exceptions, in the words of the command line.

use pyo3::exceptions::PyException;
use pyo3::{PyErr, create_exception};

create_exception!(scnas, ScnasError, PyException, "What went wrong, and what to do about it.");
create_exception!(scnas, Stopped, ScnasError, "A run was stopped; the same call goes on with it.");

/// The exception that says what an error says.
pub fn raised(error: &scnas::Error) -> PyErr {
    let words = scnas_cli::said(error);
    match error {
        scnas::Error::Stopped => Stopped::new_err(words),
        _ => ScnasError::new_err(words),
    }
}

/// The same for files of images.
pub fn raised_by_file(error: medvol::Error) -> PyErr {
    raised(&error.into())
}
