//! Keys or values as integers of eight bits, each group of 32 with a scale in half precision: the
//! numbers of GGUF's type Q8_0, in the cache's own layout.
//!
//! The product of a code and its scale has eighteen bits at most, so widening is exact: all instruction
//! sets give the same bits.

use super::{BLOCK_TOKENS, Shape};
use crate::Isa;
use crate::isa::prefetch;
use crate::lanes::{LANES, Lanes, half_to_single, largest, round_to_integer, single_to_half};

/// Dims that share a scale. The last group of a head has half of that if the head is not a multiple.
const GROUP_DIMS: usize = 32;

/// The largest code. Its opposite is the smallest, so that codes are as fine on either side of zero.
const CODE_MAX: f32 = 127.0;

/// The largest finite number in half precision, as in the other type.
const NUMBER_MAX: f32 = 65_504.0;

/// Codes in a cache line.
const LINE_CODES: usize = 64;

/// Keys or values; see the module above for the layout of the codes. Scales are
/// `[block][head][group][slot]`.
#[derive(Debug)]
pub(super) struct EightBit {
    head_dim: usize,
    codes: Vec<i8>,
    scales: Vec<u16>,
}

/// The codes and the scales of one head of a block.
#[derive(Debug, Clone, Copy)]
struct Stored<'a> {
    codes: &'a [i8],
    scales: &'a [u16],
}

/// Bytes of the keys, or the values, of one head of a block.
pub(super) fn head_bytes(shape: Shape) -> usize {
    let scales = shape.head_dim.div_ceil(GROUP_DIMS) * BLOCK_TOKENS;
    shape.numbers() + scales * size_of::<u16>()
}

impl EightBit {
    pub(super) fn new(shape: Shape, blocks: usize) -> Self {
        let heads = blocks * shape.heads;
        let groups = shape.head_dim.div_ceil(GROUP_DIMS);
        Self {
            head_dim: shape.head_dim,
            codes: vec![0; heads * shape.numbers()],
            scales: vec![0; heads * groups * BLOCK_TOKENS],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.codes[..]) + size_of_val(&self.scales[..])
    }

    /// The number of dimension `dim` in `slot`, whose code lies at `offset` within the head.
    pub(super) fn read(&self, head: usize, slot: usize, (dim, offset): (usize, usize)) -> f32 {
        let code = self.codes[head * self.head_dim * BLOCK_TOKENS + offset];
        let group = head * self.groups() + dim / GROUP_DIMS;
        f32::from(code) * half_to_single(self.scales[group * BLOCK_TOKENS + slot])
    }

    /// Writes the key of one position of head number `head` of all blocks.
    #[inline(always)]
    pub(super) fn write_key(&mut self, (head, slot): (usize, usize), key: &[f32]) {
        let length = self.head_dim * BLOCK_TOKENS;
        let scales = head * self.groups() * BLOCK_TOKENS + slot;
        let stored = self.codes[head * length..][..length]
            .chunks_mut(GROUP_DIMS * BLOCK_TOKENS)
            .zip(self.scales[scales..].iter_mut().step_by(BLOCK_TOKENS));
        for ((codes, scale), numbers) in stored.zip(key.chunks(GROUP_DIMS)) {
            let mut rounded = [0; GROUP_DIMS];
            *scale = encode(numbers, &mut rounded);
            for (codes, rounded) in codes.chunks_exact_mut(BLOCK_TOKENS).zip(rounded) {
                codes[slot] = rounded;
            }
        }
    }

    /// Writes the value of one position of head number `head` of all blocks.
    #[inline(always)]
    pub(super) fn write_value(&mut self, (head, slot): (usize, usize), value: &[f32]) {
        let start = (head * BLOCK_TOKENS + slot) * self.head_dim;
        let scales = head * self.groups() * BLOCK_TOKENS + slot;
        let stored = self.codes[start..][..self.head_dim]
            .chunks_mut(GROUP_DIMS)
            .zip(self.scales[scales..].iter_mut().step_by(BLOCK_TOKENS));
        for ((codes, scale), numbers) in stored.zip(value.chunks(GROUP_DIMS)) {
            *scale = encode(numbers, codes);
        }
    }

    /// Widens the keys of head number `head` of all blocks to rows of sixteen that begin `stride` apart,
    /// and asks for number `next`.
    #[inline(always)]
    pub(super) fn widen_keys(
        &self,
        isa: Isa,
        heads: [usize; 2],
        (out, stride): (&mut [f32], usize),
    ) {
        let [stored, next] = heads.map(|head| self.stored(head));
        ask_for(next);
        let groups = stored.codes.chunks(GROUP_DIMS * BLOCK_TOKENS);
        let scales = stored.scales.chunks_exact(BLOCK_TOKENS);
        for ((codes, scales), out) in groups.zip(scales).zip(out.chunks_mut(GROUP_DIMS * stride)) {
            let mut steps = [0.0; LANES];
            for lane in 0..LANES {
                steps[lane] = half_to_single(scales[lane]);
            }
            for (codes, out) in codes.chunks_exact(LANES).zip(out.chunks_mut(stride)) {
                widen(isa, codes, &steps, out);
            }
        }
    }

