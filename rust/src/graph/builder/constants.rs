//! Numbers that a graph holds itself.

use super::Builder;
use super::initializers::dims;
use crate::Result;
use crate::graph::onnx::{DataType, TensorProto};
use crate::prepared::float32;

impl Builder<'_> {
    pub(in crate::graph) fn constant(&mut self, name: &str, values: &[i64]) -> String {
        if self.known.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto::int64s(name, values));
        }
        name.to_owned()
    }

    pub(in crate::graph) fn scalar(&mut self, name: &str, value: i64) -> String {
        if self.known.insert(name.to_owned()) {
            let dims = Vec::new();
            self.graph.initializer.push(TensorProto { dims, ..TensorProto::int64s(name, &[value]) });
        }
        name.to_owned()
    }

    /// The same as int32.
    pub(in crate::graph) fn scalar32(&mut self, name: &str, value: i32) -> String {
        if self.known.insert(name.to_owned()) {
            let raw_data = value.to_le_bytes().to_vec();
            self.graph.initializer.push(TensorProto::raw(name, DataType::Int32, Vec::new(), raw_data));
        }
        name.to_owned()
    }

    /// A row of a matrix as float32, `[columns]`.
    pub(in crate::graph) fn row(&mut self, name: &str, matrix: &str, row: usize) -> Result<String> {
        let Some(&[height, width]) = self.weights.shape(matrix) else {
            return self.height(matrix).map(|_| String::new());
        };
        let tensor = self.find(matrix, &[height, width])?;
        let mut numbers = vec![0.0; width];
        float32::read_row(self.weights.bytes(&tensor), &tensor, row, 0..tensor.shape[1], &mut numbers);
        self.graph.initializer.push(TensorProto::floats(name, dims(&[width]), numbers));
        Ok(name.to_owned())
    }

    /// Few numbers, as float32 whatever the graph computes in.
    pub(in crate::graph) fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> String {
        if self.known.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto::floats(name, dims(shape), values));
        }
        name.to_owned()
    }

    /// One number.
    pub(in crate::graph) fn number(&mut self, value: f32) -> String {
        let name = format!("number_{value}");
        if self.known.insert(name.clone()) {
            self.graph.initializer.push(TensorProto::floats(&name, Vec::new(), vec![value]));
        }
        name
    }
}
