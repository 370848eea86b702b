//! The compiled half of the Python package `charloom`, which computes. The interface for users is in
//! `charloom/*.py`.
#![forbid(unsafe_code)]

mod command;
mod error;
mod evaluate;
mod fit;
mod model;
mod scalar;
mod settings;
mod signals;
mod sweep;
mod text;
mod watch;

use pyo3::prelude::*;

/// The module `charloom._charloom`.
#[pymodule(gil_used = false)]
fn _charloom(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", charloom::VERSION)?;
    module.add_class::<model::Model>()?;
    module.add_class::<fit::Training>()?;
    module.add_class::<scalar::Value>()?;
    module.add_function(wrap_pyfunction!(fit::fit, module)?)?;
    module.add_function(wrap_pyfunction!(evaluate::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(settings::settings, module)?)?;
    module.add_function(wrap_pyfunction!(settings::preset, module)?)?;
    module.add_function(wrap_pyfunction!(settings::sized, module)?)?;
    module.add_function(wrap_pyfunction!(settings::cached_dataset, module)?)?;
    module.add_function(wrap_pyfunction!(settings::embedded_names, module)?)?;
    module.add_function(wrap_pyfunction!(model::mix, module)?)?;
    module.add_function(wrap_pyfunction!(sweep::sweep, module)?)?;
    module.add_function(wrap_pyfunction!(command::command, module)?)?;
    Ok(())
}
