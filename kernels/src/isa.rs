//! Which vector instructions a kernel may use. Found once, then passed along.

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the compilation target guarantees.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, VL, VNNI), FMA and F16C.
    Avx512,
}

impl Isa {
    /// The best instruction set of this processor.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::Portable)
    }

    /// All instruction sets that this processor can run, the best one last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if avx2 {
                found.push(Self::Avx2);
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                found.push(Self::Avx512);
            }
        }
        found
    }

    /// The name that logs and benchmarks use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512-vnni",
        }
    }
}

/// Asks for the cache line that `place` lies in, where the processor takes such hints.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Compiles one function body for every instruction set and calls the one that `isa` names.
///
/// The body is an `#[inline(always)]` function on arrays; the compiler vectorises each copy with
/// the registers it has. Floating-point order is the body's own, so all copies give the same bits.
macro_rules! for_each_isa {
    ($isa:expr, $body:ident ( $($name:ident : $type:ty = $value:expr),* $(,)? ) $(-> $output:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_avx2($($name: $type),*) $(-> $output)? { $body($($name),*) }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
        fn with_avx512($($name: $type),*) $(-> $output)? { $body($($name),*) }
        match $isa {
            // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx2 => unsafe { with_avx2($($value),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512 => unsafe { with_avx512($($value),*) },
            _ => $body($($value),*),
        }
    }};
}
pub(crate) use for_each_isa;
