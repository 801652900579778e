//! What goes into a product, narrowed or quantized row by row.

use half::bf16;

use super::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use super::cpu::Vectors;
use super::cpu::{Cpu, Int8};
use super::panels::{BLOCK, Format};
use super::vectors::{Kernel, Simd, run};

/// Rows of a tile of AMX: rows are filled up with rows of zeros to a multiple of this.
const TILE_ROWS: usize = 16;

/// What the 8-bit numbers of a block stand for: `least` + number × `step`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(super) struct Scale {
    pub step: f32,
    pub least: f32,
}

/// Rows as a kernel takes them. Buffers are kept, so that a run allocates nothing after the first.
#[derive(Default)]
pub(super) struct Narrowed {
    /// `[rows, stride]` in bfloat16.
    pub pairs: Aligned<u16>,
    /// `[rows, stride]` in 8 bits.
    pub steps: Aligned<u8>,
    /// The same in 16 bits, for AVX2.
    pub wide_steps: Aligned<i16>,
    /// `[rows, blocks]`, for each block of 8-bit numbers what they stand for.
    pub scales: Vec<Scale>,
    /// Numbers from one row to the next.
    pub stride: usize,
}

impl Narrowed {
    /// Takes in rows of `k` numbers for products in `format`.
    pub fn take(&mut self, cpu: Cpu, format: Format, values: &[f32], k: usize) {
        let rows = values.len() / k;
        self.stride = format.padded(k);
        match format {
            Format::F32 | Format::F16 | Format::Bf16 => {}
            Format::Bf16Pairs => {
                fit(&mut self.pairs, rows.next_multiple_of(TILE_ROWS) * self.stride, k < self.stride);
                for (row, narrow) in values.chunks_exact(k).zip(self.pairs.chunks_exact_mut(self.stride)) {
                    to_bf16(cpu, row, &mut narrow[..k]);
                }
            }
            Format::Int8 | Format::Int4 => {
                fit(&mut self.steps, rows.next_multiple_of(TILE_ROWS) * self.stride, k < self.stride);
                let blocks = k.div_ceil(BLOCK);
                self.scales.resize(rows * blocks, Scale::default());
                let narrowed = self.steps.chunks_exact_mut(self.stride).zip(self.scales.chunks_exact_mut(blocks));
                for (row, (steps, scales)) in values.chunks_exact(k).zip(narrowed) {
                    let blocks = row.chunks(BLOCK).zip(steps.chunks_mut(BLOCK)).zip(scales);
                    for ((block, steps), scale) in blocks {
                        *scale = quantize(cpu, block, &mut steps[..block.len()]);
                    }
                }
                if cpu.int8 == Int8::Avx2 {
                    self.wide_steps.fit(self.steps.len());
                    for (wide, &step) in self.wide_steps.iter_mut().zip(self.steps.iter()) {
                        *wide = i16::from(step);
                    }
                }
            }
        }
    }
}

/// What lies behind the numbers of a row must be zero; other leftovers do no harm.
fn fit<T: Copy + Default>(buffer: &mut Aligned<T>, length: usize, clean: bool) {
    buffer.fit(length);
    if clean {
        buffer.fill(T::default());
    }
}

fn to_bf16(cpu: Cpu, row: &[f32], narrow: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if cpu.bf16.is_some() {
        return x86::to_bf16(row, narrow);
    }
    let _ = cpu;
    for (narrow, &number) in narrow.iter_mut().zip(row) {
        *narrow = bf16::from_f32(number).to_bits();
    }
}

/// Writes a block as 0 ..= 255, from its least number to its largest. A block with a number that is not finite gives such a scale.
fn quantize(cpu: Cpu, block: &[f32], steps: &mut [u8]) -> Scale {
    #[cfg(target_arch = "x86_64")]
    if cpu.vectors == Vectors::Avx512 {
        return x86::quantize(block, steps);
    }
    run(cpu.vectors, Quantize(block, steps))
}

struct Quantize<'a>(&'a [f32], &'a mut [u8]);

