//! Keys or values as integers of eight bits, each group of 32 with a scale in half precision: the
//! numbers of GGUF's type Q8_0, in the cache's own layout.
//!
//! # Why scales multiply sums
//! A scale for each slot and group of dims multiplies the product of a query with the group's integers,
//! and a position's weight for the group's values. So a number costs a conversion, as a half does, and a
//! scale one product for all 32 of its numbers. The conversion is exact: all instruction sets give the
//! same bits.

use super::{BLOCK_TOKENS, Shape, WideNumbers};
use crate::isa::prefetch;
use crate::lanes::{LANES, half_to_single, largest, round_to_integer, single_to_half};

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

    /// Widens head number `head` of all blocks, and asks for number `next`.
    #[inline(always)]
    pub(super) fn widen(&self, [head, next]: [usize; 2], wide: &mut WideNumbers) {
        let (length, scale_count) = (self.head_dim * BLOCK_TOKENS, self.groups() * BLOCK_TOKENS);
        let WideNumbers {
            numbers,
            scales,
            group_dims,
        } = wide;
        numbers.resize(length, 0.0);
        scales.resize(scale_count, 0.0);
        *group_dims = GROUP_DIMS;
        let codes = |head: usize| &self.codes[head * length..][..length];
        widen(codes(head), codes(next), numbers);
        let halves = |head: usize| &self.scales[head * scale_count..][..scale_count];
        widen_scales(halves(head), halves(next), scales);
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

/// Widens to single precision; `next` is asked for on the way, a line for each line.
#[inline(always)]
fn widen(codes: &[i8], next: &[i8], out: &mut [f32]) {
    let lines = codes.chunks_exact(LINE_CODES);
    let nexts = next.iter().step_by(LINE_CODES);
    for ((codes, next), out) in lines.zip(nexts).zip(out.chunks_exact_mut(LINE_CODES)) {
        prefetch(next);
        for index in 0..LINE_CODES {
            out[index] = f32::from(codes[index]);
        }
    }
}

/// The same of scales, a register of which is half a line.
#[inline(always)]
fn widen_scales(halves: &[u16], next: &[u16], out: &mut [f32]) {
    let registers = halves.chunks_exact(LANES).zip(next.chunks_exact(LANES));
    for ((halves, next), out) in registers.zip(out.chunks_exact_mut(LANES)) {
        prefetch(&next[0]);
        for lane in 0..LANES {
            out[lane] = half_to_single(halves[lane]);
        }
    }
}
