//! Nodes and outputs of a graph in the making.

mod constants;
mod initializers;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use prost::Message;

use self::initializers::data_type;
use super::decoder::PAST;
use super::external::common_folder;
use super::onnx::{Attribute, DataType, GraphProto, ModelProto, NodeProto, OperatorSetId, ValueInfo};
use super::{Assembled, Conversion, Initializer};
use crate::prepared::{Layer, Narrow, Prepared};
use crate::weights::Weights;

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
    /// ONNX Runtime's for CUDA: of encoders on `[tokens, hidden]`, of decoders on `[batch, length, hidden]`.
    Cuda {
        /// Queries, keys and values are one product: of few tokens it takes less time than three, of many it does not make up for
        /// the copies that take it apart.
        merged: bool,
    },
}

impl Operators<'_> {
    fn on_cuda(self) -> bool {
        matches!(self, Self::Cuda { .. })
    }

    fn merges(self) -> bool {
        matches!(self, Self::Cuda { merged: true })
    }
}

/// A graph in the making. A value is known by its name.
pub(super) struct Builder<'a> {
    weights: &'a Weights,
    conversion: Conversion<'a>,
    operators: Operators<'a>,
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

    /// Whether layers are ONNX Runtime's operators for CUDA.
    pub(super) fn on_cuda(&self) -> bool {
        self.operators.on_cuda()
    }

    /// Whether queries, keys and values are one product there.
    pub(super) fn merges(&self) -> bool {
        self.operators.merges()
    }

    /// The type of 16 bits that it computes in, if it does.
    pub(super) fn narrow(&self) -> Option<Narrow> {
        if let Conversion::Narrowed(prepared) = self.conversion { Some(prepared.narrow()) } else { None }
    }

    /// Whether it computes in 16 bits.
    pub(super) fn half(&self) -> bool {
        self.narrow().is_some()
    }

    /// `values` in the 16 bits that it computes in, or as they are.
    pub(super) fn narrowed(&mut self, values: &str) -> String {
        let Some(kind) = self.narrow() else { return values.to_owned() };
        let to = [cast_to(data_type(kind.dtype()))];
        self.node_once("Cast", &[values], &format!("{values}.narrow"), &to)
    }

    /// Narrow `values` as float32.
    pub(super) fn float32(&mut self, values: &str) -> String {
        if !self.half() {
            return values.to_owned();
        }
        self.node_once("Cast", &[values], &format!("{values}.float32"), &[cast_to(DataType::Float)])
    }

    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[Attribute]) -> String {
        self.node_of("", operator, inputs, output, attributes)
    }

    /// The same, where it is not there yet.
    pub(super) fn node_once(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[Attribute],
    ) -> String {
        if self.known.insert(output.to_owned()) {
            self.node(operator, inputs, output, attributes);
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

    /// A node of several outputs, the first of which it gives; the others have names that nobody else has.
    pub(super) fn node_with(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[Attribute],
    ) -> String {
        self.push(domain, operator, inputs, outputs, attributes);
        outputs.first().copied().unwrap_or_default().to_owned()
    }

    /// Equal parts of `values` along an axis.
    pub(super) fn split(&mut self, values: &str, axis: i64, parts: &[&str]) {
        let count = i64::try_from(parts.len()).unwrap_or(i64::MAX);
        self.push("", "Split", &[values], parts, &[Attribute::Int("axis", axis), Attribute::Int("num_outputs", count)]);
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
        if self.half() { format!("{name}.narrow") } else { name.to_owned() }
    }

    /// Puts out what was computed under the name that [`Self::before`] gave.
    pub(super) fn put_out(&mut self, name: &str, dims: &[&str]) {
        if self.half() {
            self.node("Cast", &[&self.before(name)], name, &[cast_to(DataType::Float)]);
        }
        self.output(name, dims);
    }

    /// The graph, of these inputs.
    pub(super) fn finish<N: AsRef<str>, D: AsRef<[S]>, S: AsRef<str>>(mut self, inputs: &[(N, D)]) -> Assembled {
        let whole = if self.on_cuda() { DataType::Int32 } else { DataType::Int64 };
        let input = |(name, dims): &(N, D)| {
            let (name, dims): (_, Vec<&str>) = (name.as_ref(), dims.as_ref().iter().map(AsRef::as_ref).collect());
            ValueInfo::tensor(name, if name == PAST { DataType::Float } else { whole }, &dims)
        };
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
            on_cuda: self.operators.on_cuda(),
            captured: self.operators.merges(),
            layers: Arc::new(self.layers),
        }
    }
}

/// The attribute of a Cast.
pub(super) fn cast_to(data_type: DataType) -> Attribute {
    Attribute::Int("to", i64::from(data_type as i32))
}
