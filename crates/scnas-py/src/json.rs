//! Results as Python's own dicts and lists, and Python's values as settings.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;

use crate::failure::ScnasError;

/// What `value` is as JSON, as dicts, lists, strings and numbers.
pub fn python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|e| ScnasError::new_err(e.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// Settings such as `{"train.epochs": 20}`, as `--set` takes them.
pub fn overrides(settings: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<String>> {
    let Some(settings) = settings else { return Ok(Vec::new()) };
    let json = settings.py().import("json")?;
    let line = |(key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let text: String = json.call_method1("dumps", (value,))?.extract()?;
        let wrong = |why: String| ScnasError::new_err(format!("settings: {key}: {why}"));
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let value = toml::Value::try_from(value).map_err(|e| wrong(e.to_string()))?;
        Ok(format!("{key}={value}"))
    };
    settings.iter().map(line).collect()
}
