//! The opened sessions of a model: for one query at a time and, once there is bulk work, for many runs at a time; each in the
//! forms of the graph that calls needed.

use std::sync::Arc;

use super::device::Device;
use super::graph_file::GraphFile;
use super::lanes::Lane;
use super::place::{Group, Place};
use super::queue::Queue;
use crate::batch::{Capacity, Layout};
use crate::graph::{Checkpoint, Form, Network};
use crate::ort::{Graph, HandedOver, Library, Placement, Session};
use crate::outputs::Outputs;
use crate::prepared::{Arithmetic, Prepared};
use crate::{Error, Result};

/// Bulk work that is worth opening another session: that takes about as long as saving a quarter of these batches.
const WORTH_OPENING: usize = 32;

/// Where a model's graphs come from.
pub enum GraphSource {
    /// One `.onnx` file, which serves as every form.
    File(GraphFile),
    /// A checkpoint, which gives each form its own graph.
    Checkpoint(Checkpoint),
}

impl GraphSource {
    /// Whether it is a decoder.
    fn decodes(&self) -> bool {
        matches!(self, Self::Checkpoint(checkpoint) if matches!(checkpoint.network(), Network::Decoder(_)))
    }
}

/// The sessions of one model, opened as they are needed.
pub struct Sessions {
    library: &'static Library,
    source: GraphSource,
    handed: Option<Arc<HandedOver>>,
    /// Graphs are made of operators of our own.
    ours: bool,
    /// Texts lie one behind the other.
    packed: bool,
    /// Computed in 16 bits, but where more is needed.
    half: bool,
    device: Device,
    process: u32,
    first: Form,
    pub(super) queries: Group,
    bulk: Option<Group>,
}

impl Sessions {
    /// Opens the session for queries, in the form `first`; hidden states have `dimension` numbers. `devices` are the CPU or CUDA
    /// devices, which run one call together.
    ///
    /// # Errors
    /// Those of [`Session::open`]; [`Error::ModelFormat`] for a graph without the outputs of `first` or of another width.
    pub fn open(
        library: &'static Library,
        source: GraphSource,
        devices: &[Device],
        arithmetic: Arithmetic,
        first: Form,
        dimension: usize,
    ) -> Result<Self> {
        let device = *devices.first().ok_or_else(|| Error::Value("no device is named".into()))?;
        device.check(arithmetic)?;
        let (mut handed, mut ours, mut packed, mut half) = (None, false, false, false);
        if let GraphSource::Checkpoint(checkpoint) = &source {
            let prepared = Prepared::new(Arc::clone(checkpoint.weights()), arithmetic, device.threads());
            handed = Some(Arc::new(HandedOver::new(Arc::new(prepared))));
            ours = device.takes_our_operators(arithmetic) || (source.decodes() && !device.is_cuda());
            packed = ours || (device.is_cuda() && checkpoint.packs_on_cuda());
            half = device.is_cuda() && checkpoint.narrows_on_cuda() && arithmetic.is_narrow();
        }
        let lanes = |placements: Vec<Placement>| Arc::new(placements.into_iter().map(Lane::new).collect::<Vec<_>>());
        let queries = lanes(devices.iter().map(|device| device.for_queries()).collect());
        // On CUDA queries and bulk work run the same sessions.
        let bulk = if device.is_cuda() {
            Some(Arc::clone(&queries))
        } else {
            device.for_bulk().map(|placement| lanes(vec![placement]))
        };
        let first = if packed && device.is_cuda() { Form { layout: Layout::Few, ..first } } else { first };
        let sessions = Self {
            library,
            source,
            handed,
            ours,
            packed,
            half,
            device,
            process: std::process::id(),
            first,
            queries: Group::new(queries),
            bulk: bulk.map(Group::new),
        };
        let place = sessions.for_batches(1)?;
        for lane in sessions.queries.lanes.iter() {
            let session = place.session_on(lane, first)?.ok_or_else(changing)?;
            session.check_outputs(first.outputs)?;
            session.check_width(dimension)?;
        }
        Ok(sessions)
    }

