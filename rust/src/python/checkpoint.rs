//! A checkpoint, and what a model is opened from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use numpy::{IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::decoder::DecoderSizes;
use super::{detached, to_python};
use crate::batch::Layout;
use crate::graph::{Activation, Architecture, Depth, Encoder, Form, Network};
use crate::outputs::Outputs;
use crate::prepared::{Arithmetic, Prepared};
use crate::run::{GraphFile, GraphSource};
use crate::tokenizer::Tokenizer;
use crate::weights::{WeightFile, Weights};
use crate::{Error, Result};

/// A checkpoint as it is: mapped weights, from which graphs are assembled.
#[pyclass(frozen, module = "bge_fast._core")]
pub(super) struct Checkpoint(crate::graph::Checkpoint);

#[pymethods]
impl Checkpoint {
    /// `heads` are files of their own, by the names of their layers; tensors of the file `changed` take the place of those of
    /// their names; `outputs` are seen to be possible.
    #[new]
    #[pyo3(signature = (
        files, sizes, *, names=None, heads=None, changed=None, outputs=vec!["hidden_states".to_owned()]
    ))]
    fn new(
        py: Python<'_>,
        files: Vec<PathBuf>,
        sizes: Sizes,
        names: Option<Vec<String>>,
        heads: Option<Vec<(String, PathBuf)>>,
        changed: Option<PathBuf>,
        outputs: Vec<String>,
    ) -> PyResult<Self> {
        let names = names.unwrap_or_else(|| files.iter().map(|path| last_name(path)).collect());
        let outputs = Outputs::named(&outputs).map_err(|error| to_python(py, error))?;
        let network = Network::try_from(sizes).map_err(|error| to_python(py, error))?;
        detached(py, || {
            let files = files.into_iter().zip(names).map(|(path, name)| Ok(WeightFile { name, path, prefix: "" }));
            let heads = heads.unwrap_or_default().into_iter().map(head_file);
            let files = files.chain(heads).collect::<Result<Vec<_>>>()?;
            let changed = changed.map(|path| WeightFile { name: last_name(&path), path, prefix: "" });
            crate::graph::Checkpoint::open(&files, changed.as_ref(), network, outputs).map(Self)
        })
    }

    /// One form of the graph: a serialized ONNX model, and the folder its external data is relative to. `layout` is `"plain"`,
    /// `"masked"`, `"halved"`, or `"packed"` for CUDA, where decoders are `"plain"`; there in fp16 or bf16 too, whose matrices are not in
    /// the files. Decoders score after each layer of `cutoffs`; before the layers of `compress` runs of so many tokens become one.
    #[pyo3(signature = (outputs, layout, *, precision="fp32", cutoffs=Vec::new(), compress=(Vec::new(), 1)))]
    fn graph<'py>(
        &self,
        py: Python<'py>,
        outputs: Vec<String>,
        layout: &str,
        precision: &str,
        cutoffs: Vec<usize>,
        compress: (Vec<usize>, u32),
    ) -> PyResult<(Bound<'py, PyBytes>, PathBuf)> {
        let assembled = detached(py, || {
            let arithmetic: Arithmetic = precision.parse()?;
            let prepared = Prepared::new(Arc::clone(self.0.weights()), arithmetic, 1);
            let form = Form {
                half: arithmetic.is_narrow(),
                depth: Depth::of(&cutoffs, &compress.0, compress.1)?,
                ..Form::of(Outputs::named(&outputs)?, layout.parse::<Layout>()?)
            };
            self.0.assemble_for_cuda(&prepared, form)
        })?;
        Ok((PyBytes::new(py, &assembled.proto), assembled.folder))
    }

    /// Whether a CUDA device computes it in 16 bits.
    #[getter]
    fn narrows_on_cuda(&self) -> bool {
        self.0.narrows_on_cuda()
    }

    /// The first tensor of a layer that the configuration does not have, where there is one: it is not run.
    fn left_over(&self, py: Python<'_>) -> PyResult<Option<String>> {
        detached(py, || Ok(self.0.left_over()?.map(str::to_owned)))
    }

    /// Numbers a token of a head.
    fn head_width(&self, py: Python<'_>, layer: &str) -> PyResult<usize> {
        let name = format!("{layer}.weight");
        let width = self.0.weights().shape(&name).and_then(|shape| shape.first().copied());
        width.ok_or_else(|| to_python(py, Error::ModelFormat(format!("there is no tensor {name}"))))
    }
}

