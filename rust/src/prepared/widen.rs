//! 16-bit numbers → float32, which is exact.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::weights::Dtype;

/// Numbers of a block: some that a cache holds.
const BLOCK: usize = 1 << 16;

/// The little-endian bytes of `stored` as float32, block by block.
pub(super) fn blocks(stored: &[u8], dtype: Dtype) -> impl Iterator<Item = Vec<u8>> {
    let mut numbers = vec![0.0_f32; BLOCK];
    stored.chunks(2 * BLOCK).map(move |block| {
        let numbers = &mut numbers[..block.len() / 2];
        // A tensor may lie at an odd address.
        let bits = block.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        match dtype {
            Dtype::F16 => bits.map(f16::from_bits).collect::<Vec<_>>().convert_to_f32_slice(numbers),
            _ => bits.map(bf16::from_bits).collect::<Vec<_>>().convert_to_f32_slice(numbers),
        }
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    })
}
