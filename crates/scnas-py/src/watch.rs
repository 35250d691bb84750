//! Work that Python waits for: other threads of Python go on, Ctrl-C and a callback can stop it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyUserWarning};
use pyo3::prelude::*;
use scnas::message::Message;
use scnas::observer::{EpochLine, Observer};

use crate::failure::raised;
use crate::json::python;

/// Between two looks at whether Ctrl-C was pressed.
const PAUSE: Duration = Duration::from_millis(50);

/// Hears of a piece of work for Python.
#[derive(Default)]
pub struct Watch {
    /// Called with every epoch's line of the log; `False` stops the run.
    callback: Option<Py<PyAny>>,
    stop: AtomicBool,
    /// What a callback, a warning or Ctrl-C raised.
    exception: Mutex<Option<PyErr>>,
}

impl Watch {
    /// One that calls `callback` after every epoch.
    pub fn calling(callback: Option<Py<PyAny>>) -> Self {
        Self { callback, ..Self::default() }
    }

    fn end_with(&self, exception: PyErr) {
        *self.exception.lock().unwrap_or_else(PoisonError::into_inner) = Some(exception);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn warn(&self, text: &str) {
        let warned = Python::attach(|py| {
            let category = py.get_type::<PyUserWarning>();
            py.import("warnings")?.call_method1("warn", (text, category)).map(drop)
        });
        // Where warnings are errors, they are.
        warned.unwrap_or_else(|exception| self.end_with(exception));
    }

    /// What `work` gives, done in other threads.
    pub fn wait<T: Send>(
        self,
        py: Python<'_>,
        work: impl FnOnce(&dyn Observer) -> scnas::Result<T> + Send,
    ) -> PyResult<T> {
        let watch = &self;
        let done = std::thread::scope(|scope| {
            let (says, hears) = mpsc::channel();
            let hears = Mutex::new(hears);
            scope.spawn(move || {
                // Inside the pool from the start, as the command's own work is.
                let _ = says.send(rayon::scope(|_| work(watch)));
            });
            loop {
                let heard = py.detach(|| {
                    hears.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(PAUSE)
                });
                match heard {
                    Ok(done) => return Some(done),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => {
                        py.check_signals().unwrap_or_else(|pressed| watch.end_with(pressed));
                    }
                }
            }
        });
        let exception = self.exception.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (exception, done) {
            (Some(exception), _) => Err(exception),
            (None, Some(done)) => done.map_err(|error| raised(&error)),
            (None, None) => Err(PyRuntimeError::new_err("scnas ended before its work was done")),
        }
    }
}

impl Observer for Watch {
    fn epoch(&self, line: &EpochLine, _classes: &[String]) {
        let Some(callback) = &self.callback else { return };
        let called = Python::attach(|py| {
            let answer = callback.bind(py).call1((python(py, line)?,))?;
            Ok(answer.extract::<bool>().unwrap_or(true))
        });
        match called {
            Ok(true) => {}
            Ok(false) => self.stop.store(true, Ordering::Relaxed),
            Err(exception) => self.end_with(exception),
        }
    }

    fn message(&self, message: &Message) {
        if message.is_warning() {
            self.warn(&message.to_string());
        }
    }

    fn failed(&self, error: &scnas::Error) {
        self.warn(&scnas_cli::said(error));
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
