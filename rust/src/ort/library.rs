//! The ONNX Runtime library: loaded once a process, from a path that the caller found.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::ort::environment::Environment;

use crate::{Error, Result};

static LOADED: OnceLock<Library> = OnceLock::new();
/// The process whose thread is loading the library; 0 where none is.
static LOADING: AtomicU32 = AtomicU32::new(0);
/// As often, who waits for another thread to load it looks again.
const LOOK: Duration = Duration::from_millis(1);

/// The library in use.
pub struct Library {
    /// File it was loaded from.
    pub path: PathBuf,
    /// Its version, such as `1.31.1`.
    pub version: String,
    /// Execution providers it was built with.
    pub providers: Vec<String>,
    /// `ort` keeps only a weak reference.
    pub(crate) environment: Environment,
}

impl Library {
    /// Loads the library at `path`, an absolute path, after the libraries it depends on.
    ///
    /// A process has one ONNX Runtime: once a library is loaded, later calls return it whatever path they name.
    /// A failed load can be tried again.
    ///
    /// # Errors
    /// [`Error::RuntimeNotFound`] for a file that is missing, no ONNX Runtime or too old.
    pub fn load(path: &Path, dependencies: &[PathBuf]) -> Result<&'static Self> {
        // Loading happens under a lock and before any other call of `ort`, which would look for a library by itself and panic.
        let _turn = Turn::wait()?;
        if let Some(runtime) = LOADED.get() {
            return Ok(runtime);
        }
        for dependency in dependencies {
            ::ort::util::preload_dylib(dependency).map_err(|error| {
                Error::RuntimeNotFound(format!("{} cannot be loaded: {error}", dependency.display()))
            })?;
        }
        let runtime = Self::open(path)?;
        Ok(LOADED.get_or_init(|| runtime))
    }

    /// The library in use, if one was loaded.
    #[must_use]
    pub fn loaded() -> Option<&'static Self> {
        LOADED.get()
    }

    fn open(path: &Path) -> Result<Self> {
        if !path.is_absolute() {
            return Err(Error::RuntimeNotFound(format!("{} is not an absolute path", path.display())));
        }
        // First, since `ort` tells only that a library could not be opened, and not why.
        let version = version(path)?;
        let builder = ::ort::init_from(path).map_err(|error| Error::RuntimeNotFound(explain(path, &error)))?;
        // Failures come back as errors; the same lines on stderr would only be noise in somebody's program.
        let environment = builder
            .with_telemetry(false)
            .with_logger(Arc::new(|_, _, _, _, _| {}))
            .build()
            .map_err(|error| Error::RuntimeNotFound(format!("{} does not start: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), version, providers: providers()?, environment })
    }
}

/// The right to load the library. No mutex: in a forked child one would stay locked by a thread that the child does not have.
struct Turn;

impl Turn {
    fn wait() -> Result<Self> {
        let process = std::process::id();
        loop {
            match LOADING.compare_exchange(0, process, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Ok(Self),
                Err(other) if other != process => return Err(Error::ForkedProcess),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        LOADING.store(0, Ordering::Release);
    }
}

fn explain(path: &Path, error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        reason = format!("{reason}: {inner}");
        source = inner.source();
    }
    format!("the ONNX Runtime library {} cannot be used: {reason}", path.display())
}

#[expect(unsafe_code, reason = "one call of a documented C function of a library that is kept open for good")]
fn version(path: &Path) -> Result<String> {
    let read = || unsafe {
        let library = std::mem::ManuallyDrop::new(libloading::Library::new(path)?);
        let base = library.get::<unsafe extern "C" fn() -> *const ::ort::sys::OrtApiBase>(b"OrtGetApiBase")?();
        let version = CStr::from_ptr(((*base).GetVersionString)());
        Ok(version.to_string_lossy().into_owned())
    };
    read().map_err(|error: libloading::Error| Error::RuntimeNotFound(explain(path, &error)))
}

#[expect(unsafe_code, reason = "the list is read and given back as the C API documents it")]
fn providers() -> Result<Vec<String>> {
    let (mut names, mut count) = (std::ptr::null_mut(), 0);
    unsafe {
        let status = (::ort::api().GetAvailableProviders)(&raw mut names, &raw mut count);
        ::ort::Error::result_from_status(status).map_err(|error| Error::Internal(error.to_string()))?;
        let list = (0..usize::try_from(count).unwrap_or(0))
            .map(|i| CStr::from_ptr(*names.add(i)).to_string_lossy().into_owned())
            .collect();
        let status = (::ort::api().ReleaseAvailableProviders)(names, count);
        ::ort::Error::result_from_status(status).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(list)
    }
}
