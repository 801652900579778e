//! Which sessions are open, and who runs what on which device.

mod device;
mod graph_file;
mod interruptible;
mod lanes;
mod opened;
mod place;
mod queue;
mod sessions;
mod watcher;
mod work;
mod worker;

pub use self::device::{Device, available_threads};
pub use self::graph_file::GraphFile;
pub(crate) use self::interruptible::interruptible;
pub use self::place::Place;
pub(crate) use self::queue::{Permit, TakenAlong, Turn};
pub use self::sessions::{GraphSource, Sessions};
pub use self::watcher::Patience;
pub(crate) use self::watcher::Watcher;
pub(crate) use self::work::{Event, Work};
