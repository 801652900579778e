//! The opened sessions of a model: for one query at a time and, once there is bulk work, for many runs at a time; each in the
//! forms of the graph that calls needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{CUDA_TOKEN_BUDGET, Encoding, TOKEN_BUDGET};
use crate::checkpoint::Checkpoint;
use crate::gate::Gate;
use crate::graph::Variant;
use crate::outputs::Outputs;
use crate::runtime::Runtime;
use crate::session::{Graph, Placement, Session, SharedWeights};
use crate::stamp::Stamp;
use crate::{Error, Result};

/// Runs at a time of bulk work; on more cores each run gets several threads.
const MOST_RUNS: usize = 8;
/// Bulk work that is worth opening another session: that takes about as long as saving a quarter of these batches.
const WORTH_OPENING: usize = 32;

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu {
        /// All threads together, at least 1.
        threads: usize,
        /// See [`Placement::Cpu`].
        low_memory: bool,
    },
    /// A CUDA device.
    Cuda {
        /// As CUDA counts the visible devices.
        index: i32,
    },
}

impl Device {
    /// All threads on one run: the shortest time for one query.
    fn for_queries(self) -> Placement {
        match self {
            Self::Cpu { threads, low_memory } => Placement::Cpu { threads, runs: 1, low_memory },
            Self::Cuda { index } => Placement::Cuda(index),
        }
    }

    /// Many runs with few threads each, which on two cores encode 1.2 – 1.4 × as much as one run with both; `None` where
    /// there is nothing to win.
    fn for_bulk(self) -> Option<Placement> {
        match self {
            Self::Cpu { threads, low_memory } if threads > 1 => {
                let each = threads.div_ceil(MOST_RUNS);
                Some(Placement::Cpu { threads: each, runs: threads / each, low_memory })
            }
            _ => None,
        }
    }
}

/// Where a model's graphs come from.
pub enum Source {
    /// One `.onnx` file, which serves as every form.
    File(PathBuf),
    /// A checkpoint, which gives each form its own graph.
    Checkpoint(Checkpoint),
}

impl Source {
    fn form(&self, variant: Variant) -> Variant {
        match self {
            Self::File(_) => Variant::of(Outputs::NONE, true),
            Self::Checkpoint(_) => variant,
        }
    }
}

/// The sessions of one model, opened as they are needed.
pub struct Sessions {
    runtime: &'static Runtime,
    source: Source,
    shared: Option<Arc<SharedWeights>>,
    device: Device,
    encoding: Encoding,
    process: u32,
    /// Of a graph's file when it was first opened.
    stamp: Option<Stamp>,
    first: Variant,
    queries: Group,
    bulk: Option<Group>,
}

impl Sessions {
    /// Opens the session for queries, in the form `first`.
    ///
    /// # Errors
    /// Those of [`Session::open`]; [`Error::ModelFormat`] for a graph without the outputs of `first`.
    pub fn open(
        runtime: &'static Runtime,
        source: Source,
        device: Device,
        encoding: Encoding,
        first: Variant,
    ) -> Result<Self> {
        let shared = match &source {
            Source::File(_) => None,
            Source::Checkpoint(checkpoint) => Some(Arc::new(SharedWeights::new(Arc::clone(checkpoint.weights())))),
        };
        let sessions = Self {
            runtime,
            stamp: if let Source::File(path) = &source { Stamp::at(path) } else { None },
            source,
            shared,
            device,
            encoding,
            process: std::process::id(),
            first,
            queries: Group::new(device.for_queries()),
            bulk: device.for_bulk().map(Group::new),
        };
        let session = sessions.for_batches(1)?.session(first)?.ok_or_else(changing)?;
        session.check_outputs(first.outputs)?;
        Ok(sessions)
    }