    /// The same of values, whose rows of `head_dim` follow each other.
    #[inline(always)]
    pub(super) fn widen_values(&self, isa: Isa, heads: [usize; 2], out: &mut [f32]) {
        let [stored, next] = heads.map(|head| self.stored(head));
        ask_for(next);
        let dims = self.head_dim;
        let rows = stored
            .codes
            .chunks_exact(dims)
            .zip(out.chunks_exact_mut(dims));
        for (slot, (codes, out)) in rows.enumerate() {
            let scales = stored.scales[slot..].iter().step_by(BLOCK_TOKENS);
            let groups = codes.chunks(GROUP_DIMS).zip(out.chunks_mut(GROUP_DIMS));
            for ((codes, out), &scale) in groups.zip(scales) {
                let steps = [half_to_single(scale); LANES];
                for (codes, out) in codes.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
                    widen(isa, codes, &steps, out);
                }
            }
        }
    }

    /// What is stored of head number `head` of all blocks.
    #[inline(always)]
    fn stored(&self, head: usize) -> Stored<'_> {
        let (codes, scales) = (self.head_dim * BLOCK_TOKENS, self.groups() * BLOCK_TOKENS);
        Stored {
            codes: &self.codes[head * codes..][..codes],
            scales: &self.scales[head * scales..][..scales],
        }
    }

    fn groups(&self) -> usize {
        self.head_dim.div_ceil(GROUP_DIMS)
    }
}

/// Writes the codes of one group and returns the bits of its scale. Codes are those of the scale as it
/// is stored, rounded to half precision.
#[inline(always)]
fn encode(numbers: &[f32], codes: &mut [i8]) -> u16 {
    let mut magnitudes = [0.0; LANES];
    for part in numbers.chunks_exact(LANES) {
        for lane in 0..LANES {
            let magnitude = finite(part[lane]).abs();
            if magnitude > magnitudes[lane] {
                magnitudes[lane] = magnitude;
            }
        }
    }
    let scale = single_to_half(largest(magnitudes) / CODE_MAX);
    let step = half_to_single(scale);
    let steps_per_one = if step > 0.0 { step.recip() } else { 0.0 };
    for (code, &number) in codes.iter_mut().zip(numbers) {
        let steps = finite(number) * steps_per_one;
        *code = round_to_integer(steps.clamp(-CODE_MAX, CODE_MAX)) as i8;
    }
    scale
}

/// What is not a number becomes the largest, too.
#[inline(always)]
#[expect(clippy::manual_clamp, reason = "clamp would let a not-a-number pass")]
fn finite(number: f32) -> f32 {
    number.min(NUMBER_MAX).max(-NUMBER_MAX)
}

/// The products of sixteen codes and their steps.
#[inline(always)]
fn widen(isa: Isa, codes: &[i8], steps: &Lanes, out: &mut [f32]) {
    let (codes, out) = (&codes[..LANES], &mut out[..LANES]);
    match isa {
        // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor, and there are sixteen
        // of all.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => unsafe { widen_with_avx2(codes, steps, out) },
        _ => {
            for lane in 0..LANES {
                out[lane] = f32::from(codes[lane]) * steps[lane];
            }
        }
    }
}

/// # Safety
/// There are sixteen codes and room for as many numbers.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen_with_avx2(codes: &[i8], steps: &Lanes, out: &mut [f32]) {
    use std::arch::x86_64::{
        _mm_loadl_epi64, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_mul_ps,
        _mm256_storeu_ps,
    };
    for part in [0, LANES / 2] {
        // SAFETY: as this function's.
        unsafe {
            let codes = _mm_loadl_epi64(codes.as_ptr().add(part).cast());
            let numbers = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
            let steps = _mm256_loadu_ps(steps.as_ptr().add(part));
            _mm256_storeu_ps(out.as_mut_ptr().add(part), _mm256_mul_ps(numbers, steps));
        }
    }
}

/// Asks for each line of a head.
#[inline(always)]
fn ask_for(next: Stored<'_>) {
    next.codes.iter().step_by(LINE_CODES).for_each(prefetch);
    let lines = next.scales.iter().step_by(LINE_CODES / size_of::<u16>());
    lines.for_each(prefetch);
}
