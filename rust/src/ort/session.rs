//! One opened graph. Batches go in, output tensors come out.

use std::ffi::{CStr, CString};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::ptr::{NonNull, null};
use std::sync::Arc;

use ::ort::AsPointer;
use ::ort::session::Session as OrtSession;
use ::ort::sys::OrtValue;
use ::ort::value::{DynValue, Outlet, TensorRef};

use super::options::{self, Placement};
use super::{HandedOver, Library};
use crate::batch::Inputs;
use crate::graph::Assembled;
use crate::outputs::{Array, Outputs, Part};
use crate::{Error, Result};

/// Where a graph lies.
pub enum Graph {
    /// An `.onnx` file; external data lies in its folder.
    File(PathBuf),
    /// A graph in memory that points at a checkpoint's tensors.
    Assembled(Assembled, Arc<HandedOver>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
    Positions,
}

impl Input {
    fn named(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            "position_ids" => Some(Self::Positions),
            _ => None,
        }
    }
}

/// An opened graph that any number of threads may run at once.
pub struct Session {
    // Threads of a session do not survive a fork; a child must not run their clean-up either.
    opened: ManuallyDrop<OrtSession>,
    process: u32,
    inputs: Vec<(CString, Input)>,
    outputs: Vec<(Part, CString)>,
    // Dropped after the session that reads them.
    _handed: Option<Arc<HandedOver>>,
}

/// The inputs of a run, over the numbers of [`Inputs`].
pub struct Feed<'a>(Vec<TensorRef<'a, i64>>);

/// The outputs of a run.
pub struct Values(Vec<DynValue>);

impl Values {
    /// As numbers, in the order of [`Outputs::iter`].
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for an output that does not hold float32 numbers.
    pub fn arrays(&self) -> Result<Vec<Array<'_>>> {
        self.0.iter().map(array).collect()
    }
}

fn array(value: &DynValue) -> Result<Array<'_>> {
    let (shape, values) = value.try_extract_tensor::<f32>().map_err(|error| {
        Error::ModelFormat(format!("an output of the graph does not hold float32 numbers: {error}"))
    })?;
    Ok(Array { shape, values })
}

impl Session {
    /// Opens a graph.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for a graph with other inputs or outputs, or one that ONNX Runtime refuses; [`Error::Device`] where
    /// the device cannot be used.
    pub(crate) fn open(library: &Library, graph: &Graph, placement: Placement) -> Result<Self> {
        let mut builder = options::options(library, placement)?;
        let (session, handed) = match graph {
            Graph::File(path) => (builder.commit_from_file(path), None),
            Graph::Assembled(assembled, handed) => {
                let mut builder = handed.hand_over(builder, assembled, placement)?;
                (builder.commit_from_memory(&assembled.proto), Some(Arc::clone(handed)))
            }
        };
        let session = session.map_err(|error| match placement {
            Placement::Cpu { .. } => Error::ModelFormat(format!("ONNX Runtime cannot open the graph: {error}")),
            Placement::Cuda(index) => Error::Device(format!("cuda:{index} cannot run this graph: {error}")),
        })?;
        let inputs = session.inputs().iter().map(|input| known_input(input.name())).collect::<Result<_>>()?;
        let outputs = known_outputs(&session)?;
        let process = std::process::id();
        Ok(Self { opened: ManuallyDrop::new(session), process, inputs, outputs, _handed: handed })
    }

    /// Sees that the graph has these outputs.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] naming what it has instead.
    pub fn check_outputs(&self, outputs: Outputs) -> Result<()> {
        self.output_names(outputs).map(|_| ())
    }

