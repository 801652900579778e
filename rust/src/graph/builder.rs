//! Nodes, initializers and outputs of a graph in the making.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use super::onnx::{Attribute, DataType, GraphProto, ModelProto, NodeProto, OperatorSetId, TensorProto, ValueInfo};
use super::{Assembled, Conversion, Initializer};
use crate::prepared::{Layer, Numbers, Prepared, float32, narrow};
use crate::weights::{Dtype, Tensor, Weights};
use crate::{Error, Result};

/// Operators of our own.
pub(crate) const OURS: &str = "bge_fast";
/// The attribute that tells the place of an operator's numbers in [`Assembled::layers`].
pub(crate) const LAYER: &str = "layer";
/// ONNX Runtime's own operators.
pub(super) const CONTRIB: &str = "com.microsoft";
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;

/// Whose operators a graph is made of, and how texts lie in it.
#[derive(Clone, Copy)]
pub(super) enum Operators<'a> {
    /// ONNX Runtime's, on `[batch, length, hidden]`.
    Padded,
    /// Those of our own, with their numbers, on `[1, tokens, hidden]`.
    Ours(&'a Prepared),
    /// ONNX Runtime's for CUDA, on `[tokens, hidden]`.
    Cuda,
}

/// A graph in the making. A value is known by its name.
pub(super) struct Builder<'a> {
    weights: &'a Weights,
    conversion: Conversion<'a>,
    pub(super) operators: Operators<'a>,
    folder: PathBuf,
    graph: GraphProto,
    tensors: Vec<Initializer>,
    layers: Vec<Layer>,
    known: HashSet<String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(weights: &'a Weights, conversion: Conversion<'a>, operators: Operators<'a>) -> Self {
        let graph = GraphProto { name: "encoder".into(), ..GraphProto::default() };
        let folder = common_folder(weights.files());
        Self {
            weights,
            conversion,
            operators,
            folder,
            graph,
            tensors: Vec::new(),
            layers: Vec::new(),
            known: HashSet::new(),
        }
    }

    /// Where layers are computed by operators of our own: what their numbers come from.
    pub(super) fn ours(&self) -> Option<&'a Prepared> {
        if let Operators::Ours(prepared) = self.operators { Some(prepared) } else { None }
    }

    /// Whether texts lie one behind the other for ONNX Runtime's operators.
    pub(super) fn on_cuda(&self) -> bool {
        matches!(self.operators, Operators::Cuda)
    }

    /// Whether it computes in float16.
    pub(super) fn half(&self) -> bool {
        matches!(self.conversion, Conversion::Narrowed(_))
    }

    /// Rows of a table, taken by id. A table of 16-bit numbers stays as it is; only its rows are widened.
    pub(super) fn rows(&mut self, table: &str, shape: &[usize], ids: &str, output: &str) -> Result<String> {
        let tensor = self.find(table, shape)?;
        if tensor.strides.is_some() || self.half() {
            let table = self.converted(table, &tensor)?;
            return Ok(self.node("Gather", &[&table, ids], output, &[]));
        }
        let stored = self.stored(table, &tensor, shape);
        let rows = self.node("Gather", &[&stored, ids], output, &[]);
        Ok(self.widened(tensor.dtype, rows))
    }

    /// The first row of a table.
    pub(super) fn first_row(&mut self, table: &str, shape: &[usize]) -> Result<String> {
        let mut tensor = self.find(table, shape)?;
        let rows = u64::try_from(shape[0]).unwrap_or(u64::MAX);
        tensor.shape = shape[1..].to_vec();
        match &mut tensor.strides {
            Some(strides) => drop(strides.remove(0)),
            None => tensor.length /= rows,
        }
        self.few(&format!("{table}[0]"), &tensor)
    }

    /// A tensor of few numbers. Nodes may compute with it when the graph is opened.
    pub(super) fn small(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let tensor = self.find(name, shape)?;
        self.few(name, &tensor)
    }

    fn few(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        if tensor.strides.is_none() && !self.half() {
            let stored = self.stored(name, tensor, &tensor.shape);
            return Ok(self.widened(tensor.dtype, stored));
        }
        self.numbers(name, &tensor.shape, float32::numbers(self.weights.bytes(tensor), tensor))
    }

    /// Few numbers, kept in the graph itself.
    pub(super) fn numbers(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<String> {
        if self.known.insert(name.to_owned()) {
            let tensor = if self.half() {
                TensorProto::halves(name, dims(shape), narrow(name, &values)?)
            } else {
                TensorProto::floats(name, dims(shape), values)
            };
            self.graph.initializer.push(tensor);
        }
        Ok(name.to_owned())
    }

    /// The numbers of a tensor, for what is computed while the graph is made.
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.find(name, shape)?;
        Ok(float32::numbers(self.weights.bytes(&tensor), &tensor))
    }

    /// A matrix. One that is prepared is shared by all sessions; its node must be one that ONNX Runtime does not compute
    /// when it opens the graph, since it would read the file then and not what it is handed.
    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<String> {
        let tensor = self.find(name, &shape)?;
        let beforehand = matches!(self.conversion, Conversion::Prepared(_));
        if tensor.strides.is_some() || (beforehand && tensor.dtype != Dtype::F32) || self.half() {
            return self.converted(name, &tensor);
        }
        let stored = self.stored(name, &tensor, &shape);
        Ok(self.widened(tensor.dtype, stored))
    }

    /// A tensor made float32 or float16, row by row, beforehand. ONNX Runtime only sees that the file that the graph points at is there: what it
    /// is handed counts.
    fn converted(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        let numbers = match self.conversion {
            Conversion::Prepared(prepared) => Some(prepared.float32(name, tensor)?),
            Conversion::Narrowed(prepared) => Some(prepared.float16(name, tensor)?),
            Conversion::Draft => None,
            Conversion::InGraph => {
                let (shape, strides) = (&tensor.shape, tensor.strides.as_deref().unwrap_or_default());
                return Err(Error::ModelFormat(format!(
                    "the tensor {name} of shape {shape:?} has strides {strides:?}, so its rows do not follow each other, which only \
                     the CPU takes. Save it again after .contiguous()"
                )));
            }
        };
        self.initializer(name, tensor, &tensor.shape, numbers);
        Ok(name.to_owned())
    }

    /// Rows of a matrix.
    pub(super) fn height(&self, name: &str) -> Result<usize> {
        match self.weights.shape(name) {
            Some(&[height, _]) => Ok(height),
            Some(shape) => {
                Err(Error::ModelFormat(format!("the tensor {name} has the shape {shape:?}, not two dimensions")))
            }
            None => self.weights.find(name, &[]).map(|_| 0),
        }
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weights.find(name, shape).cloned()
    }

    /// An initializer as it is stored.
    fn stored(&mut self, name: &str, tensor: &Tensor, shape: &[usize]) -> String {
        let numbers = (tensor.dtype == Dtype::F32).then(|| Numbers::Stored(tensor.clone()));
        self.initializer(name, tensor, shape, numbers);
        name.to_owned()
    }

    /// An initializer that points at the tensor where it lies, of the type of those `numbers` that are handed over for it.
    fn initializer(&mut self, name: &str, tensor: &Tensor, shape: &[usize], numbers: Option<Numbers>) {
        if !self.known.insert(name.to_owned()) {
            return;
        }
        let file = self.weights.files().nth(tensor.file).unwrap_or(Path::new(""));
        let location = file.strip_prefix(&self.folder).unwrap_or(file).to_string_lossy();
        let data_type = match numbers {
            Some(Numbers::Narrowed(_)) => DataType::Float16,
            Some(Numbers::Stored(_) | Numbers::Converted(_)) => DataType::Float,
            None => data_type(tensor.dtype),
        };
        let proto = TensorProto::external(name, data_type, dims(shape), &location, tensor.offset, tensor.length);
        self.graph.initializer.push(proto);
        let handed = numbers.map(|numbers| Initializer { name: name.to_owned(), shape: shape.to_vec(), numbers });
        self.tensors.extend(handed);
    }

    /// ONNX Runtime casts what does not change once, when it opens the graph.
    fn widened(&mut self, dtype: Dtype, value: String) -> String {
        match dtype {
            Dtype::F32 => value,
            Dtype::F64 | Dtype::F16 | Dtype::Bf16 => {
                self.node("Cast", &[&value], &format!("{value}.float32"), &[cast_to(DataType::Float)])
            }
        }
    }

    pub(super) fn constant(&mut self, name: &str, values: &[i64]) -> String {
        if self.known.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto::int64s(name, values));
        }
        name.to_owned()
    }

    pub(super) fn scalar(&mut self, name: &str, value: i64) -> String {
        if self.known.insert(name.to_owned()) {
            let dims = Vec::new();
            self.graph.initializer.push(TensorProto { dims, ..TensorProto::int64s(name, &[value]) });
        }
        name.to_owned()
    }

    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[Attribute]) -> String {
        self.node_of("", operator, inputs, output, attributes)
    }

    /// The same, where it is not there yet.
    pub(super) fn node_once(&mut self, operator: &str, inputs: &[&str], output: &str) -> String {
        if self.known.insert(output.to_owned()) {
            self.node(operator, inputs, output, &[]);
        }
        output.to_owned()
    }

    /// A node of an operator of `domain`; gives its output.
    pub(super) fn node_of(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[Attribute],
    ) -> String {
        self.push(domain, operator, inputs, &[output], attributes);
        output.to_owned()
    }

    /// A node of an operator of our own, which computes `layer`; gives its output.
    pub(super) fn layer(&mut self, operator: &str, layer: Layer, inputs: &[&str], output: &str) -> String {
        let place = i64::try_from(self.layers.len()).unwrap_or(i64::MAX);
        self.layers.push(layer);
        self.node_of(OURS, operator, inputs, output, &[Attribute::Int(LAYER, place)])
    }

    /// Two equal parts of `values` along an axis.
    pub(super) fn halves(&mut self, values: &str, axis: i64, outputs: [&str; 2]) {
        self.push("", "Split", &[values], &outputs, &[Attribute::Int("axis", axis), Attribute::Int("num_outputs", 2)]);
    }

    fn push(&mut self, domain: &str, operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Attribute]) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: outputs.first().copied().unwrap_or_default().to_owned(),
            op_type: operator.into(),
            attribute: attributes.iter().map(|&attribute| attribute.into()).collect(),
            domain: domain.into(),
        });
    }

    pub(super) fn output(&mut self, name: &str, dims: &[&str]) {
        self.graph.output.push(ValueInfo::tensor(name, DataType::Float, dims));
    }

    /// What a value is called that becomes the output `name`.
    pub(super) fn before(&self, name: &str) -> String {
        if self.half() { format!("{name}.float16") } else { name.to_owned() }
    }

    /// Puts out what was computed under the name that [`Self::before`] gave.
    pub(super) fn put_out(&mut self, name: &str, dims: &[&str]) {
        if self.half() {
            self.node("Cast", &[&self.before(name)], name, &[cast_to(DataType::Float)]);
        }
        self.output(name, dims);
    }

    /// The graph, of these inputs.
    pub(super) fn finish(mut self, inputs: &[(&str, &[&str])]) -> Assembled {
        let whole = if self.on_cuda() { DataType::Int32 } else { DataType::Int64 };
        let input = |(name, dims): &(&str, &[&str])| ValueInfo::tensor(name, whole, dims);
        self.graph.input = inputs.iter().map(input).collect();
        let opset = |(domain, version): (&str, i64)| OperatorSetId { domain: domain.into(), version };
        let ours = (!self.layers.is_empty()).then_some((OURS, 1));
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "bge-fast".into(),
            opset_import: [("", OPSET), (CONTRIB, 1)].into_iter().chain(ours).map(opset).collect(),
            graph: Some(self.graph),
        };
        Assembled {
            proto: model.encode_to_vec(),
            folder: self.folder,
            tensors: self.tensors,
            packed: matches!(self.operators, Operators::Cuda),
            layers: Arc::new(self.layers),
        }
    }
}

fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

fn data_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::F32 => DataType::Float,
        Dtype::F64 => DataType::Double,
        Dtype::F16 => DataType::Float16,
        Dtype::Bf16 => DataType::Bfloat16,
    }
}

/// The attribute of a Cast.
pub(super) fn cast_to(data_type: DataType) -> Attribute {
    Attribute::Int("to", i64::from(data_type as i32))
}

/// The deepest folder that holds all files: shards may be links to different places.
fn common_folder<'a>(files: impl Iterator<Item = &'a Path>) -> PathBuf {
    let mut folders = files.filter_map(Path::parent);
    let mut common: Vec<Component> = folders.next().map(|folder| folder.components().collect()).unwrap_or_default();
    for folder in folders {
        let same = common.iter().zip(folder.components()).take_while(|(one, other)| *one == other).count();
        common.truncate(same);
    }
    common.iter().collect()
}
