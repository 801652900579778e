//! One opened graph. Batches go in, output tensors come out.

use std::ffi::{CStr, CString};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::ptr::{NonNull, null};
use std::sync::Arc;

use ::ort::AsPointer;
use ::ort::session::Session as OrtSession;
use ::ort::sys::OrtValue;
use ::ort::value::{DynValue, Outlet};

use super::captured::{Captured, Signature, while_nothing_is_captured};
use super::driver::Memory;
use super::environment::without_variables;
use super::options::{self, Ours, Placement};
use super::signature::{self, Input, LaidOut};
use super::threads::startable;
use super::values::{FedTensor, Feed, Values};
use super::{HandedOver, Library, operators};
use crate::batch::Inputs;
use crate::graph::Assembled;
use crate::outputs::{Outputs, Part};
use crate::{Error, Result};

/// Where a graph lies.
pub enum Graph {
    /// An `.onnx` file; external data lies in its folder.
    File(PathBuf),
    /// A graph in memory that points at a checkpoint's tensors.
    Assembled(Assembled, Arc<HandedOver>),
}

impl Graph {
    fn ours(&self) -> Ours {
        match self {
            Self::File(_) => Ours::default(),
            Self::Assembled(graph, _) => Ours { on_cuda: graph.on_cuda, captured: graph.captured },
        }
    }
}

/// An opened graph that any number of threads may run at once.
pub struct Session {
    // Threads of a session do not survive a fork; a child must not run their clean-up either.
    opened: ManuallyDrop<OrtSession>,
    process: u32,
    inputs: signature::Inputs,
    outputs: Vec<(Part, CString)>,
    /// On CUDA: the runs of few texts.
    captured: Option<ManuallyDrop<Captured>>,
    on_cuda: bool,
    // Dropped after the session that reads them.
    _handed: Option<Arc<HandedOver>>,
}

impl Session {
    /// Opens a graph.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for a graph with other inputs or outputs, or one that ONNX Runtime refuses; [`Error::Device`] where
    /// the device cannot be used.
    pub(crate) fn open(library: &Library, graph: &Graph, placement: Placement) -> Result<Self> {
        check_threads(placement)?;
        match placement {
            Placement::Cpu { .. } => without_variables(|| Self::open_now(library, graph, placement)),
            // There one chooses between speed and plans by shape; the performance page says when to set it.
            Placement::Cuda(_) => {
                let _shared = while_nothing_is_captured();
                Self::open_now(library, graph, placement)
            }
        }
    }

    fn open_now(library: &Library, graph: &Graph, placement: Placement) -> Result<Self> {
        let mut builder = options::options(library, placement, graph.ours())?;
        let (session, handed) = match graph {
            Graph::File(path) => (builder.commit_from_file(path), None),
            Graph::Assembled(assembled, handed) => {
                let mut builder = handed.hand_over(builder, assembled, placement)?;
                if !assembled.layers.is_empty() {
                    let with = |domain| Ok::<_, ::ort::Error>(builder.with_operators(domain)?);
                    builder = operators::domain(&assembled.layers).and_then(with).map_err(failed)?;
                }
                (builder.commit_from_memory(&assembled.proto), Some(Arc::clone(handed)))
            }
        };
        let session = session.map_err(|error| refused(&error, placement))?;
        let (inputs, outputs) = (signature::inputs(session.inputs())?, signature::outputs(session.outputs())?);
        let captured = match placement {
            Placement::Cuda(index) if graph.ours().captured => {
                Some(ManuallyDrop::new(Captured::new(Memory::Cuda(index))))
            }
            _ => None,
        };
        let (process, on_cuda) = (std::process::id(), matches!(placement, Placement::Cuda(_)));
        Ok(Self { opened: ManuallyDrop::new(session), process, inputs, outputs, captured, on_cuda, _handed: handed })
    }

    /// Sees that the graph has these outputs.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] naming what it has instead.
    pub fn check_outputs(&self, outputs: Outputs) -> Result<()> {
        self.output_names(outputs).map(|_| ())
    }

    /// Sees that hidden states have so many numbers, where the graph declares it.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] with both widths.
    pub fn check_width(&self, dimension: usize) -> Result<()> {
        let states = self
            .outputs
            .iter()
            .filter(|(part, _)| matches!(part, Part::Cls | Part::HiddenStates | Part::Mean | Part::Last));
        let declared = |(_, name): &(Part, CString)| signature::width(self.opened.outputs(), name.to_str().ok()?);
        match states.filter_map(declared).find(|&width| width != dimension) {
            Some(width) => Err(Error::ModelFormat(format!(
                "the graph's vectors have {width} numbers, config.json says hidden_size {dimension}"
            ))),
            None => Ok(()),
        }
    }

