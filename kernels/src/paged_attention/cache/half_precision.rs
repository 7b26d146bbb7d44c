//! Keys or values in half precision.

use super::{BLOCK_TOKENS, Shape};
use crate::Isa;
use crate::isa::prefetch;
use crate::lanes::{LANES, half_to_single, single_to_half};

/// Half-precision numbers in a cache line.
const LINE_NUMBERS: usize = 32;

/// Keys or values; see the module above for the layout.
#[derive(Debug)]
pub(super) struct HalfPrecision {
    head_dim: usize,
    numbers: Vec<u16>,
}

/// Bytes of the keys, or the values, of one head of a block.
pub(super) fn head_bytes(shape: Shape) -> usize {
    shape.numbers() * size_of::<u16>()
}

impl HalfPrecision {
    pub(super) fn new(shape: Shape, blocks: usize) -> Self {
        Self {
            head_dim: shape.head_dim,
            numbers: vec![0; blocks * shape.heads * shape.numbers()],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }

    pub(super) fn read(&self, head: usize, offset: usize) -> f32 {
        half_to_single(self.numbers[head * self.head_dim * BLOCK_TOKENS + offset])
    }

    /// Writes the key of one position of head number `head` of all blocks.
    #[inline(always)]
    pub(super) fn write_key(&mut self, (head, slot): (usize, usize), key: &[f32]) {
        let length = self.head_dim * BLOCK_TOKENS;
        let keys = &mut self.numbers[head * length..][..length];
        for (stored, key) in keys
            .chunks_exact_mut(LANES * BLOCK_TOKENS)
            .zip(key.chunks_exact(LANES))
        {
            let mut rounded = [0; LANES];
            for lane in 0..LANES {
                rounded[lane] = single_to_half(key[lane]);
            }
            for lane in 0..LANES {
                stored[lane * BLOCK_TOKENS + slot] = rounded[lane];
            }
        }
    }

    /// Writes the value of one position of head number `head` of all blocks.
    #[inline(always)]
    pub(super) fn write_value(&mut self, (head, slot): (usize, usize), value: &[f32]) {
        let start = (head * BLOCK_TOKENS + slot) * self.head_dim;
        let values = &mut self.numbers[start..][..self.head_dim];
        for (stored, &value) in values.iter_mut().zip(value) {
            *stored = single_to_half(value);
        }
    }

    /// Widens head number `head` of all blocks to rows of sixteen that begin `stride` apart, and asks for
    /// number `next`.
    #[inline(always)]
    pub(super) fn widen(&self, isa: Isa, heads: [usize; 2], (out, stride): (&mut [f32], usize)) {
        let length = self.head_dim * BLOCK_TOKENS;
        let [stored, next] = heads.map(|head| &self.numbers[head * length..][..length]);
        match isa {
            // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => unsafe { widen_with_f16c(stored, next, (out, stride)) },
            _ => {
                for (stored, out) in stored.chunks_exact(LANES).zip(out.chunks_mut(stride)) {
                    for (out, &stored) in out.iter_mut().zip(stored) {
                        *out = half_to_single(stored);
                    }
                }
            }
        }
    }
}

/// Widens with the processor's own instruction: every number in the cache is finite, so it gives the bits
/// of the plain code. `next` is asked for on the way, a line for each line: all at once would stall on
/// outstanding misses.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn widen_with_f16c(stored: &[u16], next: &[u16], (out, stride): (&mut [f32], usize)) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let rows = stored.chunks_exact(LANES).zip(out.chunks_mut(stride));
    for (index, (stored, out)) in rows.enumerate() {
        if index % (LINE_NUMBERS / LANES) == 0 {
            prefetch(&next[index * LANES]);
        }
        let out = &mut out[..LANES];
        for part in (0..LANES).step_by(8) {
            // SAFETY: both have sixteen numbers.
            unsafe {
                let halves = _mm_loadu_si128(stored.as_ptr().add(part).cast());
                _mm256_storeu_ps(out.as_mut_ptr().add(part), _mm256_cvtph_ps(halves));
            }
        }
    }
}
