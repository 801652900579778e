//! An opened model: the verbs of embedders, M3 and rerankers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::checkpoint::Opened;
use super::texts::{borrow_text, borrow_texts};
use super::tokenizer::Tokenizer;
use super::{detached, to_python};
use crate::batch::{InputRules, Layout};
use crate::graph::{Architecture, Form, TokenTypes};
use crate::models::{EncodeOptions, Limits, M3Options, ScoreOptions};
use crate::ort::Library;
use crate::outputs::{Finish, Lexical, MultiVectors, Outputs, Texts};
use crate::run::{Device, Patience, Sessions};
use crate::tokenizer;
use crate::{Error, Result};

/// How many texts of a running call are done. Any thread may look.
#[pyclass(frozen, module = "bge_fast._core")]
#[derive(Default)]
pub(super) struct Progress(AtomicUsize);

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

/// An opened model. Any number of threads may use it at once.
#[pyclass(frozen, module = "bge_fast._core")]
pub(super) struct Model(crate::Model);

type Matrix<'py> = Bound<'py, PyArray2<f32>>;
type SparseRows<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// [`MultiVectors`] as Python gets them.
#[derive(IntoPyObject)]
enum TokenVectors<'py> {
    Separate(Vec<Matrix<'py>>),
    Joined((Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>)),
}

#[pymethods]
impl Model {
    /// `outputs` are those of the form that is opened at once.
    #[new]
    #[pyo3(signature = (folder, graph, *, cuda, threads, low_memory, arithmetic, model_type, pad_id, dimension, outputs, timeout, max_queue, deterministic))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only, and each is one plain value")]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        graph: Opened,
        cuda: Option<i32>,
        threads: usize,
        low_memory: bool,
        arithmetic: &str,
        model_type: &str,
        pad_id: u32,
        dimension: usize,
        outputs: Vec<String>,
        timeout: Option<f64>,
        max_queue: Option<usize>,
        deterministic: bool,
    ) -> PyResult<Self> {
        let device = cuda.map_or(Device::Cpu { threads, low_memory }, |index| Device::Cuda { index });
        let timeout = timeout.map(Duration::from_secs_f64);
        let patience = Patience { timeout, max_queue, alone: deterministic };
        detached(py, || {
            let library =
                Library::loaded().ok_or_else(|| Error::RuntimeNotFound("no ONNX Runtime library was loaded".into()))?;
            let architecture = Architecture::named(model_type)?;
            let typed_pairs = architecture.token_types == TokenTypes::OfPairs;
            let rules = InputRules { pad_id, positions: architecture.positions, typed_pairs };
            let first = Form { outputs: Outputs::named(&outputs)?, layout: Layout::Plain, half: true };
            let tokenizer = tokenizer::Tokenizer::open(&folder)?;
            let sessions = Sessions::open(library, graph.try_into()?, device, arithmetic.parse()?, first, dimension)?;
            crate::Model::new(tokenizer, sessions, rules, dimension, patience).map(Self)
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
    ) -> PyResult<(Matrix<'py>, usize)> {
        let texts = borrow_texts(texts, |place| format!("texts[{place}]"))?;
        let options = EncodeOptions {
            limits: Limits { max_length, batch_size, refuse_long },
            pooling: pooling.parse().map_err(|error| to_python(py, error))?,
            finish: Finish { truncate_dim, normalize },
        };
        let embeddings = watched(py, progress, texts.len(), |watch| self.0.encode(&texts, &options, watch))?;
        let matrix = embeddings.values.into_pyarray(py).reshape([texts.len(), embeddings.dimension])?;
        Ok((matrix, embeddings.truncated))
    }

    /// Of one pass: dense vectors `(len(texts), dimension)`; lexical weights as (offsets, ids, weights), without the ids of
    /// `sparse`; of each text the vectors of its tokens but the first, with `colbert` as `"separate"` matrices or `"joined"` as
    /// (offsets, numbers); and the number of texts that were cut.
    #[pyo3(signature = (
        texts, *, max_length, batch_size, pooling, normalize, truncate_dim, refuse_long, dense, sparse, colbert, progress
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only, and each is one plain value")]
    #[expect(clippy::type_complexity, reason = "a tuple for Python")]
    fn encode_m3<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyList>,
        max_length: usize,
        batch_size: usize,
        pooling: &str,
        normalize: bool,
        truncate_dim: Option<usize>,
        refuse_long: bool,
        dense: bool,
        sparse: Option<Vec<u32>>,
        colbert: Option<&str>,
        progress: &Progress,
    ) -> PyResult<(Option<Matrix<'py>>, Option<SparseRows<'py>>, Option<TokenVectors<'py>>, usize)> {
        let texts = borrow_texts(texts, |place| format!("texts[{place}]"))?;
        let encode = EncodeOptions {
            limits: Limits { max_length, batch_size, refuse_long },
            pooling: pooling.parse().map_err(|error| to_python(py, error))?,
            finish: Finish { truncate_dim, normalize },
        };
        let colbert = colbert.map(str::parse).transpose().map_err(|error| to_python(py, error))?;
        let options = M3Options { encode, dense, sparse, colbert };
        let vectors = watched(py, progress, texts.len(), |watch| self.0.encode_m3(&texts, &options, watch))?;
        let shape = [texts.len(), vectors.dense.dimension];
        let matrix = dense.then(|| vectors.dense.values.into_pyarray(py).reshape(shape)).transpose()?;
        let lexical = options.sparse.is_some().then(|| sparse_rows(py, &vectors.sparse));
        let tokens = vectors.colbert.map(|vectors| token_vectors(py, vectors)).transpose()?;
        Ok((matrix, lexical, tokens, vectors.dense.truncated))
    }

    /// The logit of each pair.
    #[pyo3(signature = (queries, passages, *, query_max_length, max_length, batch_size, progress))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only, and each is one plain value")]
    fn score<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyList>,
        passages: &Bound<'py, PyList>,
        query_max_length: usize,
        max_length: usize,
        batch_size: usize,
        progress: &Progress,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let queries = borrow_texts(queries, |place| format!("the query of pairs[{place}]"))?;
        let passages = borrow_texts(passages, |place| format!("the passage of pairs[{place}]"))?;
        let pairs: Vec<_> = queries.iter().map(|text| &**text).zip(passages.iter().map(|text| &**text)).collect();
        let options = ScoreOptions { query_max_length, max_length, batch_size };
        let logits = watched(py, progress, pairs.len(), |watch| self.0.score(&pairs, &options, watch))?;
        Ok(logits.into_pyarray(py))
    }

    /// Ids and token types of one pair with special tokens.
    fn tokenize_pair(
        &self,
        query: &Bound<'_, PyString>,
        passage: &Bound<'_, PyString>,
        query_max_length: usize,
        max_length: usize,
    ) -> PyResult<(Vec<u32>, Vec<u8>)> {
        let py = query.py();
        let (query, passage) =
            (borrow_text(query, || "the query".into())?, borrow_text(passage, || "the passage".into())?);
        let tokenizer = self.0.tokenizer();
        let pair = detached(py, || {
            let query = tokenizer.content_up_to(&query, query_max_length)?;
            let passage = tokenizer.content_up_to(&passage, max_length)?;
            Ok(tokenizer.pair(tokenizer.cut(&query, query_max_length), &passage, max_length))
        })?;
        let types = (0..pair.ids.len()).map(|place| u8::from(place >= pair.first)).collect();
        Ok((pair.ids, types))
    }

    /// Execution providers of the live session, each with the number of its nodes.
    fn providers(&self, py: Python<'_>) -> PyResult<Vec<(String, usize)>> {
        detached(py, || self.0.sessions().providers())
    }

    /// Whether its graphs are made of operators of our own.
    #[getter]
    fn own_operators(&self) -> bool {
        self.0.sessions().own_operators()
    }

    /// Seconds of all threads together that calls spent tokenizing, waiting for a run, and running.
    #[getter]
    fn seconds(&self) -> (f64, f64, f64) {
        self.0.seconds().into()
    }

    /// How many batches went through a graph.
    #[getter]
    fn batches_run(&self) -> u64 {
        self.0.batches_run()
    }

    /// Its tokenizer.
    #[getter]
    fn tokenizer(&self) -> Tokenizer {
        Tokenizer(self.0.tokenizer().clone())
    }
}

