//! A small graph for tests of those who run graphs.

use prost::Message;

use super::onnx::{Attribute, DataType, GraphProto, ModelProto, NodeProto, OperatorSetId, TensorProto, ValueInfo};
use super::{FIRST_TOKENS, STARTS, TOKEN_OFFSETS};

/// With the inputs of a graph for CUDA: puts out the id of the first token of each text, for each of them the sum of all numbers
/// that come in, and the id of each token.
pub(crate) fn sums() -> Vec<u8> {
    let vectors = ["input_ids", "position_ids", STARTS, FIRST_TOKENS];
    let mut graph = GraphProto { name: "sums".into(), ..GraphProto::default() };
    let mut node = |operator: &str, inputs: &[&str], output: &str, attributes: &[Attribute]| {
        graph.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            name: output.into(),
            op_type: operator.into(),
            attribute: attributes.iter().map(|&attribute| attribute.into()).collect(),
            domain: String::new(),
        });
    };
    let floats = Attribute::Int("to", i64::from(DataType::Float as i32));
    node("Gather", &["input_ids", FIRST_TOKENS], "first", &[]);
    node("Cast", &["first"], "first.float", &[floats]);
    node("Reshape", &["first.float", "column"], "dense_vecs", &[]);
    for name in vectors.iter().chain(&[TOKEN_OFFSETS]) {
        node("Reshape", &[name, "flat"], &format!("{name}.flat"), &[]);
    }
    let flat: Vec<String> = vectors.iter().chain(&[TOKEN_OFFSETS]).map(|name| format!("{name}.flat")).collect();
    let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
    node("Concat", &flat, "all", &[Attribute::Int("axis", 0)]);
    node("Cast", &["all"], "all.float", &[floats]);
    node("ReduceSum", &["all.float"], "sum", &[Attribute::Int("keepdims", 1)]);
    node("Sub", &["dense_vecs", "dense_vecs"], "nothing", &[]);
    node("Add", &["nothing", "sum"], "logits", &[]);
    node("Cast", &["input_ids"], "ids.float", &[floats]);
    node("Reshape", &["ids.float", "tokens"], "sparse_vecs", &[]);
    let shapes: [(&str, &[i64]); 3] = [("flat", &[-1]), ("column", &[-1, 1]), ("tokens", &[1, -1, 1])];
    graph.initializer = shapes.map(|(name, shape)| TensorProto::int64s(name, shape)).into();
    graph.input = vectors.iter().map(|name| ValueInfo::tensor(name, DataType::Int32, &["any"])).collect();
    graph.input.push(ValueInfo::tensor(TOKEN_OFFSETS, DataType::Int32, &["texts", "longest"]));
    graph.output =
        ["dense_vecs", "logits"].map(|name| ValueInfo::tensor(name, DataType::Float, &["texts", "1"])).into();
    graph.output.push(ValueInfo::tensor("sparse_vecs", DataType::Float, &["one", "tokens", "1"]));
    let opset_import = vec![OperatorSetId { domain: String::new(), version: 20 }];
    let model = ModelProto { ir_version: 9, producer_name: "tests".into(), graph: Some(graph), opset_import };
    model.encode_to_vec()
}
