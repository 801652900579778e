//! Which sessions are open, and who runs what on which device.

mod device;
mod gate;
mod graph_file;
mod opened;
mod sessions;
mod work;

pub use self::device::{Device, available_threads};
pub use self::graph_file::GraphFile;
pub use self::sessions::{GraphSource, Place, Sessions};
pub(crate) use self::work::{Watcher, Work};
