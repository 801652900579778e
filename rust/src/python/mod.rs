//! The Python module `bge_fast._core`: convert, let go of the GIL, convert back.
#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands converted arguments over by value")]

mod checkpoint;
mod decoder;
mod m3;
mod model;
mod progress;
mod search;
mod tensors;
mod texts;
mod tokenizer;

use std::path::PathBuf;

use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;

use crate::kernels::Cpu;
use crate::panics::{be_quiet, caught};
use crate::{Error, Result};

/// The ONNX Runtime library in use.
#[pyclass(frozen, module = "bge_fast._core", name = "Runtime", get_all)]
struct Runtime {
    path: PathBuf,
    version: String,
    providers: Vec<String>,
}

impl From<&crate::ort::Library> for Runtime {
    fn from(runtime: &crate::ort::Library) -> Self {
        Self { path: runtime.path.clone(), version: runtime.version.clone(), providers: runtime.providers.clone() }
    }
}

/// Loads the ONNX Runtime library at `path`, or returns the one that is loaded.
#[pyfunction]
fn load_runtime(py: Python<'_>, path: PathBuf, dependencies: Vec<PathBuf>) -> PyResult<Runtime> {
    detached(py, || crate::ort::Library::load(&path, &dependencies).map(Runtime::from))
}

/// The loaded ONNX Runtime library, if any.
#[pyfunction]
fn loaded_runtime() -> Option<Runtime> {
    crate::ort::Library::loaded().map(Runtime::from)
}

/// Settles which instructions our own kernels use in this process, at most those of this name or all that the processor has, unless
/// they were used already. Gives those in use: of float32, of 8-bit integers, and of bfloat16 where there are any.
#[pyfunction]
#[pyo3(signature = (at_most=None))]
fn instructions(py: Python<'_>, at_most: Option<&str>) -> PyResult<(String, String, Option<String>)> {
    let limit = at_most.map_or_else(|| Ok(Cpu::detect()), Cpu::at_most).map_err(|error| to_python(py, error))?;
    let Cpu { vectors, int8, bf16 } = limit.choose();
    Ok((vectors.to_string(), int8.to_string(), bf16.map(|bf16| bf16.to_string())))
}

/// Threads this process may use at once, by affinity and cgroup quota.
#[pyfunction]
fn available_threads() -> usize {
    crate::run::available_threads()
}

/// How many threads can be started, up to `wanted` of them.
#[pyfunction]
fn startable_threads(py: Python<'_>, wanted: usize) -> usize {
    py.detach(|| crate::ort::startable(wanted))
}

/// Panics, so that a test can see that a panic becomes an ordinary exception.
#[pyfunction]
fn panic_on_purpose(py: Python<'_>) -> PyResult<()> {
    detached(py, || panic!("on purpose"))
}

/// Runs `work` without the GIL; a panic becomes an `InternalError`.
fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    py.detach(|| caught(work)).map_err(|error| to_python(py, error))
}

fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let class = match error {
        Error::Value(message) => return PyValueError::new_err(message),
        Error::OutOfMemory(message) => return PyMemoryError::new_err(message),
        Error::ModelNotFound(_) => "ModelNotFoundError",
        Error::ModelFormat(_) => "ModelFormatError",
        Error::UnsupportedModel(_) => "UnsupportedModelError",
        Error::RuntimeNotFound(_) => "RuntimeNotFoundError",
        Error::Device(_) => "DeviceError",
        Error::Numerics(_) => "NumericsError",
        Error::ForkedProcess => "ForkedProcessError",
        Error::Timeout(_) => "CallTimeoutError",
        Error::QueueFull(_) => "QueueFullError",
        Error::Stopped | Error::Internal(_) => "InternalError",
    };
    let build = || py.import("bge_fast.errors")?.getattr(class)?.call1((error.to_string(),));
    build().map_or_else(|failure| failure, PyErr::from_value)
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    be_quiet();
    module.add_class::<Runtime>()?;
    module.add_class::<progress::Progress>()?;
    module.add_class::<checkpoint::Checkpoint>()?;
    module.add_class::<model::Model>()?;
    module.add_function(wrap_pyfunction!(checkpoint::read_tensors, module)?)?;
    module.add_function(wrap_pyfunction!(tensors::list_tensors, module)?)?;
    module.add_class::<tokenizer::Tokenizer>()?;
    module.add_class::<search::Best>()?;
    module.add_function(wrap_pyfunction!(load_runtime, module)?)?;
    module.add_function(wrap_pyfunction!(loaded_runtime, module)?)?;
    module.add_function(wrap_pyfunction!(instructions, module)?)?;
    module.add_function(wrap_pyfunction!(available_threads, module)?)?;
    module.add_function(wrap_pyfunction!(startable_threads, module)?)?;
    module.add_function(wrap_pyfunction!(panic_on_purpose, module)?)
}
