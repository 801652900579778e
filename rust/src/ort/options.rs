//! Where and with what options a session runs.

use ::ort::ep;
use ::ort::ep::cuda::AttentionBackend;
use ::ort::session::Session;
use ::ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::Library;
use crate::{Error, Result};

/// How long an idle thread of a session for queries waits for work before it sleeps, in microseconds. ONNX Runtime's own default
/// takes cores from the rest of the process; without any a single query is 1.2 × slower.
const SPIN_MICROSECONDS: &str = "500";

/// What runs a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The CPU.
    Cpu {
        /// Threads of one run.
        threads: usize,
        /// Runs at a time; more callers wait.
        runs: usize,
        /// Leave weights as they are stored instead of repacking a copy for the kernels: a third of the private memory, and
        /// processes share the file's pages; 1.7 × the time of a query.
        low_memory: bool,
    },
    /// A CUDA device, by index as CUDA counts the visible ones; one run at a time.
    Cuda(i32),
}

impl Placement {
    /// Runs at a time.
    #[must_use]
    pub fn runs(self) -> usize {
        if let Self::Cpu { runs, .. } = self { runs } else { 1 }
    }
}

impl std::fmt::Display for Placement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu { .. } => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

/// What a graph of ours for CUDA asks of its session.
#[derive(Clone, Copy, Default)]
pub(super) struct Ours {
    /// It is one.
    pub on_cuda: bool,
    /// Its runs are captured.
    pub captured: bool,
}

/// Options of a session there.
///
/// # Errors
/// [`Error::Device`] where the device cannot be used.
pub(super) fn options(runtime: &Library, placement: Placement, graph: Ours) -> Result<SessionBuilder> {
    let build = || -> ::ort::Result<SessionBuilder> {
        let builder = Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_inter_threads(1)?
            // Shapes change with every call.
            .with_memory_pattern(false)?
            .with_config_entry("session.record_ep_graph_assignment_info", "1")?;
        match placement {
            Placement::Cpu { threads, runs, low_memory } => Ok(builder
                .with_intra_threads(threads)?
                // Spinning threads of one run would take the cores of another: bulk at 0.7 ×.
                .with_intra_op_spinning(runs == 1)?
                .with_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)?
                .with_config_entry("session.disable_prepacking", if low_memory { "1" } else { "0" })?
                // `ort` switches the arena off by default; without it bulk needs 1.7 × the memory.
                .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?),
            Placement::Cuda(index) => Ok(builder
                .with_intra_threads(1)?
                .with_intra_op_spinning(false)?
                .with_config_entry("session.disable_cpu_ep_fallback", if graph.on_cuda { "1" } else { "0" })?
                .with_execution_providers([cuda(index, graph).build().error_on_failure()])?),
        }
    };
    build().map_err(|error| match placement {
        Placement::Cpu { .. } => Error::Internal(format!("ONNX Runtime refuses the session options: {error}")),
        Placement::Cuda(index) => Error::Device(format!("cuda:{index} cannot be used: {error}")),
    })
}

fn cuda(index: i32, Ours { on_cuda, captured }: Ours) -> ep::CUDA {
    // TF32 rounds inputs to 10 bits: fp32 would not be fp32.
    let provider = ep::CUDA::default().with_device_id(index).with_tf32(false);
    if on_cuda {
        // Short texts too: otherwise those in float32 take the kernel that writes all scores to memory.
        let attention = AttentionBackend::FLASH_ATTENTION | AttentionBackend::EFFICIENT_ATTENTION;
        provider.with_attention_backend(attention).with_cuda_graph(captured)
    } else {
        provider
    }
}
