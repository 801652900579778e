//! What this machine's processor can do.

use std::fmt;
use std::sync::OnceLock;

use crate::{Error, Result};

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

/// What [`Cpu::at_most`] knows, from few instructions to many.
const LIMITS: [(&str, Cpu); 7] = {
    const fn cpu(vectors: Vectors, int8: Int8, bf16: Option<Bf16>) -> Cpu {
        Cpu { vectors, int8, bf16 }
    }
    [
        ("portable", Cpu::PORTABLE),
        ("avx2", cpu(Vectors::Avx2, Int8::Avx2, None)),
        ("avx_vnni", cpu(Vectors::Avx2, Int8::AvxVnni, None)),
        ("avx512", cpu(Vectors::Avx512, Int8::Avx2, None)),
        ("avx512_vnni", cpu(Vectors::Avx512, Int8::Avx512Vnni, None)),
        ("avx512_bf16", cpu(Vectors::Avx512, Int8::Avx512Vnni, Some(Bf16::Avx512))),
        ("amx", cpu(Vectors::Avx512, Int8::Amx, Some(Bf16::Amx))),
    ]
};

impl Cpu {
    /// Without instructions that not every processor has.
    pub const PORTABLE: Self = Self { vectors: Vectors::Portable, int8: Int8::Portable, bf16: None };

    /// What kernels use in this process: all that the processor has, unless [`Self::choose`] was called before.
    #[must_use]
    pub fn chosen() -> Self {
        *CHOSEN.get_or_init(Self::detect)
    }

    /// Settles what kernels use in this process, where it is not settled already; gives what they use.
    #[must_use]
    pub fn choose(self) -> Self {
        *CHOSEN.get_or_init(|| self)
    }

    /// All that the processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self::up_to(Self { vectors: Vectors::Avx512, int8: Int8::Amx, bf16: Some(Bf16::Amx) })
    }

    /// What the processor has, up to these instructions: `"portable"`, `"avx2"`, `"avx_vnni"`, `"avx512"`, `"avx512_vnni"`,
    /// `"avx512_bf16"` or `"amx"`.
    ///
    /// # Errors
    /// [`Error::Value`] for another name.
    pub fn at_most(name: &str) -> Result<Self> {
        let limit = LIMITS.iter().find(|(known, _)| *known == name);
        let known = || LIMITS.map(|(known, _)| known).join(", ");
        let (_, limit) = limit.ok_or_else(|| Error::Value(format!("{name:?} is none of {}", known())))?;
        Ok(Self::up_to(*limit))
    }

    /// The best of what the processor has, up to `limit`.
    fn up_to(limit: Self) -> Self {
        Self {
            vectors: best(Vectors::here(), limit.vectors).unwrap_or(Vectors::Portable),
            int8: best(Int8::here(), limit.int8).unwrap_or(Int8::Portable),
            bf16: limit.bf16.and_then(|limit| best(Bf16::here(), limit)),
        }
    }
}

impl fmt::Display for Vectors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        })
    }
}

impl fmt::Display for Int8 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512Vnni => "AVX-512 VNNI",
            Self::Amx => "AMX",
        })
    }
}

impl fmt::Display for Bf16 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Avx512 => "AVX512-BF16",
            Self::Amx => "AMX",
        })
    }
}

fn best<T: Ord + Copy>(here: Vec<T>, limit: T) -> Option<T> {
    here.into_iter().filter(|one| *one <= limit).max()
}

macro_rules! detected {
    ($($feature:tt),*) => {{
        #[cfg(target_arch = "x86_64")]
        let detected = $(is_x86_feature_detected!($feature))&&*;
        #[cfg(not(target_arch = "x86_64"))]
        let detected = false;
        detected
    }};
}

/// Of pairs, what the processor has.
fn there<T: Copy>(kinds: &[(T, bool)]) -> Vec<T> {
    kinds.iter().filter_map(|&(kind, there)| there.then_some(kind)).collect()
}

impl Vectors {
    /// Those that this processor has.
    #[must_use]
    pub fn here() -> Vec<Self> {
        let avx2 = detected!("avx2", "fma", "f16c");
        let avx512 = avx2 && detected!("avx512f", "avx512bw", "avx512vl", "avx512dq");
        there(&[(Self::Portable, true), (Self::Avx2, avx2), (Self::Avx512, avx512)])
    }
}

impl Int8 {
    /// Those that this processor has.
    #[must_use]
    pub fn here() -> Vec<Self> {
        let vectors = Vectors::here();
        let (avx2, avx512) = (vectors.contains(&Vectors::Avx2), vectors.contains(&Vectors::Avx512));
        there(&[
            (Self::Portable, true),
            (Self::Avx2, avx2),
            (Self::AvxVnni, avx2 && detected!("avxvnni")),
            (Self::Avx512Vnni, avx512 && detected!("avx512vnni")),
            (Self::Amx, avx512 && amx::is_here()),
        ])
    }
}

impl Bf16 {
    /// Those that this processor has.
    #[must_use]
    pub fn here() -> Vec<Self> {
        let avx512 = Vectors::here().contains(&Vectors::Avx512) && detected!("avx512bf16");
        there(&[(Self::Avx512, avx512), (Self::Amx, avx512 && amx::is_here())])
    }

    /// Whether its products are faster than those in float32. AVX512-BF16 takes half the time of them on AMD's processors, and twice
    /// as long on Intel's.
    #[must_use]
    pub fn outpaces_float32(self) -> bool {
        self == Self::Amx || !is_intel()
    }
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// Tiles, and their products in bfloat16 and in 8 bits. Asks the system to let this process use them, since they take more
    /// room where threads are switched.
    #[expect(unsafe_code, reason = "a call that only says yes or no")]
    pub(super) fn is_here() -> bool {
        const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
        const REQUEST_PERMISSION: i32 = 0x1023;
        const TILE_DATA: i32 = 18;
        __cpuid(0).eax >= 7
            && __cpuid_count(7, 0).edx & BF16_TILE_INT8 == BF16_TILE_INT8
            && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod amx {
    pub(super) fn is_here() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_and_nothing_is_used_that_is_not_here() {
        for (name, limit) in LIMITS {
            let cpu = Cpu::at_most(name).expect("known");
            assert!(cpu.vectors <= limit.vectors && cpu.int8 <= limit.int8 && cpu.bf16 <= limit.bf16, "{name}");
            assert!(Vectors::here().contains(&cpu.vectors) && Int8::here().contains(&cpu.int8), "{name}");
        }
        assert_eq!(Cpu::at_most("portable").expect("known"), Cpu::PORTABLE);
        assert_eq!(Cpu::at_most("amx").expect("known"), Cpu::detect());
        assert!(Cpu::at_most("mmx").is_err());
    }
}
