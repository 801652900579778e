//! What runs a model: threads of the CPU, or a CUDA device.

use crate::batch::{ALONE, CUDA_TOKEN_BUDGET, Capacity, Mixed, PACKED_TOKEN_BUDGET, TOKEN_BUDGET};
use crate::kernels::{Cpu, Vectors};
use crate::ort::Placement;
use crate::prepared::Arithmetic;
use crate::{Error, Result};

/// Runs at a time of bulk work; on more cores each run gets several threads.
const MOST_RUNS: usize = 8;

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
    pub(super) fn for_queries(self) -> Placement {
        match self {
            Self::Cpu { threads, low_memory } => Placement::Cpu { threads, runs: 1, low_memory },
            Self::Cuda { index } => Placement::Cuda(index),
        }
    }

    /// Many runs with few threads each, which on two cores encode 1.2 – 1.4 × as much as one run with both; `None` where
    /// there is nothing to win.
    pub(super) fn for_bulk(self) -> Option<Placement> {
        match self {
            Self::Cpu { threads, low_memory } if threads > 1 => {
                let each = threads.div_ceil(MOST_RUNS);
                Some(Placement::Cpu { threads: each, runs: threads / each, low_memory })
            }
            _ => None,
        }
    }

    /// What one run takes, of at most `rows` texts, which lie one behind the other where they are `packed`; of states that are
    /// put out for each token it takes less.
    #[must_use]
    pub fn capacity(self, rows: usize, packed: bool, of_tokens: bool) -> Capacity {
        let mixed = if packed { Mixed::Packed } else { Mixed::Padded };
        let (tokens, alone) = match self {
            Self::Cpu { .. } => (TOKEN_BUDGET, ALONE),
            Self::Cuda { .. } if packed && !of_tokens => (PACKED_TOKEN_BUDGET, usize::MAX),
            Self::Cuda { .. } if packed => (CUDA_TOKEN_BUDGET, usize::MAX),
            Self::Cuda { .. } => (CUDA_TOKEN_BUDGET, ALONE),
        };
        Capacity { tokens, rows, mixed, alone, few: packed && self.is_cuda() }
    }

    /// Sees that it computes in `arithmetic`.
    ///
    /// # Errors
    /// [`Error::Value`] for a processor that does not.
    pub(super) fn check(self, arithmetic: Arithmetic) -> Result<()> {
        if self.is_cuda() || arithmetic != Arithmetic::Bf16 || Cpu::chosen().bf16.is_some() {
            return Ok(());
        }
        Err(Error::Value(
            "precision=\"bf16\" needs a processor that multiplies bfloat16 (AVX512-BF16 or AMX), and this one does not. Use \
             precision=\"int8\" or \"fp32\""
                .into(),
        ))
    }

    /// Whether checkpoints are run by operators of our own: in float32 only where the processor has vectors for them, since
    /// ONNX Runtime's have kernels for more processors, and not where weights are to be left as they are stored.
    pub(super) fn takes_our_operators(self, arithmetic: Arithmetic) -> bool {
        match (self, arithmetic) {
            (Self::Cuda { .. }, _) | (Self::Cpu { .. }, Arithmetic::Float16) => false,
            (Self::Cpu { .. }, Arithmetic::Bf16 | Arithmetic::Int8 | Arithmetic::Int4) => true,
            (Self::Cpu { low_memory, .. }, Arithmetic::Float32) => {
                !low_memory && Cpu::chosen().vectors != Vectors::Portable
            }
        }
    }

    /// Whether it is a CUDA device.
    pub(super) fn is_cuda(self) -> bool {
        matches!(self, Self::Cuda { .. })
    }

    /// Threads for tokenizing.
    #[must_use]
    pub fn threads(self) -> usize {
        if let Self::Cpu { threads, .. } = self { threads } else { available_threads() }
    }
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
