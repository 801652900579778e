//! What this machine's processor can do.

use std::sync::OnceLock;

/// The widest vectors of float32 that kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vectors {
    /// What every processor of the target has.
    Portable,
    /// AVX2 with FMA and F16C: 8 numbers.
    Avx2,
    /// AVX-512 (F, BW, VL, DQ): 16 numbers.
    Avx512,
}

/// How kernels multiply 8-bit integers. All give the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Int8 {
    /// One by one.
    Portable,
    /// AVX2, in 16 bits.
    Avx2,
    /// AVX-VNNI: 8 × 4 products an instruction.
    AvxVnni,
    /// AVX-512 VNNI: 16 × 4 products an instruction.
    Avx512Vnni,
    /// AMX: 16 × 16 × 64 products an instruction.
    Amx,
}

/// How kernels multiply bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bf16 {
    /// AVX512-BF16: 16 × 2 products an instruction.
    Avx512,
    /// AMX: 16 × 16 × 32 products an instruction.
    Amx,
}

/// The instructions that kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// In float32.
    pub vectors: Vectors,
    /// In 8-bit integers.
    pub int8: Int8,
    /// In bfloat16, where there are any.
    pub bf16: Option<Bf16>,
}

static CHOSEN: OnceLock<Cpu> = OnceLock::new();

impl Cpu {
    /// Without instructions that not every processor has.
    pub const PORTABLE: Self = Self { vectors: Vectors::Portable, int8: Int8::Portable, bf16: None };

    /// What kernels use in this process: all that the processor has, unless [`Self::choose`] was called before.
    #[must_use]
    pub fn chosen() -> Self {
        *CHOSEN.get_or_init(Self::detect)
    }

    /// Settles what kernels use in this process; false where it is settled already.
    pub fn choose(self) -> bool {
        CHOSEN.set(self).is_ok()
    }

    /// All that the processor has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return x86::detect();
        #[cfg(not(target_arch = "x86_64"))]
        Self::PORTABLE
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    use super::{Bf16, Cpu, Int8, Vectors};

    pub(super) fn detect() -> Cpu {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        let vectors = match (avx512, avx2) {
            (true, _) => Vectors::Avx512,
            (_, true) => Vectors::Avx2,
            _ => Vectors::Portable,
        };
        let amx = avx512 && has_amx() && tiles_permitted();
        let int8 = match () {
            () if amx => Int8::Amx,
            () if avx512 && is_x86_feature_detected!("avx512vnni") => Int8::Avx512Vnni,
            () if avx2 && is_x86_feature_detected!("avxvnni") => Int8::AvxVnni,
            () if avx2 => Int8::Avx2,
            () => Int8::Portable,
        };
        let bf16 = match () {
            () if !avx512 || !is_x86_feature_detected!("avx512bf16") => None,
            () if amx => Some(Bf16::Amx),
            () => Some(Bf16::Avx512),
        };
        Cpu { vectors, int8, bf16 }
    }

    /// Tiles, and their products in bfloat16 and in 8 bits.
    fn has_amx() -> bool {
        const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BF16_TILE_INT8 == BF16_TILE_INT8
    }

    /// Asks the system to let this process use tiles, which take more room where threads are switched.
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "a call that only says yes or no")]
    fn tiles_permitted() -> bool {
        const REQUEST_PERMISSION: i32 = 0x1023;
        const TILE_DATA: i32 = 18;
        unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
    }

    #[cfg(not(target_os = "linux"))]
    fn tiles_permitted() -> bool {
        false
    }
}
