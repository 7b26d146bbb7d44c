//! Activations, quantized to eight bits once for all products that read them.

use super::GROUP;
use super::coding::Coded;
use crate::{Isa, Pool};

/// Adding it leaves the nearest integer in the low bits of the mantissa, without a call or a branch.
pub(super) const ROUNDING: f32 = 12_582_912.0;

/// Thirty-two activations of a row. Everything a kernel needs of them lies together, so that a row is
/// one pointer.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct ActivationGroup {
    /// Codes from -127 to 127.
    pub(crate) codes: [i8; GROUP],
    /// What a code of one stands for.
    pub(crate) scale: f32,
    /// The scale times the sum of all codes.
    pub(crate) scaled_sum: f32,
    /// Sums of the codes of the first and the second sixteen.
    pub(crate) sums: [i32; 2],
}

const EMPTY: ActivationGroup = ActivationGroup {
    codes: [0; GROUP],
    scale: 0.0,
    scaled_sum: 0.0,
    sums: [0; 2],
};

/// Rows of activations as eight-bit codes with one scale for each group of 32.
///
/// `x[row][k] = scale[row][k / 32] * code[row][k]`, so the error of a value is at most half a scale:
/// the group's largest magnitude divided by 254.
#[derive(Debug, Default)]
pub struct QuantizedRows {
    rows: usize,
    k: usize,
    groups: Vec<ActivationGroup>,
}

impl ActivationGroup {
    /// The sum of the codes that share a weight scale: all of them, or one half.
    #[inline(always)]
    pub(crate) fn code_sum<C: Coded>(&self, part: usize) -> i32 {
        if C::CODING.parts() == 2 {
            self.sums[part]
        } else {
            self.sums[0] + self.sums[1]
        }
    }

    /// The scale times the sum of the codes that share a minimum: all of them, or one half.
    #[inline(always)]
    pub(crate) fn scaled_code_sum<C: Coded>(&self, part: usize) -> f32 {
        if C::CODING.parts() == 2 {
            self.scale * self.sums[part] as f32
        } else {
            self.scaled_sum
        }
    }
}

impl QuantizedRows {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a row.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The groups of `row`.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &[ActivationGroup] {
        let groups = self.k / GROUP;
        &self.groups[row * groups..(row + 1) * groups]
    }

    /// Replaces the content by `x`, of shape `[rows, k]`. Keeps its memory between calls.
    ///
    /// # Panics
    /// If `k` is not a multiple of 32 or `x` not a whole number of rows.
    pub fn quantize(&mut self, isa: Isa, pool: &mut Pool, x: &[f32], k: usize) {
        assert!(
            k > 0 && k.is_multiple_of(GROUP),
            "k = {k} is not a multiple of {GROUP}"
        );
        assert!(
            x.len().is_multiple_of(k),
            "{} values are not rows of {k}",
            x.len()
        );
        (self.rows, self.k) = (x.len() / k, k);
        self.groups.resize(x.len() / GROUP, EMPTY);
        let groups_per_row = k / GROUP;
        let length = pool.part_length(self.rows, 4) * groups_per_row;
        pool.run_parts(&mut self.groups, length, &|first, groups| {
            quantize_groups(isa, &x[first * GROUP..][..groups.len() * GROUP], groups);
        });
    }
}

fn quantize_groups(isa: Isa, x: &[f32], groups: &mut [ActivationGroup]) {
    match isa {
        // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => unsafe { super::quantize_avx2::quantize_groups(x, groups) },
        _ => quantize_portably(x, groups),
    }
}

fn quantize_portably(x: &[f32], groups: &mut [ActivationGroup]) {
    for (values, group) in x.chunks_exact(GROUP).zip(groups) {
        let mut largest = [0.0_f32; 8];
        for part in values.chunks_exact(8) {
            for lane in 0..8 {
                let magnitude = part[lane].abs();
                largest[lane] = if magnitude > largest[lane] {
                    magnitude
                } else {
                    largest[lane]
                };
            }
        }
        let mut most = 0.0;
        for lane in 0..8 {
            most = if largest[lane] > most {
                largest[lane]
            } else {
                most
            };
        }
        let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
        let mut sums = [0; 2];
        for half in 0..2 {
            for k in half * 16..half * 16 + 16 {
                let code = nearest_code(values[k] * inverse);
                group.codes[k] = code;
                sums[half] += i32::from(code);
            }
        }
        group.scale = most / 127.0;
        group.scaled_sum = group.scale * (sums[0] + sums[1]) as f32;
        group.sums = sums;
    }
}

/// The nearest integer of a number between -127 and 127, ties to even.
#[inline(always)]
fn nearest_code(x: f32) -> i8 {
    (x + ROUNDING).to_bits() as i8
}
