//! The part of ONNX's protobuf format that an assembled graph needs. Field numbers are those of `onnx.proto3`.

use prost::{Message, Oneof};

/// Element types of tensors, as `TensorProto.DataType` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DataType {
    Float = 1,
    Int32 = 6,
    Int64 = 7,
    Float16 = 10,
    Double = 11,
    Bfloat16 = 16,
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub enum Attribute {
    Int(&'static str, i64),
    Float(&'static str, f32),
    Ints(&'static str, &'static [i64]),
}

#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

impl From<Attribute> for AttributeProto {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::Float(name, f) => Self { name: name.into(), f, r#type: 1, ..Self::default() },
            Attribute::Int(name, i) => Self { name: name.into(), i, r#type: 2, ..Self::default() },
            Attribute::Ints(name, ints) => {
                Self { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Self::default() }
            }
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<KeyValue>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

impl TensorProto {
    /// Whole numbers, kept in the graph itself.
    pub fn int64s(name: &str, values: &[i64]) -> Self {
        let dims = vec![i64::try_from(values.len()).unwrap_or(i64::MAX)];
        let int64_data = values.to_vec();
        Self { dims, int64_data, name: name.into(), data_type: DataType::Int64 as i32, ..Self::default() }
    }

    /// Numbers, kept in the graph itself.
    pub fn floats(name: &str, dims: Vec<i64>, values: Vec<f32>) -> Self {
        Self { dims, float_data: values, name: name.into(), data_type: DataType::Float as i32, ..Self::default() }
    }

    /// The same in any type, of their bytes.
    pub fn raw(name: &str, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> Self {
        Self { dims, raw_data, name: name.into(), data_type: data_type as i32, ..Self::default() }
    }

    /// `length` bytes of the file `location`, a path below the folder that the session is told.
    pub fn external(name: &str, data_type: DataType, dims: Vec<i64>, location: &str, offset: u64, length: u64) -> Self {
        let entry = |key: &str, value: String| KeyValue { key: key.into(), value };
        let external_data = vec![
            entry("location", location.into()),
            entry("offset", offset.to_string()),
            entry("length", length.to_string()),
        ];
        let data_type = data_type as i32;
        Self { dims, data_type, name: name.into(), external_data, data_location: 1, ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An input or output of the graph.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

impl ValueInfo {
    /// A tensor whose dimensions have these names, or sizes where a name is a number.
    pub fn tensor(name: &str, data_type: DataType, dims: &[&str]) -> Self {
        let dim = dims.iter().map(|&dim| Dimension {
            value: Some(dim.parse().map_or_else(|_| DimensionValue::Name(dim.into()), DimensionValue::Size)),
        });
        let tensor = TensorType { elem_type: data_type as i32, shape: Some(Shape { dim: dim.collect() }) };
        Self { name: name.into(), r#type: Some(TypeProto { tensor: Some(tensor) }) }
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum DimensionValue {
    #[prost(int64, tag = "1")]
    Size(i64),
    #[prost(string, tag = "2")]
    Name(String),
}
