//! The tensors that sessions are handed, which all sessions of one checkpoint share.

use std::sync::Arc;

use ::ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ::ort::session::builder::{PrepackedWeights, SessionBuilder};
use ::ort::value::DynValue;

use super::Placement;
use crate::graph::{Assembled, Initializer};
use crate::prepared::{Narrow, Numbers, Prepared};
use crate::{Error, Result};

/// A checkpoint's tensors, and the copies of its matrices that ONNX Runtime repacked for its kernels: made for the first
/// session, used by all later ones.
pub struct HandedOver {
    packed: PrepackedWeights,
    prepared: Arc<Prepared>,
}

impl HandedOver {
    /// An ONNX Runtime library must be loaded.
    #[must_use]
    pub fn new(prepared: Arc<Prepared>) -> Self {
        Self { packed: PrepackedWeights::new(), prepared }
    }

    /// The tensors that are handed over.
    #[must_use]
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Gives a session under construction the tensors of its graph.
    ///
    /// ONNX Runtime shares repacked copies only of tensors that it was handed; all others it maps from the file by itself.
    pub(super) fn hand_over(
        &self,
        builder: SessionBuilder,
        assembled: &Assembled,
        placement: Placement,
    ) -> Result<SessionBuilder> {
        let Some(folder) = assembled.folder.to_str() else {
            return Err(Error::ModelFormat(format!("the path {} is not UTF-8", assembled.folder.display())));
        };
        let build = || -> ::ort::Result<SessionBuilder> {
            let mut builder =
                builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
            let Placement::Cpu { low_memory, .. } = placement else {
                // Copied to the device once. Tensors of float32 are read from the file.
                for tensor in assembled.tensors.iter().filter(|tensor| matches!(tensor.numbers, Numbers::Narrowed(..)))
                {
                    builder = builder.with_external_initializer(&tensor.name, self.value(tensor)?)?;
                }
                return Ok(builder);
            };
            for tensor in &assembled.tensors {
                builder = builder.with_initializer(&tensor.name, self.value(tensor)?)?;
            }
            if low_memory { Ok(builder) } else { Ok(builder.with_prepacked_weights(&self.packed)?) }
        };
        build().map_err(|error| Error::Internal(format!("ONNX Runtime refuses the weights: {error}")))
    }

    /// A tensor over the numbers where they lie.
    #[expect(unsafe_code, reason = "the map outlives the session: the session holds `self`, and drops first")]
    fn value(&self, tensor: &Initializer) -> ::ort::Result<DynValue> {
        let bytes = self.prepared.bytes(&tensor.numbers);
        let shape: Vec<i64> = tensor.shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?;
        let mut value = std::ptr::null_mut();
        unsafe {
            let status = (::ort::api().CreateTensorWithDataAsOrtValue)(
                ::ort::AsPointer::ptr(&memory),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len(),
                shape.as_ptr(),
                shape.len(),
                element_type(&tensor.numbers),
                &raw mut value,
            );
            ::ort::Error::result_from_status(status)?;
            let value = std::ptr::NonNull::new(value).ok_or_else(|| ::ort::Error::new("no tensor was made"))?;
            Ok(DynValue::from_ptr(value, Some(&Allocator::default())))
        }
    }
}

fn element_type(numbers: &Numbers) -> ::ort::sys::ONNXTensorElementDataType {
    use ::ort::sys::ONNXTensorElementDataType as Element;
    match numbers {
        Numbers::Narrowed(_, Narrow::Float16) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Numbers::Narrowed(_, Narrow::Bf16) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        Numbers::Stored(_) | Numbers::Converted(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
    }
}