/// Runs `work` without the GIL; now and then it tells how far it is and lets Python look at its signals.
fn watched<R: Send>(
    py: Python<'_>,
    progress: &Progress,
    total: usize,
    work: impl FnOnce(&mut (dyn FnMut(usize) -> bool + Send)) -> Result<R> + Send,
) -> PyResult<R> {
    let mut signal = None;
    let mut watch = |done: usize| {
        progress.0.store(done, Ordering::Relaxed);
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone does not infer its lifetime")]
        let pending = Python::try_attach(|py| py.check_signals());
        // None: the interpreter is ending, and nobody waits for the result.
        let goes_on = matches!(pending, Some(Ok(())));
        signal = pending.and_then(PyResult::err);
        goes_on
    };
    let result = detached(py, || work(&mut watch));
    if let Some(signal) = signal {
        return Err(signal);
    }
    progress.0.store(total, Ordering::Relaxed);
    result
}

fn sparse_rows<'py>(py: Python<'py>, texts: &[Lexical]) -> SparseRows<'py> {
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.ids.len();
        Some(*end)
    });
    let ids: Vec<u32> = texts.iter().flat_map(|text| text.ids.iter().copied()).collect();
    let weights: Vec<f32> = texts.iter().flat_map(|text| text.weights.iter().copied()).collect();
    (offsets(py, std::iter::once(0).chain(ends)), ids.into_pyarray(py), weights.into_pyarray(py))
}

fn offsets(py: Python<'_>, ends: impl Iterator<Item = usize>) -> Bound<'_, PyArray1<i64>> {
    ends.map(|end| i64::try_from(end).unwrap_or(i64::MAX)).collect::<Vec<_>>().into_pyarray(py)
}

/// Arrays that take over the numbers.
fn token_vectors(py: Python<'_>, vectors: MultiVectors) -> PyResult<TokenVectors<'_>> {
    let dimension = vectors.dimension.max(1);
    Ok(match vectors.texts {
        Texts::Separate(texts) => {
            let matrices = texts.into_iter().map(|numbers| {
                let rows = numbers.len() / dimension;
                numbers.into_pyarray(py).reshape([rows, dimension])
            });
            TokenVectors::Separate(matrices.collect::<PyResult<_>>()?)
        }
        Texts::Joined { offsets: ends, values } => {
            TokenVectors::Joined((offsets(py, ends.into_iter()), values.into_pyarray(py)))
        }
    })
}
