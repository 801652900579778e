//! Products of 32 rows and 32 columns.
#![expect(unsafe_code, reason = "the lengths are checked, and the processor has the instructions")]

use super::SIDE;
use crate::kernels::cpu::Bf16;
use crate::kernels::products::{amx, avx512};

/// Does `work`, which multiplies.
pub(super) fn with<R>(kind: Bf16, work: impl FnOnce() -> R) -> R {
    match kind {
        Bf16::Amx => amx::with_tiles(work),
        Bf16::Avx512 => work(),
    }
}

/// Writes the products of `count` rows, `stride` numbers apart, and a panel `[depth / 2, 32, 2]`. What it writes to the other rows of
/// 32 means nothing.
pub(super) fn product(
    kind: Bf16,
    (rows, stride, count): (&[u16], usize, usize),
    (panel, depth): (&[u16], usize),
    (sums, sums_stride): (&mut [f32], usize),
) {
    assert!(depth > 0 && depth.is_multiple_of(SIDE) && panel.len() == SIDE * depth, "a whole panel");
    assert!(rows.len() >= (SIDE - 1) * stride + depth, "all rows");
    assert!(sums.len() >= (SIDE - 1) * sums_stride + SIDE, "all sums");
    let (rows, panel, sums) = (rows.as_ptr(), panel.as_ptr().cast(), sums.as_mut_ptr());
    unsafe {
        match kind {
            Bf16::Amx => amx::bf16_square((rows, stride), panel, depth / SIDE, (sums, sums_stride)),
            Bf16::Avx512 => {
                for first in (0..count).step_by(8) {
                    let (rows, sums) = (rows.add(first * stride), sums.add(first * sums_stride));
                    avx512::bf16_tile::<8, 2>((rows, stride), panel, depth / 2, (sums, sums_stride, false));
                }
            }
        }
    }
}
