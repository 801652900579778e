//! The opened sessions of a model: for one query at a time and, once there is bulk work, for many runs at a time; each in the
//! forms of the graph that calls needed.

use std::sync::Arc;

use super::device::Device;
use super::graph_file::GraphFile;
use super::opened::Opened;
use super::queue::{Permit, Queue};
use super::watcher::Watcher;
use super::worker::Worker;
use crate::batch::{Capacity, Layout};
use crate::graph::{Checkpoint, Form, Network};
use crate::ort::{Feed, Graph, HandedOver, Library, Placement, Session, Values};
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

/// The sessions of one model, opened as they are needed.
pub struct Sessions {
    library: &'static Library,
    source: GraphSource,
    handed: Option<Arc<HandedOver>>,
    /// Graphs are made of operators of our own.
    ours: bool,
    /// Texts lie one behind the other.
    packed: bool,
    /// Computed in float16, but where more is needed.
    half: bool,
    device: Device,
    worker: Option<Worker>,
    process: u32,
    first: Form,
    queries: Group,
    bulk: Option<Group>,
}

impl Sessions {
    /// Opens the session for queries, in the form `first`; hidden states have `dimension` numbers.
    ///
    /// # Errors
    /// Those of [`Session::open`]; [`Error::ModelFormat`] for a graph without the outputs of `first` or of another width.
    pub fn open(
        library: &'static Library,
        source: GraphSource,
        device: Device,
        arithmetic: Arithmetic,
        first: Form,
        dimension: usize,
    ) -> Result<Self> {
        let (mut handed, mut ours, mut packed) = (None, false, false);
        if let GraphSource::Checkpoint(checkpoint) = &source {
            let prepared = Prepared::new(Arc::clone(checkpoint.weights()), arithmetic, device.threads());
            handed = Some(Arc::new(HandedOver::new(Arc::new(prepared))));
            let decodes = matches!(checkpoint.network(), Network::Decoder(_));
            ours = decodes || device.takes_our_operators(arithmetic);
            packed = ours || (device.is_cuda() && checkpoint.packs_on_cuda());
        }
        let open = Arc::<Opened<_, _>>::default();
        // On a device queries and bulk work run the same sessions.
        let of_bulk = if device.is_cuda() { Arc::clone(&open) } else { Arc::default() };
        let few = packed && device.is_cuda();
        let first = if few { Form { layout: Layout::Few, ..first } } else { first };
        let sessions = Self {
            library,
            source,
            handed,
            ours,
            packed,
            half: packed && arithmetic == Arithmetic::Float16,
            device,
            worker: device.is_cuda().then(|| Worker::new(device.to_string())),
            process: std::process::id(),
            first,
            queries: Group::new(device.for_queries(), open),
            bulk: device.for_bulk().map(|placement| Group::new(placement, of_bulk)),
        };
        let session = sessions.for_batches(1)?.session(first)?.ok_or_else(changing)?;
        session.check_outputs(first.outputs)?;
        session.check_width(dimension)?;
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
            Some(bulk) if batches >= WORTH_OPENING || (batches > 1 && bulk.open.any()) => bulk,
            _ => &self.queries,
        };
        Ok(Place { sessions: self, group })
    }

    /// What one run takes, of at most `rows` texts.
    #[must_use]
    pub fn capacity(&self, rows: usize, outputs: Outputs) -> Capacity {
        self.device.capacity(rows, self.packed, !outputs.first_row_only())
    }

    /// Whether it computes in float16.
    #[must_use]
    pub fn half(&self) -> bool {
        self.half
    }

    /// What runs them.
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

    /// Whether a run may take so long that it has to be stopped in its midst.
    #[must_use]
    pub fn runs_take_long(&self) -> bool {
        matches!(&self.source, GraphSource::Checkpoint(checkpoint) if matches!(checkpoint.network(), Network::Decoder(_)))
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
    fn served_by(&self, form: Form) -> Form {
        match &self.source {
            // A file has only one, which takes every batch.
            GraphSource::File(_) => Form { half: false, ..Form::of(Outputs::NONE, Layout::Masked) },
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
    fn open_form(&self, form: Form, placement: Placement) -> Result<Option<Arc<Session>>> {
        if !self.in_place() {
            return Ok(None);
        }
        let open = || self.on_device(|| Session::open(self.library, &self.graph(form)?, placement));
        let session = match (&self.handed, placement) {
            // What is repacked, or copied to a device, is not read again; with `low_memory` everything is.
            (Some(handed), Placement::Cpu { low_memory: false, .. } | Placement::Cuda(_)) => {
                handed.prepared().let_go_behind(open)
            }
            _ => open(),
        }?;
        Ok(self.in_place().then(|| Arc::new(session)))
    }

    /// Does `work` on the thread of the device, where it has one.
    fn on_device<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        match &self.worker {
            Some(worker) => worker.run(work),
            None => work(),
        }
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

/// The sessions that one call uses.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    sessions: &'a Sessions,
    group: &'a Group,
}

impl<'a> Place<'a> {
    /// The session for a form, opened now if this is the first call that needs it. `None` where the files are no longer what
    /// they were: one object never mixes two models, so it goes on with what is open.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub fn session(&self, form: Form) -> Result<Option<Arc<Session>>> {
        let Self { sessions, group } = self;
        let form = sessions.served_by(form);
        let session = group.open.get_or_open(form, || sessions.open_form(form, group.placement))?;
        Ok(session.or_else(|| sessions.queries.open.get(form)))
    }

    /// Threads that work on the batches of a call.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.sessions.device.workers(self.group.placement.runs())
    }

    /// Whether a CUDA device runs the batches.
    pub(crate) fn on_device(&self) -> bool {
        self.sessions.device.is_cuda()
    }

    /// Runs a batch.
    ///
    /// # Errors
    /// Those of [`Session::run`]; [`Error::Device`].
    pub(crate) fn run(&self, session: &Session, feed: &Feed, outputs: Outputs) -> Result<Values> {
        self.sessions.on_device(|| session.run(feed, outputs))
    }

    /// Those who wait for a run here.
    pub(crate) fn queue(&self) -> &'a Queue {
        &self.group.queue
    }

    /// Waits until there is a run to spare. Bulk work first lets a query by that runs or waits.
    pub(crate) fn enter(&self, watcher: &mut Watcher) -> Result<Permit<'a>> {
        let queries = &self.sessions.queries;
        if !std::ptr::eq(queries, self.group) {
            queries.queue.let_by(watcher)?;
        }
        self.group.queue.enter_alone(watcher)
    }
}

/// Sessions with the same placement. They take turns as one.
struct Group {
    placement: Placement,
    queue: Queue,
    open: Arc<Opened<Form, Arc<Session>>>,
}

impl Group {
    fn new(placement: Placement, open: Arc<Opened<Form, Arc<Session>>>) -> Self {
        Self { placement, queue: Queue::new(placement.runs()), open }
    }
}

fn changing() -> Error {
    Error::ModelFormat("the model's files were replaced while they were opened. Open the model again".into())
}
