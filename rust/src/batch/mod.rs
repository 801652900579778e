//! Token ids → the inputs of a run: texts of like length together, under a token budget.

mod inputs;
mod padded;
mod plan;

pub use self::inputs::{InputRules, Inputs, Past, Positions};
pub use self::padded::Padded;
pub(crate) use self::plan::{ALONE, FEW_SIZES, FEW_TEXTS, beside_queries};
pub use self::plan::{Batch, CUDA_TOKEN_BUDGET, Capacity, Layout, Mixed, PACKED_TOKEN_BUDGET, TOKEN_BUDGET, plan};
