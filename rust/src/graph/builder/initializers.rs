//! What a graph in the making takes from a checkpoint: where a tensor lies in its file, or its numbers.

use std::path::Path;

use super::{Builder, cast_to};
use crate::graph::onnx::{DataType, TensorProto};
use crate::graph::{Conversion, Initializer};
use crate::prepared::{Numbers, float32};
use crate::weights::{Dtype, Tensor};
use crate::{Error, Result};

impl Builder<'_> {
    /// Rows of a table, taken by id. A table of 16-bit numbers stays as it is; only its rows are widened.
    pub(in crate::graph) fn rows(&mut self, table: &str, shape: &[usize], ids: &str, output: &str) -> Result<String> {
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
    pub(in crate::graph) fn first_row(&mut self, table: &str, shape: &[usize]) -> Result<String> {
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
    pub(in crate::graph) fn small(&mut self, name: &str, shape: &[usize]) -> Result<String> {
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
    pub(in crate::graph) fn numbers(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<String> {
        if self.known.insert(name.to_owned()) {
            let tensor = match self.narrow() {
                Some(kind) => TensorProto::raw(name, data_type(kind.dtype()), dims(shape), kind.bytes(name, &values)?),
                None => TensorProto::floats(name, dims(shape), values),
            };
            self.graph.initializer.push(tensor);
        }
        Ok(name.to_owned())
    }

    /// The numbers of a tensor, for what is computed while the graph is made.
    pub(in crate::graph) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.find(name, shape)?;
        Ok(float32::numbers(self.weights.bytes(&tensor), &tensor))
    }

    /// A matrix. One that is prepared is shared by all sessions; its node must be one that ONNX Runtime does not compute
    /// when it opens the graph, since it would read the file then and not what it is handed.
    pub(in crate::graph) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<String> {
        let tensor = self.find(name, &shape)?;
        let beforehand = matches!(self.conversion, Conversion::Prepared(_));
        if tensor.strides.is_some() || (beforehand && tensor.dtype != Dtype::F32) || self.half() {
            return self.converted(name, &tensor);
        }
        let stored = self.stored(name, &tensor, &shape);
        Ok(self.widened(tensor.dtype, stored))
    }

    /// A tensor made float32 or narrowed, row by row, beforehand. ONNX Runtime only sees that the file that the graph points at is there: what it
    /// is handed counts.
    fn converted(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        let numbers = match self.conversion {
            Conversion::Prepared(prepared) => Some(prepared.float32(name, tensor)?),
            // What is stored in that type already is read where it lies.
            Conversion::Narrowed(prepared) if tensor.strides.is_none() && tensor.dtype == prepared.narrow().dtype() => {
                None
            }
            Conversion::Narrowed(prepared) => Some(prepared.narrowed(name, tensor)?),
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
    pub(in crate::graph) fn height(&self, name: &str) -> Result<usize> {
        match self.weights.shape(name) {
            Some(&[height, _]) => Ok(height),
            Some(shape) => {
                Err(Error::ModelFormat(format!("the tensor {name} has the shape {shape:?}, not two dimensions")))
            }
            None => self.weights.find(name, &[]).map(|_| 0),
        }
    }

    pub(super) fn find(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
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
            Some(Numbers::Narrowed(_, kind)) => data_type(kind.dtype()),
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
}

pub(super) fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

pub(super) fn data_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::F32 => DataType::Float,
        Dtype::F64 => DataType::Double,
        Dtype::F16 => DataType::Float16,
        Dtype::Bf16 => DataType::Bfloat16,
    }
}