impl Kernel for Quantize<'_> {
    type Output = Scale;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Scale {
        quantize_any(self.0, self.1)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ..= 255, where all numbers are finite")]
fn quantize_any(block: &[f32], steps: &mut [u8]) -> Scale {
    let (mut least, mut most, mut no_number) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
    for &number in block {
        least = if number < least { number } else { least };
        most = if number > most { number } else { most };
        no_number += number * 0.0;
    }
    let scale = Scale::between(least, most, no_number);
    let to_steps = scale.to_steps();
    for (step, &number) in steps.iter_mut().zip(block) {
        *step = ((number - least) * to_steps).round_ties_even() as i32 as u8;
    }
    scale
}

impl Scale {
    /// `no_number` is 0, or not a number where the block has one that is not finite.
    #[inline(always)]
    fn between(least: f32, most: f32, no_number: f32) -> Self {
        Self { step: (most - least) / 255.0 + no_number, least }
    }

    #[inline(always)]
    fn to_steps(self) -> f32 {
        if self.step > 0.0 { 1.0 / self.step } else { 0.0 }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that the caller found this processor to have")]
mod x86 {
    use std::arch::x86_64::{
        __m256bh, __m256i, _mm_mask_storeu_epi8, _mm256_storeu_si256, _mm512_cvtepi32_epi8, _mm512_cvtneps_pbh,
        _mm512_cvtps_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_max_ps, _mm512_mask_min_ps,
        _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_reduce_min_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
    };

    use half::bf16;

    use super::Scale;

    pub(super) fn to_bf16(row: &[f32], narrow: &mut [u16]) {
        unsafe { to_bf16_avx512(row, narrow) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    fn to_bf16_avx512(row: &[f32], narrow: &mut [u16]) {
        let (numbers, rest) = row.as_chunks::<16>();
        let (blocks, narrow_rest) = narrow.as_chunks_mut::<16>();
        for (numbers, narrow) in numbers.iter().zip(blocks) {
            unsafe {
                let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(numbers.as_ptr()));
                _mm256_storeu_si256(narrow.as_mut_ptr().cast(), std::mem::transmute::<__m256bh, __m256i>(rounded));
            }
        }
        for (narrow, &number) in narrow_rest.iter_mut().zip(rest) {
            *narrow = bf16::from_f32(number).to_bits();
        }
    }

    pub(super) fn quantize(block: &[f32], steps: &mut [u8]) -> Scale {
        assert!(block.len() <= steps.len());
        unsafe { quantize_by_16(block, steps.as_mut_ptr()) }
    }

    /// [`quantize_any`] with room for as many steps as the block has numbers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn quantize_by_16(block: &[f32], steps: *mut u8) -> Scale {
        let parts = || {
            (0..block.len()).step_by(16).map(|place| {
                let mask = u16::MAX >> 16_usize.saturating_sub(block.len() - place);
                (place, mask, unsafe { _mm512_maskz_loadu_ps(mask, block.as_ptr().add(place)) })
            })
        };
        let zero = _mm512_setzero_ps();
        let mut least = _mm512_set1_ps(f32::INFINITY);
        let (mut most, mut no_number) = (_mm512_set1_ps(f32::NEG_INFINITY), zero);
        for (_, mask, part) in parts() {
            least = _mm512_mask_min_ps(least, mask, least, part);
            most = _mm512_mask_max_ps(most, mask, most, part);
            no_number = _mm512_fmadd_ps(part, zero, no_number);
        }
        let least = _mm512_reduce_min_ps(least);
        let scale = Scale::between(least, _mm512_reduce_max_ps(most), _mm512_reduce_add_ps(no_number));
        let (least, to_steps) = (_mm512_set1_ps(least), _mm512_set1_ps(scale.to_steps()));
        for (place, mask, part) in parts() {
            let rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(part, least), to_steps));
            unsafe { _mm_mask_storeu_epi8(steps.add(place).cast(), mask, _mm512_cvtepi32_epi8(rounded)) };
        }
        scale
    }
}
