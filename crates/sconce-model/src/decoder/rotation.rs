//! How queries and keys rotate: the turns that a rope's stretch makes of its base, and their angles.

use sconce_kernels::rope::{Angles, Turns};

use super::batch::Batch;
use crate::arch::{Bands, Rope, RopeStretch, Yarn};

/// A rope as it is computed with, and its angles for a step's rows.
#[derive(Debug)]
pub(crate) struct Rotation {
    frequencies: Vec<f64>,
    magnitude: f64,
    pub(crate) angles: Angles,
}

impl Rotation {
    /// The rotation of `rope`. `factors` has an element for each pair where the stretch stores them.
    pub(crate) fn new(rope: Rope, factors: Option<&[f32]>) -> Self {
        let frequency = |pair: usize| {
            let exponent = -2.0 * pair as f64 / rope.rotated_dims as f64;
            let unstretched = f64::from(rope.base).powf(exponent);
            let stretched = unstretched * stretch(rope, pair);
            factors.map_or(stretched, |it| stretched / f64::from(it[pair]))
        };
        Self {
            frequencies: (0..rope.rotated_dims / 2).map(frequency).collect(),
            magnitude: f64::from(rope.magnitude),
            angles: Angles::default(),
        }
    }

    /// Computes the angles for the rows of `batch`.
    pub(crate) fn turn_to(&mut self, batch: &Batch<'_>) {
        let turns = Turns {
            frequencies: &self.frequencies,
            magnitude: self.magnitude,
        };
        self.angles.fill(batch.positions(), turns);
    }
}

/// What the angles of `pair` are multiplied with.
fn stretch(rope: Rope, pair: usize) -> f64 {
    match rope.stretch {
        RopeStretch::None | RopeStretch::Stored | RopeStretch::Long { .. } => 1.0,
        RopeStretch::Bands(bands) => banded(bands, rope, pair),
        RopeStretch::Linear { factor } => f64::from(factor).recip(),
        RopeStretch::Yarn(yarn) => {
            let share = stretched_share(yarn, rope, pair);
            1.0 - share + share / f64::from(yarn.factor)
        }
    }
}

/// What `bands` multiply the angles of `pair` with.
fn banded(bands: Bands, rope: Rope, pair: usize) -> f64 {
    let exponent = 2.0 * pair as f64 / rope.rotated_dims as f64;
    let wavelength = std::f64::consts::TAU * f64::from(rope.base).powf(exponent);
    let turns = f64::from(bands.original_context.0) / wavelength;
    let (least, most) = (f64::from(bands.turns_min), f64::from(bands.turns_max));
    let kept = ((turns - least) / (most - least)).clamp(0.0, 1.0);
    (1.0 - kept) / f64::from(bands.factor) + kept
}

/// How much of the stretch reaches `pair`, from 0 to 1. Source: Peng et al. 2023, "YaRN", equations
/// 17 to 20, with the bounds rounded outwards to whole pairs as its authors' code does.
fn stretched_share(yarn: Yarn, rope: Rope, pair: usize) -> f64 {
    let dims = rope.rotated_dims as f64;
    let learned = f64::from(yarn.original_context.0);
    // The pair, as a fraction, that turns so often within the learned context.
    let pair_turning = |turns: f32| {
        let ratio = learned / (f64::from(turns) * std::f64::consts::TAU);
        dims * ratio.ln() / (2.0 * f64::from(rope.base).ln())
    };
    let first = pair_turning(yarn.turns_max).floor().max(0.0);
    let last = pair_turning(yarn.turns_min).ceil().min(dims - 1.0);
    ((pair as f64 - first) / (last - first).max(0.001)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use sconce_domain::TokenCount;

    use super::*;
    use crate::arch::RopePairing;

    #[test]
    fn yarn_leaves_fast_pairs_alone_and_stretches_slow_ones_in_full() {
        let yarn = Yarn {
            factor: 4.0,
            original_context: TokenCount(4096),
            turns_max: 32.0,
            turns_min: 1.0,
        };
        let rope = Rope {
            pairing: RopePairing::Halves,
            base: 10_000.0,
            rotated_dims: 128,
            magnitude: 1.0,
            stretch: RopeStretch::Yarn(yarn),
        };
        let plain = Rope {
            stretch: RopeStretch::None,
            ..rope
        };
        let (stretched, plain) = (Rotation::new(rope, None), Rotation::new(plain, None));
        let ratio = |pair: usize| stretched.frequencies[pair] / plain.frequencies[pair];
        assert_eq!(ratio(0), 1.0);
        assert_eq!(ratio(20), 1.0);
        assert!(ratio(33) < 1.0 && ratio(33) > 0.25);
        assert_eq!(ratio(46), 0.25);
        assert_eq!(ratio(63), 0.25);
    }
}
