//! A checkpoint's tensors as graphs want them: as they are stored, or widened to float32. Each is made once, and all sessions
//! share it.

mod store;
mod widen;

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use self::store::{Region, Store};
use crate::Result;
use crate::weights::{Dtype, Tensor, Weights};

/// As often, pages that were read are let go of: a few dozen MB are read meanwhile.
const RELEASE_INTERVAL: Duration = Duration::from_millis(20);

/// A checkpoint's tensors, and what was made of them.
pub struct Prepared {
    weights: Arc<Weights>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    store: Store,
    widened: HashMap<String, Arc<Region>>,
}

/// The float32 numbers of a tensor, row by row.
#[derive(Clone)]
pub enum Float32 {
    /// In the checkpoint's own file.
    Stored(Tensor),
    /// Widened from 16 bits.
    Widened(Arc<Region>),
}

impl Prepared {
    /// Nothing is made yet.
    #[must_use]
    pub fn new(weights: Arc<Weights>) -> Self {
        Self { weights, made: Mutex::default() }
    }

    /// The tensors as they are stored.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The tensor called `name` as float32, widened now if this is the first time that it is asked for.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] where there is no room for it.
    pub fn float32(&self, name: &str, tensor: &Tensor) -> Result<Float32> {
        if tensor.dtype == Dtype::F32 {
            return Ok(Float32::Stored(tensor.clone()));
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Made { store, widened } = &mut *made;
        if let Some(region) = widened.get(name) {
            return Ok(Float32::Widened(Arc::clone(region)));
        }
        let numbers = widen::blocks(self.weights.bytes(tensor), tensor.dtype);
        let region = Arc::new(store.keep(tensor.length * 2, numbers)?);
        widened.insert(name.to_owned(), Arc::clone(&region));
        Ok(Float32::Widened(region))
    }

    /// The bytes of such numbers. Those of a stored tensor are not aligned to anything.
    #[must_use]
    pub fn bytes<'a>(&'a self, numbers: &'a Float32) -> &'a [u8] {
        match numbers {
            Float32::Stored(tensor) => self.weights.bytes(tensor),
            Float32::Widened(region) => region.bytes(),
        }
    }

    /// Does `work`, which reads these numbers and does not need them again, and lets go of their pages all the while, so that
    /// they are not resident beside what is made of them. Pages come back where they are read again.
    pub fn let_go_behind<R>(&self, work: impl FnOnce() -> R) -> R {
        let (working, done) = mpsc::channel::<()>();
        let follow = move || {
            while done.recv_timeout(RELEASE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                self.release();
            }
            self.release();
        };
        thread::scope(move |scope| {
            // A process that may start no more threads only needs more memory for a while.
            let _ = thread::Builder::new().name("bge-fast-pages".into()).spawn_scoped(scope, follow);
            let _working = working;
            work()
        })
    }

    fn release(&self) {
        self.weights.release();
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.widened.values().for_each(|region| region.release());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::weights::WeightFile;

    /// A safetensors file of one tensor `[2, 2]`.
    fn prepared(test: &str, dtype: &str, numbers: [u16; 4]) -> (Prepared, Tensor) {
        let header = format!("{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":[2,2],\"data_offsets\":[0,8]}}}}");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let path = std::env::temp_dir().join(format!("bge-prepared-{test}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let weights = Weights::open(&[WeightFile { name: "it".into(), path: path.clone(), prefix: "" }]);
        std::fs::remove_file(path).unwrap();
        let weights = Arc::new(weights.unwrap());
        let tensor = weights.find("a", &[2, 2]).unwrap().clone();
        (Prepared::new(weights), tensor)
    }

    fn widened(prepared: &Prepared, tensor: &Tensor) -> Vec<f32> {
        let numbers = prepared.float32("a", tensor).unwrap();
        let bytes = prepared.bytes(&numbers);
        bytes.chunks(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
    }

    #[test]
    fn sixteen_bits_are_widened_exactly_and_once() {
        let (prepared_f16, tensor) = prepared("f16", "F16", [0x3c00, 0xc500, 0x0001, 0x7bff]);
        assert_eq!(widened(&prepared_f16, &tensor), [1.0, -5.0, 2f32.powi(-24), 65504.0]);
        let (prepared_bf16, tensor) = prepared("bf16", "BF16", [0x3f80, 0xc0a0, 0x0001, 0x7f7f]);
        let expected = [1.0, -5.0, f32::from_bits(0x0001_0000), f32::from_bits(0x7f7f_0000)];
        assert_eq!(widened(&prepared_bf16, &tensor), expected);
        prepared_bf16.let_go_behind(|| ());
        assert_eq!(widened(&prepared_bf16, &tensor), expected, "released pages come back");
        let regions = [0, 1].map(|_| match prepared_bf16.float32("a", &tensor).unwrap() {
            Float32::Widened(region) => region,
            Float32::Stored(_) => panic!("16 bits are no float32"),
        });
        assert!(Arc::ptr_eq(&regions[0], &regions[1]));
    }
}