    /// The inputs that the graph asks for.
    ///
    /// # Errors
    /// [`Error::Internal`] where ONNX Runtime takes no tensor of that shape.
    pub fn feed<'a>(&self, inputs: &'a Inputs) -> Result<Feed<'a>> {
        let shape = [inputs.rows, inputs.length];
        let tensor = |(_, input): &(CString, Input)| {
            let values: &'a [i64] = match input {
                Input::Ids => &inputs.input_ids,
                Input::Mask => &inputs.attention_mask,
                Input::Types => &inputs.token_type_ids,
                Input::Positions => &inputs.position_ids,
            };
            TensorRef::from_array_view((shape, values)).map_err(failed)
        };
        self.inputs.iter().map(tensor).collect::<Result<_>>().map(Feed)
    }

    /// Runs the graph. Who calls sees to it that a device is not given more runs at a time than it takes.
    ///
    /// The safe method of `ort` takes `&mut self` for execution providers that do not allow concurrent runs; the CPU provider does,
    /// and the others get one run at a time.
    ///
    /// # Errors
    /// [`Error::Internal`] where the run fails.
    #[expect(unsafe_code, reason = "the C API's Run, with pointers that outlive the call")]
    pub fn run(&self, feed: &Feed, outputs: Outputs) -> Result<Values> {
        let names: Vec<_> = self.inputs.iter().map(|(name, _)| name.as_ptr()).collect();
        let inputs: Vec<*const OrtValue> = feed.0.iter().map(|tensor| tensor.ptr()).collect();
        let output_names: Vec<_> = self.output_names(outputs)?.iter().map(|name| name.as_ptr()).collect();
        let mut values: Vec<*mut OrtValue> = vec![std::ptr::null_mut(); output_names.len()];
        unsafe {
            check((::ort::api().Run)(
                self.opened.ptr().cast_mut(),
                null(),
                names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                values.as_mut_ptr(),
            ))?;
            let own = |value| {
                let value = NonNull::new(value).ok_or_else(|| Error::Internal("the run gave no output".into()))?;
                Ok(DynValue::from_ptr(value, Some(self.opened.allocator())))
            };
            values.into_iter().map(own).collect::<Result<_>>().map(Values)
        }
    }

    /// Execution providers that the opened session gave nodes to, with the number of nodes.
    ///
    /// # Errors
    /// [`Error::Internal`] where ONNX Library does not tell.
    #[expect(unsafe_code, reason = "reads a list that the session owns")]
    pub fn providers(&self) -> Result<Vec<(String, usize)>> {
        let api = ::ort::api();
        let mut found: Vec<(String, usize)> = Vec::new();
        let (mut parts, mut count) = (null(), 0);
        unsafe {
            check((api.Session_GetEpGraphAssignmentInfo)(self.opened.ptr(), &raw mut parts, &raw mut count))?;
            for i in 0..count {
                let part = *parts.add(i);
                let (mut name, mut nodes, mut size) = (null(), null(), 0);
                check((api.EpAssignedSubgraph_GetEpName)(part, &raw mut name))?;
                check((api.EpAssignedSubgraph_GetNodes)(part, &raw mut nodes, &raw mut size))?;
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                match found.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, total)) => *total += size,
                    None => found.push((name, size)),
                }
            }
        }
        Ok(found)
    }

    fn output_names(&self, outputs: Outputs) -> Result<Vec<&CStr>> {
        let named = |part| self.outputs.iter().find(|(known, _)| *known == part).map(|(_, name)| name.as_c_str());
        outputs.iter().map(|part| named(part).ok_or_else(|| self.without(part))).collect()
    }

    fn without(&self, part: Part) -> Error {
        let names: Vec<&str> = self.opened.outputs().iter().map(Outlet::name).collect();
        let hint = match part {
            Part::Cls | Part::HiddenStates if names.contains(&"logits") => {
                ". A graph with logits is a reranker, not an embedder"
            }
            Part::Logits => ". A graph without logits is an embedder, not a reranker",
            _ => "",
        };
        Error::ModelFormat(format!("the graph has no output \"{}\", only {names:?}{hint}", part.names()[0]))
    }
}

impl Drop for Session {
    #[expect(unsafe_code, reason = "dropped once, here, and only by the process that opened it")]
    fn drop(&mut self) {
        if std::process::id() == self.process {
            unsafe { ManuallyDrop::drop(&mut self.opened) };
        }
    }
}

fn known_input(name: &str) -> Result<(CString, Input)> {
    let input = Input::named(name).ok_or_else(|| {
        Error::ModelFormat(format!(
            "the graph asks for an input {name:?}; known are input_ids, attention_mask, token_type_ids and position_ids"
        ))
    })?;
    Ok((c_name(name)?, input))
}

/// Every output that we know, each under the best name that the graph has for it.
fn known_outputs(session: &OrtSession) -> Result<Vec<(Part, CString)>> {
    let names: Vec<&str> = session.outputs().iter().map(Outlet::name).collect();
    let found = Part::ALL.into_iter().filter_map(|part| {
        let name = part.names().iter().find(|name| names.contains(name))?;
        Some(c_name(name).map(|name| (part, name)))
    });
    found.collect()
}

fn c_name(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::ModelFormat(format!("the name {name:?} holds a NUL")))
}

#[expect(unsafe_code, reason = "takes over a status that the C API just returned")]
fn check(status: ::ort::sys::OrtStatusPtr) -> Result<()> {
    unsafe { ::ort::Error::result_from_status(status) }.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn failed(error: ::ort::Error) -> Error {
    Error::Internal(format!("ONNX Library failed: {error}"))
}
