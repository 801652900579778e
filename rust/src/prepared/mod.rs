//! A checkpoint's tensors as graphs want them: as they are stored, converted to float32, narrowed to 16 bits, or packed for our
//! own kernels. Each is made once, and all sessions share it.

mod arithmetic;
pub(crate) mod float32;
mod layers;
mod narrow;
mod pack;
mod store;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub use self::arithmetic::Arithmetic;
use self::layers::Matrix;
pub use self::layers::{
    AttentionLayer, CausalLayer, DistanceTable, GatedLayer, Layer, LinearLayer, NormLayer, RmsNormLayer,
};
pub use self::narrow::Narrow;
use self::pack::Stack;
use self::store::{Pieces, Region, Store};
use crate::kernels::{Activation, COLUMNS, RotaryTable};
use crate::weights::{Dtype, Tensor, Weights};
use crate::{Error, Result};

/// As often, pages that were read are let go of: a few dozen MB are read meanwhile.
const RELEASE_INTERVAL: Duration = Duration::from_millis(20);

/// A checkpoint's tensors, and what was made of them.
pub struct Prepared {
    weights: Arc<Weights>,
    arithmetic: Arithmetic,
    threads: usize,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    store: Store,
    converted: HashMap<String, Arc<Region>>,
    narrowed: HashMap<String, Arc<Region>>,
    packed: HashMap<(String, Arithmetic), Arc<Matrix>>,
    rotary: HashMap<[u64; 3], Arc<RotaryTable>>,
}

/// A linear layer by the names of its tensors, without `.weight` and `.bias`: several are one layer, their rows one below the other.
#[derive(Clone, Copy)]
pub struct LinearNames<'a> {
    /// At least one; all of the same width.
    pub layers: &'a [&'a str],
    /// Rows of each.
    pub heights: &'a [usize],
    /// Columns of all.
    pub width: usize,
    /// Whether their biases are added.
    pub biased: bool,
    /// Of each number that comes out.
    pub activation: Option<Activation>,
    /// Computed in float32, whatever the rest is.
    pub exact: bool,
    /// Multiplied where they lie in the checkpoint, unless they have to be quantized: nothing is packed.
    pub in_place: bool,
}

impl<'a> LinearNames<'a> {
    /// Packed, without biases and activation.
    #[must_use]
    pub const fn of(layers: &'a [&'a str], heights: &'a [usize], width: usize) -> Self {
        Self { layers, heights, width, biased: false, activation: None, exact: false, in_place: false }
    }
}

/// The numbers of a tensor, row by row, in the type that a graph takes.
#[derive(Clone)]
pub enum Numbers {
    /// float32, in the checkpoint's own file.
    Stored(Tensor),
    /// float32, made of another type.
    Converted(Arc<Region>),
    /// 16 bits.
    Narrowed(Arc<Region>, Narrow),
}

impl Prepared {
    /// Nothing is made yet. So many threads pack matrices for products in `arithmetic`.
    #[must_use]
    pub fn new(weights: Arc<Weights>, arithmetic: Arithmetic, threads: usize) -> Self {
        Self { weights, arithmetic, threads, made: Mutex::default() }
    }

