//! The Python module `bge_fast._core`: convert, let go of the GIL, convert back.
#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands converted arguments over by value")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use numpy::{IntoPyArray, PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::batch::{Architecture, Encoding};
use crate::graph::{Encoder, Variant};
use crate::pooling::{Finish, Pooling};
use crate::sessions::{Device, Sessions, Source};
use crate::weights::WeightFile;
use crate::{Error, Result};

/// The ONNX Runtime library in use.
#[pyclass(frozen, module = "bge_fast._core", name = "Runtime", get_all)]
struct Runtime {
    path: PathBuf,
    version: String,
    providers: Vec<String>,
}

impl From<&crate::runtime::Runtime> for Runtime {
    fn from(runtime: &crate::runtime::Runtime) -> Self {
        Self { path: runtime.path.clone(), version: runtime.version.clone(), providers: runtime.providers.clone() }
    }
}

/// Loads the ONNX Runtime library at `path`, or returns the one that is loaded.
#[pyfunction]
fn load_runtime(py: Python<'_>, path: PathBuf, dependencies: Vec<PathBuf>) -> PyResult<Runtime> {
    detached(py, || crate::runtime::Runtime::load(&path, &dependencies).map(Runtime::from))
}

/// The loaded ONNX Runtime library, if any.
#[pyfunction]
fn loaded_runtime() -> Option<Runtime> {
    crate::runtime::Runtime::loaded().map(Runtime::from)
}

/// How many texts of a running call are done. Any thread may look.
#[pyclass(frozen, module = "bge_fast._core")]
#[derive(Default)]
struct Progress(AtomicUsize);

#[pymethods]
impl Progress {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    #[getter]
    fn done(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A checkpoint as it is: mapped weights, from which graphs are assembled.
#[pyclass(frozen, module = "bge_fast._core")]
struct Checkpoint(crate::checkpoint::Checkpoint);

#[pymethods]
impl Checkpoint {
    #[new]
    #[pyo3(signature = (files, encoder, names=None))]
    fn new(py: Python<'_>, files: Vec<PathBuf>, encoder: EncoderSizes, names: Option<Vec<String>>) -> PyResult<Self> {
        let last = |path: &PathBuf| path.file_name().unwrap_or_default().display().to_string();
        let names = names.unwrap_or_else(|| files.iter().map(last).collect());
        let files: Vec<_> = files.into_iter().zip(names).map(|(path, name)| WeightFile { name, path }).collect();
        detached(py, || crate::checkpoint::Checkpoint::open(&files, encoder.into()).map(Self))
    }

    /// One form of the graph: a serialized ONNX model, and the folder its external data is relative to.
    fn graph<'py>(&self, py: Python<'py>, output: &str, mask: bool) -> PyResult<(Bound<'py, PyBytes>, PathBuf)> {
        let output = output.parse().map_err(|error| to_python(py, error))?;
        let assembled = detached(py, || self.0.assemble(Variant { output, mask }))?;
        Ok((PyBytes::new(py, &assembled.proto), assembled.folder))
    }
}

/// The keys of `config.json` that a graph follows from.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct EncoderSizes {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
}

impl From<EncoderSizes> for Encoder {
    fn from(sizes: EncoderSizes) -> Self {
        Self {
            vocab_size: sizes.vocab_size,
            hidden_size: sizes.hidden_size,
            num_hidden_layers: sizes.num_hidden_layers,
            num_attention_heads: sizes.num_attention_heads,
            intermediate_size: sizes.intermediate_size,
            max_position_embeddings: sizes.max_position_embeddings,
            type_vocab_size: sizes.type_vocab_size,
            layer_norm_eps: sizes.layer_norm_eps,
        }
    }
}

/// What an embedder is opened from.
#[derive(FromPyObject)]
enum GraphSource<'py> {
    Checkpoint(PyRef<'py, Checkpoint>),
    File(PathBuf),
}

/// An opened model. Any number of threads may use it at once.
#[pyclass(frozen, module = "bge_fast._core")]
struct Embedder(crate::Embedder);

