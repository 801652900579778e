//! Copies between host and a CUDA device, by the driver's own library: it has one name on every system, and ONNX Runtime has no
//! call for it.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

use crate::{Error, Result};

type Status = c_int;

/// The few functions that are called.
pub(super) struct Driver {
    retain: unsafe extern "C" fn(*mut *mut c_void, c_int) -> Status,
    set_current: unsafe extern "C" fn(*mut c_void) -> Status,
    to_device: unsafe extern "C" fn(u64, *const c_void, usize) -> Status,
    to_host: unsafe extern "C" fn(*mut c_void, u64, usize) -> Status,
    synchronize: unsafe extern "C" fn() -> Status,
}

static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();

impl Driver {
    /// The driver, once ONNX Runtime uses it.
    pub(super) fn get() -> Result<&'static Self> {
        let driver = DRIVER.get_or_init(|| Self::open().ok());
        driver.as_ref().ok_or_else(|| Error::Device("the NVIDIA driver (libcuda.so.1) cannot be opened".into()))
    }

    #[expect(unsafe_code, reason = "functions of a documented C library that is kept open for good")]
    fn open() -> std::result::Result<Self, libloading::Error> {
        unsafe {
            let library = std::mem::ManuallyDrop::new(Library::new("libcuda.so.1")?);
            Ok(Self {
                retain: *library.get(b"cuDevicePrimaryCtxRetain")?,
                set_current: *library.get(b"cuCtxSetCurrent")?,
                to_device: *library.get(b"cuMemcpyHtoD_v2")?,
                to_host: *library.get(b"cuMemcpyDtoH_v2")?,
                synchronize: *library.get(b"cuCtxSynchronize")?,
            })
        }
    }

    /// Makes the context that ONNX Runtime uses on this device the calling thread's.
    #[expect(unsafe_code, reason = "the context lives as long as the process: it is never released")]
    pub(super) fn enter(&self, index: i32) -> Result<()> {
        let mut context = std::ptr::null_mut();
        unsafe {
            check((self.retain)(&raw mut context, index))?;
            check((self.set_current)(context))
        }
    }

    /// Copies numbers to the device, where they are when this returns.
    ///
    /// # Safety
    /// `device` is the device's memory and has room for them.
    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    pub(super) unsafe fn to_device(&self, device: u64, numbers: &[i32]) -> Result<()> {
        unsafe {
            check((self.to_device)(device, numbers.as_ptr().cast(), size_of_val(numbers)))?;
            // Of few bytes the copy may still be on its way, and ONNX Runtime's stream does not wait for it.
            check((self.synchronize)())
        }
    }

    /// Copies numbers from the device.
    ///
    /// # Safety
    /// `device` is the device's memory and holds so many.
    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    pub(super) unsafe fn to_host(&self, numbers: &mut [f32], device: u64) -> Result<()> {
        unsafe {
            check((self.synchronize)())?;
            check((self.to_host)(numbers.as_mut_ptr().cast(), device, size_of_val(numbers)))
        }
    }
}

fn check(status: Status) -> Result<()> {
    match status {
        0 => Ok(()),
        status => Err(Error::Device(format!("the NVIDIA driver failed with CUDA error {status}"))),
    }
}
