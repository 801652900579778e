//! Which sessions are open, and who runs what on which device.

mod gate;
mod sessions;
mod work;

pub(crate) use self::gate::Gate;
pub use self::sessions::{Device, Place, Sessions, Source, available_threads};
pub(crate) use self::work::{Outcome, RunError, Watcher, Work};
