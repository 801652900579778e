//! A tokenizer and a graph that belong together, and the verbs of embedders, M3 and rerankers.

mod embedder;
mod m3;
mod model;
mod reranker;

use self::embedder::place_rows;
pub use self::embedder::{Embeddings, EncodeOptions};
pub use self::m3::{Lexical, M3Options, M3Vectors};
use self::model::WINDOW;
pub use self::model::{Limits, Model, Watch};
pub use self::reranker::ScoreOptions;
