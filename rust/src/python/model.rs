//! An opened model: the verbs of embedders, M3 and rerankers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::checkpoint::Opened;
use super::m3::{SparseRows, TokenVectors, sparse_rows, token_vectors};
use super::progress::{Progress, watched};
use super::texts::{borrow_text, borrow_texts};
use super::tokenizer::Tokenizer;
use super::{detached, to_python};
use crate::batch::{InputRules, Layout, Positions};
use crate::graph::{Architecture, Depth, Form, TokenTypes};
use crate::models::{EncodeOptions, Limits, M3Options, PromptOptions, ScoreOptions};
use crate::ort::Library;
use crate::outputs::{Finish, Outputs};
use crate::run::{Device, Patience, Sessions};
use crate::tokenizer::{self, Around, Prompt};
use crate::{Error, Result};

/// An opened model. Any number of threads may use it at once.
#[pyclass(frozen, module = "bge_fast._core")]
pub(super) struct Model(crate::Model);

pub(super) type Matrix<'py> = Bound<'py, PyArray2<f32>>;

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
        cuda: Vec<i32>,
        threads: usize,
        low_memory: bool,
        arithmetic: &str,
        model_type: Option<&str>,
        pad_id: u32,
        dimension: usize,
        outputs: Vec<String>,
        timeout: Option<f64>,
        max_queue: Option<usize>,
        deterministic: bool,
    ) -> PyResult<Self> {
        let mut devices: Vec<Device> = cuda.into_iter().map(|index| Device::Cuda { index }).collect();
        if devices.is_empty() {
            devices.push(Device::Cpu { threads, low_memory });
        }
        let timeout = timeout.map(Duration::from_secs_f64);
        let patience = Patience { timeout, max_queue, alone: deterministic };
        detached(py, || {
            let library =
                Library::loaded().ok_or_else(|| Error::RuntimeNotFound("no ONNX Runtime library was loaded".into()))?;
            let rules = input_rules(model_type, pad_id)?;
            let first = Form::of(Outputs::named(&outputs)?, Layout::Plain);
            let tokenizer = tokenizer::Tokenizer::open(&folder)?;
            let source = graph.source(&tokenizer)?;
            let sessions = Sessions::open(library, source, &devices, arithmetic.parse()?, first, dimension)?;
            crate::Model::new(tokenizer, sessions, rules, dimension, patience).map(Self)
        })
    }

    /// Does what the first calls of few texts, of up to `longest` tokens each, would wait for.
    fn warm_up(&self, py: Python<'_>, longest: usize) -> PyResult<()> {
        detached(py, || self.0.warm_up(longest))
    }

    /// Vectors `(len(texts), dimension)` and the number of texts that were cut; `around` are the texts before and behind each query of
    /// a model that learns in context.
    #[pyo3(signature = (
        texts, *, max_length, batch_size, pooling, normalize, truncate_dim, refuse_long, progress, around=None
    ))]
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
        around: Option<(String, String)>,
    ) -> PyResult<(Matrix<'py>, usize)> {
        let texts = borrow_texts(texts, |place| format!("texts[{place}]"))?;
        let around = around.map(|(prefix, suffix)| Around::new(self.0.tokenizer(), &prefix, &suffix)).transpose();
        let options = EncodeOptions {
            limits: Limits { max_length, batch_size, refuse_long },
            around: around.map_err(|error| to_python(py, error))?,
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
            around: None,
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

    /// The scores of each pair, `(len(queries), scores)`: after each layer of `cutoffs`, or after the last.
    #[pyo3(signature = (
        queries, passages, *, prompt, start, query_max_length, max_length, batch_size, cutoffs, compress_layers, compress_ratio,
        progress
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only, and each is one plain value")]
    fn score_prompted<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyList>,
        passages: &Bound<'py, PyList>,
        prompt: &Bound<'py, PyString>,
        start: Option<u32>,
        query_max_length: usize,
        max_length: usize,
        batch_size: usize,
        cutoffs: Vec<usize>,
        compress_layers: Vec<usize>,
        compress_ratio: u32,
        progress: &Progress,
    ) -> PyResult<Matrix<'py>> {
        let queries = borrow_texts(queries, |place| format!("the query of pairs[{place}]"))?;
        let passages = borrow_texts(passages, |place| format!("the passage of pairs[{place}]"))?;
        let pairs: Vec<_> = queries.iter().map(|text| &**text).zip(passages.iter().map(|text| &**text)).collect();
        let text = borrow_text(prompt, || "the prompt".into())?;
        let options = || {
            let prompt = Prompt::new(self.0.tokenizer(), start, &text)?;
            let depth = Depth::of(&cutoffs, &compress_layers, compress_ratio)?;
            Ok(PromptOptions { prompt, query_max_length, max_length, batch_size, depth })
        };
        let options = options().map_err(|error| to_python(py, error))?;
        let scores = watched(py, progress, pairs.len(), |watch| self.0.score_prompted(&pairs, &options, watch))?;
        scores.into_pyarray(py).reshape([pairs.len(), options.scores()])
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

    /// What it did so far, by name, and how many calls wait for a run.
    fn totals(&self) -> HashMap<&'static str, u64> {
        let totals = self.0.totals();
        let waiting = u64::try_from(self.0.waiting()).unwrap_or(u64::MAX);
        HashMap::from([
            ("calls", totals.calls),
            ("items", totals.items),
            ("truncated", totals.truncated),
            ("tokens", totals.tokens),
            ("padding", totals.padding),
            ("redone", totals.redone),
            ("out_of_memory", totals.out_of_memory),
            ("batches", self.0.batches_run()),
            ("waiting", waiting),
        ])
    }

    /// Its tokenizer.
    #[getter]
    fn tokenizer(&self) -> Tokenizer {
        Tokenizer(self.0.tokenizer().clone())
    }
}

/// Those of an encoder's architecture, or of a decoder.
fn input_rules(architecture: Option<&str>, pad_id: u32) -> Result<InputRules> {
    let Some(name) = architecture else {
        return Ok(InputRules { pad_id, positions: Positions::FromZero, typed_pairs: false });
    };
    let architecture = Architecture::named(name)?;
    let typed_pairs = architecture.token_types == TokenTypes::OfPairs;
    Ok(InputRules { pad_id, positions: architecture.positions, typed_pairs })
}
