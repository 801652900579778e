//! Token ids → the inputs of a run: texts of like length together, under a token budget.

mod inputs;
mod plan;

pub use self::inputs::{InputRules, Inputs, Past, Positions};
pub use self::plan::{Batch, CUDA_TOKEN_BUDGET, Capacity, Layout, Mixed, TOKEN_BUDGET, plan};