#[pymethods]
impl Embedder {
    #[new]
    #[pyo3(signature = (folder, graph, *, cuda, threads, low_memory, architecture, pad_id, dimension, pooling))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only, and each is one plain value")]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        graph: GraphSource<'_>,
        cuda: Option<i32>,
        threads: usize,
        low_memory: bool,
        architecture: &str,
        pad_id: u32,
        dimension: usize,
        pooling: &str,
    ) -> PyResult<Self> {
        let architecture = match architecture {
            "bert" => Architecture::Bert,
            "xlm-roberta" => Architecture::XlmRoberta,
            other => return Err(PyValueError::new_err(format!("unknown architecture {other:?}"))),
        };
        let device = cuda.map_or(Device::Cpu { threads, low_memory }, |index| Device::Cuda { index });
        let pooling: Pooling = pooling.parse().map_err(|error| to_python(py, error))?;
        let source = match graph {
            GraphSource::Checkpoint(checkpoint) => Source::Checkpoint(checkpoint.0.clone()),
            GraphSource::File(path) => Source::File(path),
        };
        detached(py, || {
            let runtime = crate::runtime::Runtime::loaded()
                .ok_or_else(|| Error::RuntimeNotFound("no ONNX Runtime library was loaded".into()))?;
            let tokenizer = crate::tokenizer::Tokenizer::open(&folder)?;
            let encoding = Encoding { architecture, pad_id };
            let first = Variant { output: pooling.output(), mask: false };
            let sessions = Sessions::open(runtime, source, device, encoding, first)?;
            Ok(Self(crate::Embedder::new(tokenizer, sessions, dimension)))
        })
    }

    /// Vectors `(len(texts), dimension)` and the number of texts that were cut.
    #[pyo3(signature = (texts, *, max_length, batch_size, pooling, normalize, truncate_dim, refuse_long, progress))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only, and each is one plain value")]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyList>,
        max_length: usize,
        batch_size: usize,
        pooling: &str,
        normalize: bool,
        truncate_dim: Option<usize>,
        refuse_long: bool,
        progress: &Progress,
    ) -> PyResult<(Bound<'py, PyArray2<f32>>, usize)> {
        let texts = borrow_texts(texts)?;
        let options = crate::EncodeOptions {
            max_length,
            batch_size,
            pooling: pooling.parse().map_err(|error| to_python(py, error))?,
            finish: Finish { truncate_dim, normalize },
            refuse_long,
        };
        let mut signal = None;
        let mut watch = |done: usize| {
            progress.0.store(done, Ordering::Relaxed);
            #[expect(
                clippy::redundant_closure_for_method_calls,
                reason = "the method alone does not infer its lifetime"
            )]
            let pending = Python::attach(|py| py.check_signals());
            signal = pending.err();
            signal.is_none()
        };
        let result = detached(py, || self.0.encode(&texts, &options, &mut watch));
        if let Some(signal) = signal {
            return Err(signal);
        }
        let embeddings = result?;
        progress.0.store(texts.len(), Ordering::Relaxed);
        let matrix = embeddings.values.into_pyarray(py).reshape([texts.len(), embeddings.dimension])?;
        Ok((matrix, embeddings.truncated))
    }

    /// Execution providers of the live session, each with the number of its nodes.
    fn providers(&self, py: Python<'_>) -> PyResult<Vec<(String, usize)>> {
        detached(py, || self.0.sessions().providers())
    }

    /// Ids of one text with special tokens, at most `max_length`.
    fn tokenize(&self, py: Python<'_>, text: &Bound<'_, PyString>, max_length: usize) -> PyResult<Vec<u32>> {
        let text = borrow_text(text, "the text")?;
        detached(py, || self.0.tokenizer().encode(&text, max_length)).map(|tokens| tokens.ids)
    }

    /// Text of ids.
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        detached(py, || self.0.tokenizer().decode(&ids, skip_special_tokens))
    }

    /// The token of an id.
    fn token(&self, id: u32) -> Option<String> {
        self.0.tokenizer().token(id)
    }

    /// The id of a token.
    fn token_id(&self, token: &str) -> Option<u32> {
        self.0.tokenizer().id(token)
    }

    /// Number of ids.
    #[getter]
    fn vocabulary_size(&self) -> u32 {
        self.0.tokenizer().size()
    }
}

/// Threads this process may use at once, by affinity and cgroup quota.
#[pyfunction]
fn available_threads() -> usize {
    crate::sessions::available_threads()
}

/// Panics, so that a test can see that a panic becomes an ordinary exception.
#[pyfunction]
fn panic_on_purpose(py: Python<'_>) -> PyResult<()> {
    detached(py, || panic!("on purpose"))
}

/// Texts by reference: Python keeps their UTF-8, nothing is copied.
fn borrow_texts(texts: &Bound<'_, PyList>) -> PyResult<Vec<PyBackedStr>> {
    texts
        .iter()
        .enumerate()
        .map(|(place, text)| match text.cast::<PyString>() {
            Ok(text) => borrow_text(text, &format!("texts[{place}]")),
            Err(_) => Err(PyTypeError::new_err(format!("texts[{place}] is {}, not str", text.get_type().name()?))),
        })
        .collect()
}

fn borrow_text(text: &Bound<'_, PyString>, which: &str) -> PyResult<PyBackedStr> {
    PyBackedStr::try_from(text.clone()).map_err(|error| {
        let py = text.py();
        if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
            return error;
        }
        let position = error.value(py).getattr("start").map_or_else(|_| "?".into(), |start| start.to_string());
        PyValueError::new_err(format!(
            "{which} is not valid Unicode: lone surrogate at character {position}. \
             Clean it with s.encode(\"utf-8\", \"replace\").decode()."
        ))
    })
}

/// Runs `work` without the GIL; a panic becomes an `InternalError`.
fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    py.detach(|| {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let reason = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|&reason| reason.to_owned()))
                .unwrap_or_default();
            Err(Error::Internal(format!("the Rust core panicked: {reason}. Please report this")))
        })
    })
    .map_err(|error| to_python(py, error))
}

fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let class = match error {
        Error::Value(message) => return PyValueError::new_err(message),
        Error::ModelNotFound(_) => "ModelNotFoundError",
        Error::ModelFormat(_) => "ModelFormatError",
        Error::RuntimeNotFound(_) => "RuntimeNotFoundError",
        Error::Device(_) => "DeviceError",
        Error::Numerics(_) => "NumericsError",
        Error::ForkedProcess => "ForkedProcessError",
        Error::Stopped | Error::Internal(_) => "InternalError",
    };
    let build = || py.import("bge_fast.errors")?.getattr(class)?.call1((error.to_string(),));
    build().map_or_else(|failure| failure, PyErr::from_value)
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Runtime>()?;
    module.add_class::<Progress>()?;
    module.add_class::<Checkpoint>()?;
    module.add_class::<Embedder>()?;
    module.add_function(wrap_pyfunction!(load_runtime, module)?)?;
    module.add_function(wrap_pyfunction!(loaded_runtime, module)?)?;
    module.add_function(wrap_pyfunction!(available_threads, module)?)?;
    module.add_function(wrap_pyfunction!(panic_on_purpose, module)?)
}
