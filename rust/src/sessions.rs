//! A model's graph, opened for one query at a time and, once there is bulk work, for many runs at a time.

use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::Result;
use crate::batch::Encoding;
use crate::runtime::Runtime;
use crate::session::{Graph, Placement, Session};

/// Runs at a time of bulk work; on more cores each run gets several threads.
const MOST_RUNS: usize = 8;
/// Bulk work that is worth opening a second session: that takes about as long as saving a quarter of these batches.
const WORTH_OPENING: usize = 32;

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU, on this many threads, at least 1.
    Cpu {
        /// All of them together.
        threads: usize,
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
            Self::Cpu { threads } => Placement::Cpu { threads, runs: 1 },
            Self::Cuda { index } => Placement::Cuda(index),
        }
    }

    /// Many runs with few threads each, which on two cores encode 1.2 – 1.4 × as much as one run with both; `None` where
    /// there is nothing to win.
    fn for_bulk(self) -> Option<Placement> {
        match self {
            Self::Cpu { threads } if threads > 1 => {
                let each = threads.div_ceil(MOST_RUNS);
                Some(Placement::Cpu { threads: each, runs: threads / each })
            }
            _ => None,
        }
    }
}

/// The opened sessions of one graph.
pub struct Sessions {
    runtime: &'static Runtime,
    graph: Graph,
    device: Device,
    encoding: Encoding,
    queries: Session,
    bulk: OnceLock<Session>,
    opening: Mutex<()>,
    stamp: Option<Stamp>,
}

/// What a file is known by, as long as nobody replaces it: device, inode, size, and time of the last change.
type Stamp = (u64, u64, u64, i64);

impl Sessions {
    /// Opens the session for queries.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub fn open(runtime: &'static Runtime, graph: Graph, device: Device, encoding: Encoding) -> Result<Self> {
        let stamp = stamp(&graph);
        let queries = Session::open(runtime, &graph, device.for_queries(), encoding)?;
        Ok(Self { runtime, graph, device, encoding, queries, bulk: OnceLock::new(), opening: Mutex::new(()), stamp })
    }

    /// The session for queries.
    #[must_use]
    pub fn queries(&self) -> &Session {
        &self.queries
    }

    /// The session for a call of this many batches. The first call with many opens the one for bulk work.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub fn for_batches(&self, batches: usize) -> Result<&Session> {
        self.queries.check_process()?;
        match (self.bulk.get(), self.device.for_bulk()) {
            (Some(bulk), _) if batches > 1 => Ok(bulk),
            (None, Some(placement)) if batches >= WORTH_OPENING => self.open_bulk(placement),
            _ => Ok(&self.queries),
        }
    }

    /// Threads for tokenizing.
    #[must_use]
    pub fn threads(&self) -> usize {
        if let Device::Cpu { threads } = self.device { threads } else { available_threads() }
    }

    fn open_bulk(&self, placement: Placement) -> Result<&Session> {
        let _guard = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bulk) = self.bulk.get() {
            return Ok(bulk);
        }
        // A model that was replaced or deleted since goes on with what is open: one object never mixes two models.
        if stamp(&self.graph) != self.stamp {
            return Ok(&self.queries);
        }
        let bulk = Session::open(self.runtime, &self.graph, placement, self.encoding)?;
        if stamp(&self.graph) != self.stamp {
            return Ok(&self.queries);
        }
        Ok(self.bulk.get_or_init(|| bulk))
    }
}

fn stamp(graph: &Graph) -> Option<Stamp> {
    let Graph::File(path) = graph else { return None };
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.mtime_nsec() + file.mtime() * 1_000_000_000))
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
        let bulk = |threads| Device::Cpu { threads }.for_bulk();
        assert_eq!(bulk(1), None);
        assert_eq!(bulk(2), Some(Placement::Cpu { threads: 1, runs: 2 }));
        assert_eq!(bulk(8), Some(Placement::Cpu { threads: 1, runs: 8 }));
        assert_eq!(bulk(12), Some(Placement::Cpu { threads: 2, runs: 6 }));
        assert_eq!(bulk(64), Some(Placement::Cpu { threads: 8, runs: 8 }));
        assert_eq!(Device::Cuda { index: 1 }.for_bulk(), None);
    }
}
