//! Vectors of float32 numbers, and how they are loaded from each kind of panel.

use half::{bf16, f16};

/// A vector of float32 numbers.
#[expect(unsafe_code, reason = "the processor must have the instructions, and pointers must lead to `COUNT` numbers")]
pub(super) trait Lanes: Copy {
    /// How many numbers.
    const COUNT: usize;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn load_f16(from: *const u16) -> Self;
    unsafe fn load_bf16(from: *const u16) -> Self;
    unsafe fn all(number: f32) -> Self;
    /// `self` × `other` + `sum`.
    unsafe fn times_plus(self, other: Self, sum: Self) -> Self;
    unsafe fn store(self, to: *mut f32);
}

/// A type of numbers in a panel.
#[expect(unsafe_code, reason = "as for `Lanes`")]
pub(super) trait Numbers {
    /// The numbers from `place` on.
    unsafe fn load<V: Lanes>(panel: *const u8, place: usize) -> V;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

#[expect(unsafe_code, clippy::inline_always, clippy::cast_ptr_alignment, reason = "loads that need no alignment")]
impl Numbers for F32 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(panel: *const u8, place: usize) -> V {
        unsafe { V::load(panel.cast::<f32>().add(place)) }
    }
}

#[expect(unsafe_code, clippy::inline_always, clippy::cast_ptr_alignment, reason = "loads that need no alignment")]
impl Numbers for F16 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(panel: *const u8, place: usize) -> V {
        unsafe { V::load_f16(panel.cast::<u16>().add(place)) }
    }
}

#[expect(unsafe_code, clippy::inline_always, clippy::cast_ptr_alignment, reason = "loads that need no alignment")]
impl Numbers for Bf16 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(panel: *const u8, place: usize) -> V {
        unsafe { V::load_bf16(panel.cast::<u16>().add(place)) }
    }
}

/// On every processor.
#[expect(unsafe_code, clippy::inline_always, reason = "compiled into the loops that use it")]
impl Lanes for [f32; 4] {
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        unsafe { from.cast::<[u16; 4]>().read_unaligned() }.map(|bits| f16::from_bits(bits).to_f32_const())
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        unsafe { from.cast::<[u16; 4]>().read_unaligned() }.map(|bits| bf16::from_bits(bits).to_f32_const())
    }

    #[inline(always)]
    unsafe fn all(number: f32) -> Self {
        [number; 4]
    }

    #[inline(always)]
    unsafe fn times_plus(self, other: Self, sum: Self) -> Self {
        std::array::from_fn(|lane| sum[lane] + self[lane] * other[lane])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
}
