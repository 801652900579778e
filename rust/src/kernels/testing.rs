//! What tests of kernels share.

use super::cpu::{Cpu, Vectors};
use super::threads::Threads;

/// Every width of vectors that this machine has.
pub(super) fn every_width() -> Vec<Cpu> {
    let all = [Vectors::Portable, Vectors::Avx2, Vectors::Avx512];
    all.into_iter()
        .filter(|vectors| *vectors <= Cpu::detect().vectors)
        .map(|vectors| Cpu { vectors, ..Cpu::PORTABLE })
        .collect()
}

/// Threads of the system, each with every so many parts.
pub(super) struct Several(pub usize);

impl Threads for Several {
    fn share(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for first in 0..self.0 {
                scope.spawn(move || (first..parts).step_by(self.0).for_each(part));
            }
        });
    }
}

/// Numbers between -1 and 1 in an order without order, others for another `seed`.
pub(super) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).expect("16 bits")) / 32_768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Fails where one of `numbers` is farther than `most` from its number in `expected`.
#[track_caller]
pub(super) fn assert_close(numbers: &[f32], expected: &[f64], most: f64, what: &str) {
    assert_eq!(numbers.len(), expected.len(), "{what}");
    for (place, (number, expected)) in numbers.iter().zip(expected).enumerate() {
        let error = (f64::from(*number) - expected).abs();
        assert!(error <= most, "{what}: number {place} is {number}, not {expected} (off by {error:e})");
    }
}

/// Fails where two numbers differ in a bit.
#[track_caller]
pub(super) fn assert_same_bits(numbers: &[f32], others: &[f32], what: &str) {
    let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    assert!(bits(numbers) == bits(others), "{what}");
}
