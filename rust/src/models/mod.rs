//! A tokenizer and a graph that belong together, and the verbs of embedders, M3 and rerankers.

mod batches;
mod beginning;
mod call;
mod counts;
mod embedder;
mod joined;
mod m3;
mod model;
mod pairs;
mod prompted;
mod reranker;
mod shares;
mod warm;
mod windows;

pub use self::counts::Totals;
pub use self::embedder::{Embeddings, EncodeOptions, Limits};
pub use self::m3::{M3Options, M3Vectors};
pub use self::model::{Model, Watch};
pub use self::prompted::PromptOptions;
pub use self::reranker::ScoreOptions;
