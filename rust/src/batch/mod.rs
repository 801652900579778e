//! Token ids → the inputs of a run: texts of like length together, under a token budget.

mod inputs;
mod plan;

pub use self::inputs::{InputRules, Inputs, Past, Positions};
pub(crate) use self::plan::{ALONE, FEW_SIZES, FEW_TEXTS};
pub use self::plan::{Batch, CUDA_TOKEN_BUDGET, Capacity, Layout, Mixed, PACKED_TOKEN_BUDGET, TOKEN_BUDGET, plan};