    /// The inputs that the graph asks for.
    ///
    /// # Errors
    /// [`Error::Internal`] where ONNX Runtime takes no tensor of that shape.
    pub fn feed<'a>(&self, inputs: &'a Inputs) -> Result<Feed<'a>> {
        if self.captured.is_some() {
            return Ok(Feed::Few(inputs));
        }
        let tensor = |(_, input): &(CString, Input)| match self.inputs.laid_out {
            LaidOut::Anyhow => input.padded(inputs),
            LaidOut::Packed => input.packed(inputs).map(FedTensor::Owned),
            LaidOut::Decoder => input.of_decoder(inputs).map(FedTensor::Owned),
        };
        let tensors: ::ort::Result<_> = self.inputs.named.iter().map(tensor).collect();
        tensors.map(Feed::Tensors).map_err(failed)
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
        let tensors = match feed {
            Feed::Tensors(tensors) => tensors,
            Feed::Few(inputs) => return self.run_few(inputs, outputs),
        };
        let _shared = self.on_cuda.then(while_nothing_is_captured);
        let names: Vec<_> = self.inputs.named.iter().map(|(name, _)| name.as_ptr()).collect();
        let inputs: Vec<*const OrtValue> = tensors.iter().map(FedTensor::ptr).collect();
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
            values.into_iter().map(own).collect::<Result<_>>().map(Values::Tensors)
        }
    }

    fn run_few(&self, inputs: &Inputs, outputs: Outputs) -> Result<Values> {
        let captured = self.captured.as_ref().ok_or_else(|| Error::Internal("the graph is not captured".into()))?;
        let output = |name: &CStr| signature::output(self.opened.outputs(), name);
        let outputs: Option<Vec<_>> = self.output_names(outputs)?.into_iter().map(output).collect();
        let outputs = outputs.ok_or_else(|| Error::Internal("an output has no width".into()))?;
        let signature = Signature { inputs: &self.inputs.named, outputs: &outputs };
        captured.run(&self.opened, &signature, inputs).map(Values::Few)
    }

    /// Execution providers that the opened session gave nodes to, with the number of nodes.
    ///
    /// # Errors
    /// [`Error::Internal`] where ONNX Runtime does not tell.
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
            Part::Cls | Part::HiddenStates | Part::Mean | Part::Last if names.contains(&"logits") => {
                ". A graph with logits is a reranker, not an embedder"
            }
            Part::Cls | Part::HiddenStates | Part::Mean | Part::Last => {
                ". A graph that pools by itself cannot be used: export it with the hidden states of all tokens"
            }
            Part::Logits => ". A graph without logits is an embedder, not a reranker",
            _ => "",
        };
        // Our own names of rows mean nothing to who made the graph.
        let wanted = part.names().iter().find(|&&name| !["dense_vecs", "mean_vecs"].contains(&name)).unwrap_or(&"");
        Error::ModelFormat(format!("the graph has no output \"{wanted}\", only {names:?}{hint}"))
    }
}

impl Drop for Session {
    #[expect(unsafe_code, reason = "dropped once, here, and only by the process that opened it")]
    fn drop(&mut self) {
        if std::process::id() == self.process {
            let _shared = self.on_cuda.then(while_nothing_is_captured);
            self.captured.iter_mut().for_each(|captured| unsafe { ManuallyDrop::drop(captured) });
            unsafe { ManuallyDrop::drop(&mut self.opened) };
        }
    }
}

/// What is wrong where a graph could not be opened: often the graph, and sometimes the machine.
fn refused(error: &::ort::Error, placement: Placement) -> Error {
    let said = error.to_string();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match placement {
        Placement::Cuda(index) => Error::Device(format!("cuda:{index} cannot run this graph: {said}")),
        Placement::Cpu { .. } if has(&["bad_alloc", "Failed to allocate memory", "Cannot allocate memory"]) => {
            Error::OutOfMemory(format!("there is no memory to open the graph: {said}"))
        }
        Placement::Cpu { threads, .. } if has(&["pthread_create"]) => Error::Device(no_threads(threads, 0)),
        Placement::Cpu { .. } => Error::ModelFormat(format!("ONNX Runtime cannot open the graph: {said}")),
    }
}

fn no_threads(wanted: usize, started: usize) -> String {
    format!(
        "the system lets this process start only {started} more threads, and threads={wanted} needs {}. Pass a smaller threads=, \
         or raise the limit of processes or of memory",
        wanted - 1
    )
}

/// A run's threads but the caller's own are ONNX Runtime's.
fn check_threads(placement: Placement) -> Result<()> {
    let Placement::Cpu { threads, .. } = placement else { return Ok(()) };
    let wanted = threads.saturating_sub(1);
    match startable(wanted) {
        started if started < wanted => Err(Error::Device(no_threads(threads, started))),
        _ => Ok(()),
    }
}

#[expect(unsafe_code, reason = "takes over a status that the C API just returned")]
pub(super) fn check(status: ::ort::sys::OrtStatusPtr) -> Result<()> {
    unsafe { ::ort::Error::result_from_status(status) }.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
pub(super) fn failed(error: ::ort::Error) -> Error {
    let said = error.to_string();
    let has = |words: &str| said.contains(words);
    if has("Failed to allocate memory") || has("out of memory") || has("ALLOC_FAILED") {
        return Error::OutOfMemory(format!("ONNX Runtime has no memory for this run: {said}"));
    }
    Error::Internal(format!("ONNX Runtime failed: {said}"))
}
