//! Token ids → the inputs of a run: texts of like length together, under a token budget.

mod inputs;
mod plan;

pub use self::inputs::{Architecture, Encoding, Inputs};
pub use self::plan::{Batch, TOKEN_BUDGET, plan, split_by_length};