    /// Where a call of this many batches runs. The first call with many starts the sessions for bulk work.
    ///
    /// # Errors
    /// [`Error::ForkedProcess`].
    pub fn for_batches(&self, batches: usize) -> Result<Place<'_>> {
        // Before any lock: in a forked child nobody may be left to open it.
        if std::process::id() != self.process {
            return Err(Error::ForkedProcess);
        }
        let group = match &self.bulk {
            Some(bulk) if batches >= WORTH_OPENING || (batches > 1 && bulk.is_open()) => bulk,
            _ => &self.queries,
        };
        Ok(Place { sessions: self, group })
    }

    /// Tokens of one run, padding included.
    #[must_use]
    pub fn token_budget(&self) -> usize {
        if let Device::Cpu { .. } = self.device { TOKEN_BUDGET } else { CUDA_TOKEN_BUDGET }
    }

    /// Threads for tokenizing.
    #[must_use]
    pub fn threads(&self) -> usize {
        if let Device::Cpu { threads, .. } = self.device { threads } else { available_threads() }
    }

    /// Execution providers that the session for queries gave nodes to, with the number of nodes.
    ///
    /// # Errors
    /// Those of [`Session::providers`].
    pub fn providers(&self) -> Result<Vec<(String, usize)>> {
        self.for_batches(1)?.session(self.first)?.map_or_else(|| Ok(Vec::new()), |session| session.providers())
    }

    /// Where the graphs come from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the files are still those that were opened first.
    fn unchanged(&self) -> bool {
        match &self.source {
            Source::File(path) => Stamp::at(path) == self.stamp,
            Source::Checkpoint(checkpoint) => checkpoint.weights().unchanged(),
        }
    }

    /// Does `open`. What it repacks is not read again; with `low_memory` everything is.
    fn let_go_behind<R>(&self, open: impl FnOnce() -> R) -> R {
        match (&self.shared, self.device) {
            (Some(shared), Device::Cpu { low_memory: false, .. }) => shared.weights().let_go_behind(open),
            _ => open(),
        }
    }

    fn graph(&self, variant: Variant) -> Result<Graph> {
        match (&self.source, &self.shared) {
            (Source::Checkpoint(checkpoint), Some(shared)) => {
                Ok(Graph::Assembled(checkpoint.assemble(variant)?, Arc::clone(shared)))
            }
            (Source::File(path), _) => Ok(Graph::File(path.clone())),
            (Source::Checkpoint(_), None) => Err(Error::Internal("a checkpoint without its weights".into())),
        }
    }
}

/// The sessions that one call uses.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    sessions: &'a Sessions,
    group: &'a Group,
}

impl Place<'_> {
    /// The session for a form, opened now if this is the first call that needs it. `None` where the files are no longer what
    /// they were: one object never mixes two models, so it goes on with what is open.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub fn session(&self, variant: Variant) -> Result<Option<Arc<Session>>> {
        let Self { sessions, group } = self;
        let variant = sessions.source.form(variant);
        let mut open = group.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.get(&variant) {
            return Ok(Some(Arc::clone(session)));
        }
        if sessions.unchanged() {
            let graph = sessions.graph(variant)?;
            let (placement, gate) = (group.placement, Arc::clone(&group.gate));
            let start = || Session::open(sessions.runtime, &graph, placement, sessions.encoding, gate);
            let session = sessions.let_go_behind(start)?;
            if sessions.unchanged() {
                return Ok(Some(Arc::clone(open.entry(variant).or_insert(Arc::new(session)))));
            }
        }
        drop(open);
        Ok(sessions.queries.open.lock().unwrap_or_else(PoisonError::into_inner).get(&variant).cloned())
    }

    /// Runs at a time.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.group.placement.runs()
    }
}

/// Sessions with the same placement. They take turns as one.
struct Group {
    placement: Placement,
    gate: Arc<Gate>,
    open: Mutex<HashMap<Variant, Arc<Session>>>,
}

impl Group {
    fn new(placement: Placement) -> Self {
        Self { placement, gate: Arc::new(Gate::new(placement.runs())), open: Mutex::default() }
    }

    fn is_open(&self) -> bool {
        !self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

fn changing() -> Error {
    Error::ModelFormat("the model's files were replaced while they were opened. Open the model again".into())
}

/// Threads this process may use at once, by affinity and cgroup quota.
#[must_use]
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_work_uses_the_threads_that_queries_use() {
        let bulk = |threads| Device::Cpu { threads, low_memory: false }.for_bulk();
        let cpu = |threads, runs| Some(Placement::Cpu { threads, runs, low_memory: false });
        assert_eq!(bulk(1), None);
        assert_eq!(bulk(2), cpu(1, 2));
        assert_eq!(bulk(8), cpu(1, 8));
        assert_eq!(bulk(12), cpu(2, 6));
        assert_eq!(bulk(64), cpu(8, 8));
        assert_eq!(Device::Cuda { index: 1 }.for_bulk(), None);
    }
}
