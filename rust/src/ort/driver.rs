//! Copies between host and a CUDA device, by the driver's own library: it has one name on every system, and ONNX Runtime has no
//! call for it.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use ::ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use libloading::Library;

use super::Placement;
use crate::{Error, Result};

type Status = c_int;

/// Where the tensors of a run lie that is captured.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// On the CUDA device of this index.
    Cuda(i32),
    /// Where everybody reaches them: the same without a device.
    #[cfg(test)]
    Host,
}

impl Memory {
    pub(super) fn info(self) -> ::ort::Result<MemoryInfo<'static>> {
        let (device, index) = match self {
            Self::Cuda(index) => (AllocationDevice::CUDA, index),
            #[cfg(test)]
            Self::Host => (AllocationDevice::CPU, 0),
        };
        MemoryInfo::new(device, index, AllocatorType::Device, MemoryType::Default)
    }

    /// Makes the device the calling thread's.
    pub(super) fn enter(self) -> Result<()> {
        match self {
            Self::Cuda(index) => Driver::get()?.enter(index),
            #[cfg(test)]
            Self::Host => Ok(()),
        }
    }

    /// Copies numbers to an address there, where they are when this returns.
    ///
    /// # Safety
    /// It has room for them.
    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    pub(super) unsafe fn to_device(self, address: u64, numbers: &[i32]) -> Result<()> {
        match self {
            Self::Cuda(_) => unsafe { Driver::get()?.to_device(address, numbers) },
            #[cfg(test)]
            Self::Host => {
                unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), address as *mut i32, numbers.len()) };
                Ok(())
            }
        }
    }

    /// Copies numbers from an address there.
    ///
    /// # Safety
    /// It holds so many.
    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    pub(super) unsafe fn to_host(self, numbers: &mut [f32], address: u64) -> Result<()> {
        match self {
            Self::Cuda(_) => unsafe { Driver::get()?.to_host(numbers, address) },
            #[cfg(test)]
            Self::Host => {
                unsafe { std::ptr::copy_nonoverlapping(address as *const f32, numbers.as_mut_ptr(), numbers.len()) };
                Ok(())
            }
        }
    }
}

/// Whether a device is still there after a failure: the driver says of one that is not whatever it is asked.
pub(crate) fn answers(placement: Placement) -> bool {
    match placement {
        Placement::Cpu { .. } => true,
        Placement::Cuda(index) => Driver::get().and_then(|driver| driver.answer(index)).is_ok(),
    }
}

/// The few functions that are called.
struct Driver {
    retain: unsafe extern "C" fn(*mut *mut c_void, c_int) -> Status,
    set_current: unsafe extern "C" fn(*mut c_void) -> Status,
    to_device: unsafe extern "C" fn(u64, *const c_void, usize) -> Status,
    to_host: unsafe extern "C" fn(*mut c_void, u64, usize) -> Status,
    synchronize: unsafe extern "C" fn() -> Status,
}

static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();

impl Driver {
    /// The driver, once ONNX Runtime uses it.
    fn get() -> Result<&'static Self> {
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

    /// The context that ONNX Runtime uses too.
    #[expect(unsafe_code, reason = "the context lives as long as the process: it is never released")]
    fn enter(&self, index: i32) -> Result<()> {
        let mut context = std::ptr::null_mut();
        unsafe {
            check((self.retain)(&raw mut context, index))?;
            check((self.set_current)(context))
        }
    }

    #[expect(unsafe_code, reason = "waits for what is running, nothing else")]
    fn answer(&self, index: i32) -> Result<()> {
        self.enter(index)?;
        unsafe { check((self.synchronize)()) }
    }

    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    unsafe fn to_device(&self, device: u64, numbers: &[i32]) -> Result<()> {
        unsafe {
            check((self.to_device)(device, numbers.as_ptr().cast(), size_of_val(numbers)))?;
            // Of few bytes the copy may still be on its way, and ONNX Runtime's stream does not wait for it.
            check((self.synchronize)())
        }
    }

    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    unsafe fn to_host(&self, numbers: &mut [f32], device: u64) -> Result<()> {
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
