//! Activations, quantized to eight bits once for all products that read them.

use super::GROUP;
use crate::isa::for_each_isa;
use crate::{DisjointSlice, Isa, Pool};

/// Rows of activations as eight-bit codes with one scale for each group of 32.
///
/// `x[row][k] = scale[row][k / 32] * code[row][k]`, codes from -127 to 127, so the error of a value
/// is at most half a scale: the group's largest magnitude divided by 254.
#[derive(Debug, Default)]
pub struct QuantizedRows {
    rows: usize,
    k: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
    /// Sums of the codes of each sixteen.
    sums: Vec<i32>,
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

    /// The codes of `row`.
    #[inline(always)]
    pub(crate) fn codes(&self, row: usize) -> &[i8] {
        &self.codes[row * self.k..(row + 1) * self.k]
    }

    /// The scales of `row`, one for each group.
    #[inline(always)]
    pub(crate) fn scales(&self, row: usize) -> &[f32] {
        let groups = self.k / GROUP;
        &self.scales[row * groups..(row + 1) * groups]
    }

    /// The sums of the codes of each sixteen in `row`.
    #[inline(always)]
    pub(crate) fn sums(&self, row: usize) -> &[i32] {
        let halves = self.k / 16;
        &self.sums[row * halves..(row + 1) * halves]
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
        self.codes.resize(x.len(), 0);
        self.scales.resize(x.len() / GROUP, 0.0);
        self.sums.resize(x.len() / 16, 0);
        let codes = DisjointSlice::new(&mut self.codes);
        let scales = DisjointSlice::new(&mut self.scales);
        let sums = DisjointSlice::new(&mut self.sums);
        let rows_per_task = self.rows.div_ceil(pool.threads()).max(4);
        pool.run(self.rows.div_ceil(rows_per_task), &|task| {
            let first = task * rows_per_task;
            let count = rows_per_task.min(self.rows - first);
            let x = &x[first * k..(first + count) * k];
            // SAFETY: tasks have different rows.
            let (codes, scales, sums) = unsafe {
                (
                    codes.part(first * k, count * k),
                    scales.part(first * k / GROUP, count * k / GROUP),
                    sums.part(first * k / 16, count * k / 16),
                )
            };
            for_each_isa!(isa, quantize_groups(
                x: &[f32] = x,
                codes: &mut [i8] = codes,
                scales: &mut [f32] = scales,
                sums: &mut [i32] = sums,
            ));
        });
    }
}

#[inline(always)]
fn quantize_groups(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    let groups = x.chunks_exact(GROUP).zip(codes.chunks_exact_mut(GROUP));
    for ((values, codes), (scale, sums)) in
        groups.zip(scales.iter_mut().zip(sums.chunks_exact_mut(2)))
    {
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
        let largest = largest
            .into_iter()
            .fold(0.0_f32, |a, b| if b > a { b } else { a });
        *scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (half, sum) in sums.iter_mut().enumerate() {
            *sum = 0;
            for k in half * 16..half * 16 + 16 {
                codes[k] = nearest_code(values[k] * inverse);
                *sum += i32::from(codes[k]);
            }
        }
    }
}

/// The nearest integer of a number between -127 and 127, ties to even.
#[inline(always)]
fn nearest_code(x: f32) -> i8 {
    /// Leaves the nearest integer in the low bits of the mantissa, without a call or a branch.
    const ROUNDING: f32 = 12_582_912.0;
    (x + ROUNDING).to_bits() as i8
}
