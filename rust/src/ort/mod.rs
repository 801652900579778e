//! ONNX Runtime: its library, its options, one opened graph. The only room that names the crate `ort`.

mod captured;
mod driver;
mod environment;
mod handed;
mod library;
mod operators;
mod options;
mod session;
mod signature;
mod stop;
mod threads;
mod values;

pub(crate) use self::driver::answers;
pub use self::handed::HandedOver;
pub use self::library::Library;
pub use self::options::Placement;
pub use self::session::{Graph, Session};
pub(crate) use self::stop::until_stopped;
pub use self::threads::startable;
pub use self::values::{Feed, Values};
