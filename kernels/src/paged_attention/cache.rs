//! One layer's keys and values in blocks of sixteen positions, in half precision.
//!
//! Layout: keys are `[block][head][dim][slot]`, so that the products of a query with sixteen keys
//! need no sum across lanes; values are `[block][head][slot][dim]`.

use crate::Isa;
use crate::isa::{for_each_isa, prefetch};
use crate::lanes::{LANES, half_to_single, single_to_half};

/// Positions in a block: as many as the virtual register has lanes.
pub const BLOCK_TOKENS: usize = LANES;

/// Half-precision numbers in a cache line.
const LINE_NUMBERS: usize = 32;

/// Keys and values of one layer.
#[derive(Debug)]
pub struct KvCache {
    heads: usize,
    head_dim: usize,
    keys: Vec<u16>,
    values: Vec<u16>,
}

impl KvCache {
    /// A cache of `blocks` blocks. The system hands out its pages when they are first written.
    ///
    /// # Panics
    /// If `head_dim` is not a multiple of 16.
    #[must_use]
    pub fn new(blocks: usize, heads: usize, head_dim: usize) -> Self {
        assert!(
            head_dim.is_multiple_of(LANES),
            "head_dim {head_dim} is not a multiple of {LANES}"
        );
        let length = blocks * heads * head_dim * BLOCK_TOKENS;
        Self {
            heads,
            head_dim,
            keys: vec![0; length],
            values: vec![0; length],
        }
    }

    /// Bytes that one block takes in a cache of this shape.
    #[must_use]
    pub fn block_bytes(heads: usize, head_dim: usize) -> usize {
        2 * heads * head_dim * BLOCK_TOKENS * size_of::<u16>()
    }

    /// Bytes of all blocks, whether or not the system has handed them out yet.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + size_of_val(&self.values[..])
    }

    /// Key-value heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Length of a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Writes the key and value of one position, rounded to half precision; what half precision
    /// cannot hold becomes its largest number, so that the cache holds finite numbers only.
    ///
    /// Shapes: `key` and `value` are `[heads, head_dim]`; `place` is block and slot.
    ///
    /// # Panics
    /// If the place is not in the cache.
    pub fn write(&mut self, isa: Isa, place: (u32, usize), key: &[f32], value: &[f32]) {
        for_each_isa!(isa, write(
            cache: &mut KvCache = self,
            place: (u32, usize) = place,
            key: &[f32] = key,
            value: &[f32] = value,
        ));
    }

    /// Widens one head of a block to single precision, in the cache's own layout, and asks for the same
    /// head of block `next` line by line, so that it is near when it is its turn.
    #[inline(always)]
    pub(crate) fn widen(
        &self,
        isa: Isa,
        [block, next]: [u32; 2],
        head: usize,
        (keys, values): (&mut [f32], &mut [f32]),
    ) {
        widen(
            isa,
            self.keys_of(block, head),
            self.keys_of(next, head),
            keys,
        );
        widen(
            isa,
            self.values_of(block, head),
            self.values_of(next, head),
            values,
        );
    }

    /// The key and value of one position, as the cache holds them.
    #[must_use]
    pub fn read(&self, block: u32, slot: usize, head: usize) -> (Vec<f32>, Vec<f32>) {
        let start = self.start(block, head);
        let key = |dim: usize| half_to_single(self.keys[start + dim * BLOCK_TOKENS + slot]);
        let value = |dim: usize| half_to_single(self.values[start + slot * self.head_dim + dim]);
        (
            (0..self.head_dim).map(key).collect(),
            (0..self.head_dim).map(value).collect(),
        )
    }

    #[inline(always)]
    fn keys_of(&self, block: u32, head: usize) -> &[u16] {
        &self.keys[self.start(block, head)..][..self.head_dim * BLOCK_TOKENS]
    }

    #[inline(always)]
    fn values_of(&self, block: u32, head: usize) -> &[u16] {
        &self.values[self.start(block, head)..][..self.head_dim * BLOCK_TOKENS]
    }

    #[inline(always)]
    fn start(&self, block: u32, head: usize) -> usize {
        (block as usize * self.heads + head) * self.head_dim * BLOCK_TOKENS
    }
}

#[inline(always)]
fn write(cache: &mut KvCache, (block, slot): (u32, usize), key: &[f32], value: &[f32]) {
    assert!(slot < BLOCK_TOKENS, "slot {slot} of {BLOCK_TOKENS}");
    let dims = cache.head_dim;
    for (head, (key, value)) in key
        .chunks_exact(dims)
        .zip(value.chunks_exact(dims))
        .enumerate()
    {
        let start = cache.start(block, head);
        let keys = &mut cache.keys[start..][..dims * BLOCK_TOKENS];
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
        let values = &mut cache.values[start + slot * dims..][..dims];
        for (stored, &value) in values.iter_mut().zip(value) {
            *stored = single_to_half(value);
        }
    }
}

/// Widens to single precision, with the processor's own instruction where there is one: every number
/// in the cache is finite, so it gives the bits of the plain code. `next` is asked for on the way, a
/// line for each line: all at once would stall on outstanding misses.
#[inline(always)]
fn widen(isa: Isa, stored: &[u16], next: &[u16], out: &mut [f32]) {
    match isa {
        // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => unsafe { widen_with_f16c(stored, next, out) },
        _ => {
            for (out, &stored) in out.iter_mut().zip(stored) {
                *out = half_to_single(stored);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn widen_with_f16c(stored: &[u16], next: &[u16], out: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let lines = stored.chunks_exact(LINE_NUMBERS);
    let nexts = next.iter().step_by(LINE_NUMBERS);
    for ((stored, next), out) in lines.zip(nexts).zip(out.chunks_exact_mut(LINE_NUMBERS)) {
        prefetch(next);
        for part in (0..LINE_NUMBERS).step_by(8) {
            // SAFETY: both have the thirty-two numbers of a line.
            unsafe {
                let halves = _mm_loadu_si128(stored.as_ptr().add(part).cast());
                _mm256_storeu_ps(out.as_mut_ptr().add(part), _mm256_cvtph_ps(halves));
            }
        }
    }
}
