//! ONNX Runtime: its library, its options, one opened graph. The only room that names the crate `ort`.

mod handed;
mod library;
mod options;
mod session;

pub use self::handed::SharedWeights;
pub use self::library::Runtime;
pub use self::options::Placement;
pub use self::session::{Graph, Session};