    /// The tensors as they are stored.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// What products are computed in, but for layers that are exact.
    #[must_use]
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The tensor called `name` as float32, converted now if this is the first time that it is asked for.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] where there is no room for it.
    pub fn float32(&self, name: &str, tensor: &Tensor) -> Result<Numbers> {
        if tensor.dtype == Dtype::F32 && tensor.strides.is_none() {
            return Ok(Numbers::Stored(tensor.clone()));
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Made { store, converted, .. } = &mut *made;
        if let Some(region) = converted.get(name) {
            return Ok(Numbers::Converted(Arc::clone(region)));
        }
        let stored = self.weights.bytes(tensor);
        let size = tensor.shape.iter().product::<usize>() * size_of::<f32>();
        let write = |_, wide: &mut [u8]| float32::write(stored, tensor, wide);
        let region = store.keep(&Pieces { count: 1, size, in_file: true, threads: 1, write: &write });
        let region = Arc::new(region?);
        converted.insert(name.to_owned(), Arc::clone(&region));
        Ok(Numbers::Converted(region))
    }

    /// What weights are narrowed to: for CUDA devices.
    #[must_use]
    pub fn narrow(&self) -> Narrow {
        if self.arithmetic == Arithmetic::Bf16 { Narrow::Bf16 } else { Narrow::Float16 }
    }

    /// The tensor called `name` in 16 bits, narrowed now if this is the first time that it is asked for.
    ///
    /// # Errors
    /// [`crate::Error::ModelFormat`] for a number beyond the type; [`crate::Error::OutOfMemory`].
    pub fn narrowed(&self, name: &str, tensor: &Tensor) -> Result<Numbers> {
        let kind = self.narrow();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Made { store, narrowed, .. } = &mut *made;
        if let Some(region) = narrowed.get(name) {
            return Ok(Numbers::Narrowed(Arc::clone(region), kind));
        }
        let stored = self.weights.bytes(tensor);
        let (rows, width) = (tensor.shape[0], tensor.shape[1..].iter().product::<usize>());
        let overflows = AtomicBool::new(false);
        let write = |row: usize, narrow: &mut [u8]| {
            let mut numbers = vec![0.0; width];
            float32::read_row(stored, tensor, row, 0..width, &mut numbers);
            overflows.fetch_or(!kind.write(&numbers, narrow), Ordering::Relaxed);
        };
        let pieces = Pieces { count: rows, size: 2 * width, in_file: true, threads: self.threads, write: &write };
        let region = Arc::new(store.keep(&pieces)?);
        if overflows.into_inner() {
            return Err(kind.overflow(name));
        }
        narrowed.insert(name.to_owned(), Arc::clone(&region));
        Ok(Numbers::Narrowed(region, kind))
    }

    /// A linear layer, packed now if this is the first time that it is asked for.
    ///
    /// # Errors
    /// [`crate::Error::ModelFormat`] for a tensor that is missing or of another shape; [`crate::Error::OutOfMemory`].
    pub fn linear(&self, names: LinearNames) -> Result<LinearLayer> {
        let LinearNames { layers, heights, width, biased, activation, exact, in_place } = names;
        let each = || layers.iter().zip(heights);
        let tensors = each().map(|(name, &rows)| self.weights.find(&format!("{name}.weight"), &[rows, width]).cloned());
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        let arithmetic = if exact { Arithmetic::Float32 } else { self.arithmetic };
        let in_place = in_place && !arithmetic.is_quantized();
        let stored = || Matrix::stored(&self.weights, &tensors, arithmetic == Arithmetic::Float32).map(Arc::new);
        let matrix = match in_place.then(stored).flatten() {
            Some(matrix) => matrix,
            None => self.packed(layers.join(" "), &Stack::new(&self.weights, tensors), arithmetic)?,
        };
        let biases = each().map(|(name, &rows)| self.numbers(&format!("{name}.bias"), &[rows]));
        let bias = biased.then(|| biases.collect::<Result<Vec<_>>>()).transpose()?;
        Ok(LinearLayer { matrix, bias: bias.map(|biases| biases.concat()), activation })
    }

    fn packed(&self, name: String, stack: &Stack, arithmetic: Arithmetic) -> Result<Arc<Matrix>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Made { store, packed, .. } = &mut *made;
        let key = (name, arithmetic);
        if let Some(matrix) = packed.get(&key) {
            return Ok(Arc::clone(matrix));
        }
        for &format in stack.formats(arithmetic) {
            let misfits = AtomicBool::new(false);
            let write = |number, panel: &mut [u8]| {
                if !misfits.load(Ordering::Relaxed) && !stack.pack(format, number, panel) {
                    misfits.store(true, Ordering::Relaxed);
                }
            };
            let (count, size, in_file) =
                (stack.n.div_ceil(COLUMNS), format.panel_bytes(stack.k), stack.is_narrow() && !key.1.is_quantized());
            let region = store.keep(&Pieces { count, size, in_file, threads: self.threads, write: &write })?;
            if !misfits.into_inner() {
                let matrix = Arc::new(Matrix::Packed { format, n: stack.n, k: stack.k, region });
                packed.insert(key, Arc::clone(&matrix));
                return Ok(matrix);
            }
        }
        Err(Error::Internal(format!("{} cannot be packed", key.0)))
    }

    /// How positions turn heads of `size` numbers; all layers share one table.
    pub fn rotary(&self, size: usize, theta: f64, factor: f64) -> Arc<RotaryTable> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [size as u64, theta.to_bits(), factor.to_bits()];
        let new = || Arc::new(RotaryTable::new(size, theta, factor));
        Arc::clone(made.rotary.entry(key).or_insert_with(new))
    }

    /// The few numbers of a tensor.
    ///
    /// # Errors
    /// [`crate::Error::ModelFormat`] for one that is missing or of another shape.
    pub fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.weights.find(name, shape)?;
        Ok(float32::numbers(self.weights.bytes(tensor), tensor))
    }

    /// The bytes of such numbers. Those of a stored tensor are not aligned to anything.
    #[must_use]
    pub fn bytes<'a>(&'a self, numbers: &'a Numbers) -> &'a [u8] {
        match numbers {
            Numbers::Stored(tensor) => self.weights.bytes(tensor),
            Numbers::Converted(region) | Numbers::Narrowed(region, _) => region.bytes(),
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
        made.converted.values().chain(made.narrowed.values()).for_each(|region| region.release());
    }
}

#[cfg(test)]
mod tests;
