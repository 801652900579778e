//! The forms that a checkpoint's graph can have.

use crate::batch::Layout;
use crate::outputs::Outputs;

/// One form of a checkpoint's graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// What it puts out. Where that is the first row alone, the last layer computes nothing else.
    pub outputs: Outputs,
    /// Which batches it takes.
    pub layout: Layout,
    /// Computed in float16 where the model is, on a CUDA device.
    pub half: bool,
}
