//! The functions between two linear layers, as nodes.

use super::builder::{Builder, CONTRIB};
use super::onnx::Attribute;
pub use crate::kernels::Activation;
use crate::{Error, Result};

impl Activation {
    /// That of a feed-forward part: `"gelu"`, `"gelu_tanh"`, `"relu"` or `"silu"`.
    ///
    /// # Errors
    /// [`Error::Value`] for another name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "gelu" => Ok(Self::Gelu),
            "gelu_tanh" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "silu" => Ok(Self::Silu),
            _ => Err(Error::Value(format!("unknown activation {name:?}"))),
        }
    }

    /// The function of `values`.
    pub(super) fn of(self, graph: &mut Builder, values: &str, output: &str) -> String {
        match self {
            Self::Gelu => graph.node_of(CONTRIB, "Gelu", &[values], output, &[]),
            Self::GeluTanh => graph.node_of(CONTRIB, "FastGelu", &[values], output, &[]),
            Self::Relu => graph.node("Relu", &[values], output, &[]),
            Self::Silu => graph.node_of(CONTRIB, "QuickGelu", &[values], output, &[Attribute::Float("alpha", 1.0)]),
            Self::Tanh => graph.node("Tanh", &[values], output, &[]),
        }
    }

    /// The function of `values` + `bias`; one operator where ONNX Runtime has it.
    pub(super) fn of_sum(self, graph: &mut Builder, values: &str, bias: &str, output: &str) -> String {
        match self {
            Self::Gelu => graph.node_of(CONTRIB, "BiasGelu", &[values, bias], output, &[]),
            Self::GeluTanh => graph.node_of(CONTRIB, "FastGelu", &[values, bias], output, &[]),
            Self::Relu | Self::Silu | Self::Tanh => {
                let sum = graph.node("Add", &[values, bias], &format!("{output}.sum"), &[]);
                self.of(graph, &sum, output)
            }
        }
    }
}