    /// Where a call of this many batches runs. The first call with many starts the sessions for bulk work.
    ///
    /// # Errors
    /// [`Error::ForkedProcess`].
    pub fn for_batches(&self, batches: usize) -> Result<Place<'_>> {
        // Before any lock: in a forked child nobody may be left to open it.
        self.check_process()?;
        let group = match &self.bulk {
            Some(bulk) if batches >= WORTH_OPENING || (batches > 1 && bulk.any()) => bulk,
            _ => &self.queries,
        };
        Ok(Place { sessions: self, group })
    }

    /// What one run takes, of at most `rows` texts.
    #[must_use]
    pub fn capacity(&self, rows: usize, outputs: Outputs) -> Capacity {
        let capacity = self.device.capacity(rows, self.packed, !outputs.of_texts());
        // In 16 bits a decoder's attention keeps no scores.
        let alone = if self.half && self.source.decodes() { usize::MAX } else { capacity.alone };
        Capacity { alone, ..capacity }
    }

    /// Whether it computes in 16 bits.
    #[must_use]
    pub fn half(&self) -> bool {
        self.half
    }

    /// What runs them: of several devices the first.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Execution providers that the session for queries gave nodes to, with the number of nodes.
    ///
    /// # Errors
    /// Those of [`Session::providers`].
    pub fn providers(&self) -> Result<Vec<(String, usize)>> {
        self.for_batches(1)?.session(self.first)?.map_or_else(|| Ok(Vec::new()), |session| session.providers())
    }

    /// Whether graphs are made of operators of our own.
    #[must_use]
    pub fn own_operators(&self) -> bool {
        self.ours
    }

    /// Whether a run may take so long that it has to be stopped in its midst, which our own operators can.
    #[must_use]
    pub fn runs_take_long(&self) -> bool {
        self.source.decodes() && !self.device.is_cuda()
    }

    /// The form that was opened first.
    #[must_use]
    pub fn first(&self) -> Form {
        self.first
    }

    /// Where the graphs come from.
    #[must_use]
    pub fn source(&self) -> &GraphSource {
        &self.source
    }

    /// Sees that nobody wrote to the files since they were opened.
    ///
    /// # Errors
    /// [`Error::ForkedProcess`]; [`Error::ModelFormat`] that names the file.
    pub fn check(&self) -> Result<()> {
        self.check_process()?;
        match &self.source {
            GraphSource::File(graph) => graph.check_unchanged(),
            GraphSource::Checkpoint(checkpoint) => checkpoint.weights().check_unchanged(),
        }
    }

    fn check_process(&self) -> Result<()> {
        if std::process::id() == self.process { Ok(()) } else { Err(Error::ForkedProcess) }
    }

    /// Whether the files are still those that were opened first.
    fn in_place(&self) -> bool {
        match &self.source {
            GraphSource::File(graph) => graph.in_place(),
            GraphSource::Checkpoint(checkpoint) => checkpoint.weights().in_place(),
        }
    }

    /// The form that serves as `form`.
    pub(super) fn served_by(&self, form: Form) -> Form {
        match &self.source {
            // A file has only one, which takes every batch.
            GraphSource::File(_) => Form { half: false, ..Form::of(Outputs::NONE, Layout::Masked) },
            // Who looks to the left only sees no padding behind.
            GraphSource::Checkpoint(_) if self.source.decodes() && self.device.is_cuda() => {
                Form { layout: Layout::Plain, half: form.half && self.half, ..form }
            }
            GraphSource::Checkpoint(_) if self.packed => {
                // What overflowed in float16 is rare.
                let few = form.layout == Layout::Few && form.half;
                let layout = if few { Layout::Few } else { Layout::Packed };
                Form { layout, half: form.half && self.half, ..form }
            }
            GraphSource::Checkpoint(_) => Form { half: false, ..form },
        }
    }

    /// Opens a form; `None` where the files are no longer what they were.
    pub(super) fn open_form(&self, form: Form, lane: &Lane<Arc<Session>>) -> Result<Option<Arc<Session>>> {
        if !self.in_place() {
            return Ok(None);
        }
        let open = || lane.run(|| Session::open(self.library, &self.graph(form)?, lane.placement));
        let session = match (&self.handed, lane.placement) {
            // What is repacked, or copied to a device, is not read again; with `low_memory` everything is.
            (Some(handed), Placement::Cpu { low_memory: false, .. } | Placement::Cuda(_)) => {
                handed.prepared().let_go_behind(open)
            }
            _ => open(),
        }?;
        Ok(self.in_place().then(|| Arc::new(session)))
    }

    /// How many calls wait for a run.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues().into_iter().map(Queue::waiting).sum()
    }

    /// All those that lead to the devices.
    pub(super) fn queues(&self) -> Vec<&Queue> {
        std::iter::once(&self.queries).chain(&self.bulk).map(|group| &group.queue).collect()
    }

    fn graph(&self, form: Form) -> Result<Graph> {
        match (&self.source, &self.handed, self.device) {
            (GraphSource::File(graph), ..) => Ok(Graph::File(graph.path().to_owned())),
            (GraphSource::Checkpoint(checkpoint), Some(handed), Device::Cpu { .. }) => {
                Ok(Graph::Assembled(checkpoint.assemble_with(handed.prepared(), form)?, Arc::clone(handed)))
            }
            (GraphSource::Checkpoint(checkpoint), Some(handed), Device::Cuda { .. }) => {
                Ok(Graph::Assembled(checkpoint.assemble_for_cuda(handed.prepared(), form)?, Arc::clone(handed)))
            }
            (GraphSource::Checkpoint(_), None, _) => Err(Error::Internal("a checkpoint without its weights".into())),
        }
    }
}

fn changing() -> Error {
    Error::ModelFormat("the model's files were replaced while they were opened. Open the model again".into())
}
