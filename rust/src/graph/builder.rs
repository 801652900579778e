//! Nodes, initializers and outputs of a graph in the making.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use prost::Message;

use super::Assembled;
use super::onnx::{Attribute, DataType, GraphProto, ModelProto, NodeProto, OperatorSetId, TensorProto, ValueInfo};
use crate::weights::{Dtype, Tensor, Weights};
use crate::{Error, Result};

/// ONNX Runtime's own operators.
pub(super) const CONTRIB: &str = "com.microsoft";
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;

/// A graph in the making. A value is known by its name.
pub(super) struct Builder<'a> {
    weights: &'a Weights,
    prefix: &'static str,
    folder: PathBuf,
    graph: GraphProto,
    tensors: Vec<(String, Tensor)>,
    known: HashSet<String>,
    part: String,
}

impl<'a> Builder<'a> {
    pub(super) fn new(weights: &'a Weights) -> Result<Self> {
        let graph = GraphProto { name: "encoder".into(), ..GraphProto::default() };
        let prefix = weights.encoder_prefix()?;
        let folder = common_folder(weights.files());
        Ok(Self { weights, prefix, folder, graph, tensors: Vec::new(), known: HashSet::new(), part: String::new() })
    }

    /// Rows of the table `name.weight`, taken by id. A table of 16-bit numbers stays as it is; only its rows are widened.
    pub(super) fn rows(&mut self, name: &str, shape: &[usize], ids: &str) -> Result<String> {
        let table = format!("{name}.weight");
        let tensor = self.find(&table, shape)?;
        let stored = self.stored(&table, &tensor, shape);
        let rows = self.node("Gather", &[&stored, ids], name, &[]);
        Ok(self.widened(tensor.dtype, rows))
    }

    /// The first row of a table.
    pub(super) fn table_row(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let mut tensor = self.find(name, shape)?;
        tensor.length /= u64::try_from(shape[0]).unwrap_or(u64::MAX);
        tensor.shape = shape[1..].to_vec();
        let row = self.stored(&format!("{name}[0]"), &tensor, &shape[1..]);
        Ok(self.widened(tensor.dtype, row))
    }

    /// The tensor as float32.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let tensor = self.find(name, shape)?;
        let stored = self.stored(name, &tensor, shape);
        Ok(self.widened(tensor.dtype, stored))
    }

    /// As [`Self::weight`], of a tensor outside of the encoder.
    pub(super) fn head_weight(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let tensor = self.weights.find(name, shape)?.clone();
        let stored = self.stored(name, &tensor, shape);
        Ok(self.widened(tensor.dtype, stored))
    }

    /// Rows of a head's matrix.
    pub(super) fn head_width(&self, name: &str) -> Result<usize> {
        match self.weights.shape(name) {
            Some(&[width, _]) => Ok(width),
            Some(shape) => {
                Err(Error::ModelFormat(format!("the tensor {name} has the shape {shape:?}, not two dimensions")))
            }
            None => self.weights.find(name, &[]).map(|_| 0),
        }
    }

    /// What the names of the encoder's tensors start with.
    pub(super) fn prefix(&self) -> &'static str {
        self.prefix
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weights.find(&format!("{}{name}", self.prefix), shape).cloned()
    }

    /// An initializer that points at the tensor where it lies.
    fn stored(&mut self, name: &str, tensor: &Tensor, shape: &[usize]) -> String {
        if self.known.insert(name.to_owned()) {
            let file = self.weights.files().nth(tensor.file).unwrap_or(Path::new(""));
            let location = file.strip_prefix(&self.folder).unwrap_or(file).to_string_lossy();
            let dims = shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
            let data_type = data_type(tensor.dtype);
            let proto = TensorProto::external(name, data_type, dims, &location, tensor.offset, tensor.length);
            self.graph.initializer.push(proto);
            if tensor.dtype == Dtype::F32 {
                self.tensors.push((name.to_owned(), tensor.clone()));
            }
        }
        name.to_owned()
    }

    /// ONNX Runtime casts what does not change once, when it opens the graph.
    fn widened(&mut self, dtype: Dtype, value: String) -> String {
        match dtype {
            Dtype::F32 => value,
            Dtype::F16 | Dtype::Bf16 => {
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

    /// From here on the names of values end with `part`.
    pub(super) fn in_part(&mut self, part: &str) {
        part.clone_into(&mut self.part);
    }

    /// The two halves of a layer's tokens.
    pub(super) fn split(&mut self, values: &str, layer: usize) -> [String; 2] {
        let halves = [0, 1].map(|half| format!("encoder.layer.{layer}.attention.{half}"));
        self.graph.node.push(NodeProto {
            input: vec![values.to_owned()],
            output: halves.to_vec(),
            name: format!("encoder.layer.{layer}.split"),
            op_type: "Split".into(),
            attribute: vec![Attribute::Int("axis", 1).into(), Attribute::Int("num_outputs", 2).into()],
            domain: String::new(),
        });
        halves
    }

    pub(super) fn node_of(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[Attribute],
    ) -> String {
        let output = format!("{output}{}", self.part);
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: operator.into(),
            attribute: attributes.iter().map(|&attribute| attribute.into()).collect(),
            domain: domain.into(),
        });
        output
    }

    pub(super) fn output(&mut self, name: &str, dims: &[&str]) {
        self.graph.output.push(ValueInfo::tensor(name, DataType::Float, dims));
    }

    pub(super) fn finish(mut self, mask: bool, types: bool) -> Assembled {
        let mut names = vec!["input_ids", "position_ids"];
        names.extend(mask.then_some("attention_mask"));
        names.extend(types.then_some("token_type_ids"));
        self.graph.input =
            names.iter().map(|name| ValueInfo::tensor(name, DataType::Int64, &["batch", "length"])).collect();
        let opset = |domain: &str, version| OperatorSetId { domain: domain.into(), version };
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "bge-fast".into(),
            opset_import: vec![opset("", OPSET), opset(CONTRIB, 1)],
            graph: Some(self.graph),
        };
        Assembled { proto: model.encode_to_vec(), folder: self.folder, tensors: self.tensors }
    }
}

fn data_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::F32 => DataType::Float,
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
