//! ONNX Library: its library, its options, one opened graph. The only room that names the crate `ort`.

mod handed;
mod library;
mod options;
mod session;

pub use self::handed::HandedOver;
pub use self::library::Library;
pub use self::options::Placement;
pub use self::session::{Feed, Graph, Session, Values};