pub(super) fn last_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

/// Tensors of weight files as float32 arrays by name: those of `names` that are there, or all.
#[pyfunction]
#[pyo3(signature = (files, names=None))]
pub(super) fn read_tensors(
    py: Python<'_>,
    files: Vec<PathBuf>,
    names: Option<Vec<String>>,
) -> PyResult<Bound<'_, PyDict>> {
    let tensors = detached(py, || {
        let files = files.into_iter().map(|path| WeightFile { name: last_name(&path), path, prefix: "" });
        let weights = Arc::new(Weights::open(&files.collect::<Vec<_>>())?);
        let prepared = Prepared::new(Arc::clone(&weights), Arithmetic::Float32, 1);
        let names = names.unwrap_or_else(|| weights.names().map(str::to_owned).collect());
        let there = names.into_iter().filter_map(|name| Some((weights.shape(&name)?.to_vec(), name)));
        there
            .map(|(shape, name)| {
                let numbers = prepared.float32(&name, weights.find(&name, &shape)?)?;
                let (numbers, _) = prepared.bytes(&numbers).as_chunks();
                let numbers: Vec<_> = numbers.iter().copied().map(f32::from_le_bytes).collect();
                Ok((name, shape, numbers))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let table = PyDict::new(py);
    for (name, shape, numbers) in tensors {
        table.set_item(name, numbers.into_pyarray(py).reshape(shape)?)?;
    }
    Ok(table)
}

fn head_file((layer, path): (String, PathBuf)) -> Result<WeightFile> {
    let prefix = match layer.as_str() {
        "sparse_linear" => "sparse_linear.",
        "colbert_linear" => "colbert_linear.",
        other => return Err(Error::Value(format!("unknown head {other:?}"))),
    };
    Ok(WeightFile { name: format!("{layer}.pt"), path, prefix })
}

/// What a graph follows from.
#[derive(FromPyObject)]
pub(super) enum Sizes {
    Encoder(EncoderSizes),
    Decoder(DecoderSizes),
}

impl TryFrom<Sizes> for Network {
    type Error = Error;

    fn try_from(sizes: Sizes) -> Result<Self> {
        match sizes {
            Sizes::Encoder(sizes) => sizes.try_into().map(Self::Encoder),
            Sizes::Decoder(sizes) => sizes.try_into().map(Self::Decoder),
        }
    }
}

/// The keys of an encoder's `config.json` that a graph follows from.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct EncoderSizes {
    model_type: String,
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
}

impl TryFrom<EncoderSizes> for Encoder {
    type Error = Error;

    fn try_from(sizes: EncoderSizes) -> Result<Self> {
        Ok(Self {
            architecture: Architecture::named(&sizes.model_type)?,
            vocab_size: sizes.vocab_size,
            embedding_size: sizes.embedding_size,
            hidden_size: sizes.hidden_size,
            num_hidden_layers: sizes.num_hidden_layers,
            num_attention_heads: sizes.num_attention_heads,
            intermediate_size: sizes.intermediate_size,
            max_position_embeddings: sizes.max_position_embeddings,
            type_vocab_size: sizes.type_vocab_size,
            layer_norm_eps: sizes.layer_norm_eps,
            hidden_act: Activation::named(&sizes.hidden_act)?,
        })
    }
}

/// What a model is opened from.
pub(super) enum Opened {
    Checkpoint(crate::graph::Checkpoint),
    File(PathBuf),
}

impl FromPyObject<'_, '_> for Opened {
    type Error = PyErr;

    fn extract(graph: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        match graph.cast::<Checkpoint>() {
            Ok(checkpoint) => Ok(Self::Checkpoint(checkpoint.get().0.clone())),
            Err(_) => Ok(Self::File(graph.extract()?)),
        }
    }
}

impl Opened {
    /// Where graphs come from. Where a decoder scores by a word, that is "Yes": its first token.
    pub fn source(self, tokenizer: &Tokenizer) -> Result<GraphSource> {
        match self {
            Self::Checkpoint(checkpoint) => {
                let word = tokenizer.content("Yes")?.first().copied();
                let word = word.and_then(|id| usize::try_from(id).ok()).unwrap_or_default();
                Ok(GraphSource::Checkpoint(checkpoint.answering(word)))
            }
            Self::File(path) => GraphFile::open(path).map(GraphSource::File),
        }
    }
}
