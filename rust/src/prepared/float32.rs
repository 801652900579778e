//! Numbers of other types → float32: exact from 16 bits, rounded to the nearest from 64.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::weights::{Dtype, Tensor};

/// Numbers of a block: some that a cache holds.
const BLOCK: usize = 1 << 16;

/// The numbers of a tensor that was made of these bytes, row by row.
pub(crate) fn numbers(stored: &[u8], tensor: &Tensor) -> Vec<f32> {
    let mut numbers = vec![0.0; stored.len() / tensor.dtype.bytes()];
    convert(stored, tensor.dtype, &mut numbers);
    match &tensor.strides {
        Some(strides) => in_rows(&numbers, &tensor.shape, strides),
        None => numbers,
    }
}

/// Reads some `places` of row `row` of a matrix that was made of these bytes.
pub(crate) fn read_row(stored: &[u8], tensor: &Tensor, row: usize, places: Range<usize>, numbers: &mut [f32]) {
    let (width, bytes) = (tensor.shape[1], tensor.dtype.bytes());
    if let Some(&[down, right]) = tensor.strides.as_deref() {
        for (column, number) in places.zip(numbers) {
            let place = (row * down + column * right) * bytes;
            convert(&stored[place..place + bytes], tensor.dtype, std::slice::from_mut(number));
        }
    } else {
        let first = row * width + places.start;
        convert(&stored[first * bytes..][..places.len() * bytes], tensor.dtype, numbers);
    }
}

fn in_rows(numbers: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let mut place = vec![0; shape.len()];
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let element: usize = place.iter().zip(strides).map(|(&place, &stride)| place * stride).sum();
        rows.push(numbers.get(element).copied().unwrap_or(f32::NAN));
        for (digit, &size) in place.iter_mut().zip(shape).rev() {
            *digit += 1;
            if *digit < size {
                break;
            }
            *digit = 0;
        }
    }
    rows
}

/// Writes the numbers of a tensor as little-endian float32 to `wide`, row by row.
pub(super) fn write(stored: &[u8], tensor: &Tensor, wide: &mut [u8]) {
    let (wide, _) = wide.as_chunks_mut();
    let put = |wide: &mut [[u8; 4]], numbers: &[f32]| {
        wide.iter_mut().zip(numbers).for_each(|(bytes, number)| *bytes = number.to_le_bytes());
    };
    if tensor.strides.is_some() {
        return put(wide, &numbers(stored, tensor));
    }
    let mut block = vec![0.0; BLOCK];
    for (wide, stored) in wide.chunks_mut(BLOCK).zip(stored.chunks(tensor.dtype.bytes() * BLOCK)) {
        let block = &mut block[..wide.len()];
        convert(stored, tensor.dtype, block);
        put(wide, block);
    }
}

/// Halves that are put together before an instruction converts several.
const HALVES: usize = 64;

/// A tensor may lie at an odd address, so its numbers are put together byte by byte, which compiles to a copy.
fn convert(block: &[u8], dtype: Dtype, numbers: &mut [f32]) {
    match dtype {
        Dtype::F16 => {
            for (numbers, block) in numbers.chunks_mut(HALVES).zip(block.chunks(2 * HALVES)) {
                let mut halves = [f16::ZERO; HALVES];
                for (half, &bytes) in halves.iter_mut().zip(block.as_chunks().0) {
                    *half = f16::from_le_bytes(bytes);
                }
                halves[..numbers.len()].convert_to_f32_slice(numbers);
            }
        }
        Dtype::Bf16 => {
            for (number, &bytes) in numbers.iter_mut().zip(block.as_chunks().0) {
                *number = f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
            }
        }
        Dtype::F32 => {
            for (number, &bytes) in numbers.iter_mut().zip(block.as_chunks().0) {
                *number = f32::from_le_bytes(bytes);
            }
        }
        Dtype::F64 => {
            for (number, &bytes) in numbers.iter_mut().zip(block.as_chunks().0) {
                *number = narrowed(f64::from_le_bytes(bytes));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "graphs compute in float32")]
fn narrowed(number: f64) -> f32 {
    number as f32
}
