//! Weights to blocks: what a file of another type becomes when less memory is wanted.

use super::{BlockFormat, GROUP};

/// Scales that are tried for a block of four bits: the magnitude that is the farthest code's, in
/// multiples of what the farthest weight has. A smaller one cuts off that weight for the others' sake.
const SHARES: [f32; 7] = [1.0, 0.97, 0.94, 0.91, 0.88, 1.03, 1.06];

/// Formats that weights can be brought into here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Eight bits and a scale for each 32.
    Q8_0,
    /// Four bits and a scale for each 32.
    Q4_0,
}

impl Encoding {
    /// The blocks it makes.
    #[must_use]
    pub fn format(self) -> BlockFormat {
        match self {
            Self::Q8_0 => BlockFormat::Q8_0,
            Self::Q4_0 => BlockFormat::Q4_0,
        }
    }

    /// Appends the blocks of `weights` to `bytes`.
    ///
    /// A weight of eight bits is off by half a scale at most: 1/254 of the largest of its 32, and what
    /// the scale loses in half precision. Of four bits, the scale with the least squared error of a few
    /// is taken.
    ///
    /// # Panics
    /// If `weights` are not whole blocks of 32.
    pub fn encode(self, weights: &[f32], bytes: &mut Vec<u8>) {
        assert!(weights.len().is_multiple_of(GROUP), "not whole blocks");
        for block in weights.as_chunks::<GROUP>().0 {
            match self {
                Self::Q8_0 => encode_8_bits(block, bytes),
                Self::Q4_0 => encode_4_bits(block, bytes),
            }
        }
    }
}

/// What a scale is once it is stored, and what weights are multiplied with to become codes.
fn stored(scale: f32) -> (half::f16, f32) {
    let stored = half::f16::from_f32(scale);
    let kept = stored.to_f32();
    let is_usable = kept != 0.0 && kept.is_finite();
    (stored, if is_usable { kept.recip() } else { 0.0 })
}

fn encode_8_bits(block: &[f32; GROUP], bytes: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
    let (scale, inverse) = stored(largest / 127.0);
    bytes.extend(scale.to_le_bytes());
    let code = |it: &f32| (it * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
    bytes.extend(block.iter().map(|it| code(it).cast_unsigned()));
}

/// Codes reach one further below zero than above it, so the farthest weight gets the lowest code.
fn encode_4_bits(block: &[f32; GROUP], bytes: &mut Vec<u8>) {
    let farther = |most: f32, it: &f32| if it.abs() > most.abs() { *it } else { most };
    let farthest = block.iter().fold(0.0, farther);
    let code = |it: f32, inverse: f32| (it * inverse).round_ties_even().clamp(-8.0, 7.0);
    let mut best = (f32::INFINITY, stored(0.0));
    for share in SHARES {
        let (scale, inverse) = stored(farthest * share / -8.0);
        let error = |it: &f32| {
            let error = code(*it, inverse).mul_add(-scale.to_f32(), *it);
            error * error
        };
        let total: f32 = block.iter().map(error).sum();
        if total < best.0 {
            best = (total, (scale, inverse));
        }
    }
    let (scale, inverse) = best.1;
    bytes.extend(scale.to_le_bytes());
    let nibble = |it: f32| (code(it, inverse) + 8.0) as u8;
    let (first, second) = block.split_at(GROUP / 2);
    let pairs = first.iter().zip(second);
    bytes.extend(pairs.map(|(low, high)| nibble(*low) | nibble(*high) << 4));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, weights: &[f32]) -> Vec<f32> {
        let mut bytes = Vec::new();
        encoding.encode(weights, &mut bytes);
        let format = encoding.format();
        assert_eq!(bytes.len(), format.row_bytes(weights.len()));
        let group = |index: usize| format.group(&bytes, index);
        (0..weights.len())
            .map(|it| {
                let group = group(it / GROUP);
                let code = group.codes[it % GROUP];
                format.integer(code) as f32 * group.scales[0].value()
            })
            .collect()
    }

    fn weights(blocks: usize) -> Vec<f32> {
        let value = |it: usize| ((it * 7919 % 1009) as f32 - 500.0) / 3000.0;
        (0..blocks * GROUP)
            .map(|it| value(it) * (1.0 + (it / GROUP) as f32))
            .collect()
    }

    fn largest(block: &[f32]) -> f32 {
        block.iter().fold(0.0, |most, it| most.max(it.abs()))
    }

    #[test]
    fn a_weight_is_off_by_half_a_step_at_most() {
        let weights = weights(20);
        let found = decoded(Encoding::Q8_0, &weights);
        for (block, found) in weights.chunks(GROUP).zip(found.chunks(GROUP)) {
            let bound = largest(block) * (0.5 / 127.0 + 1.0 / 2048.0);
            for (weight, found) in block.iter().zip(found) {
                assert!((weight - found).abs() <= bound, "{found} for {weight}");
            }
        }
    }

    /// The scale that most tools take gives the farthest weight the lowest code.
    #[test]
    fn four_bits_are_no_worse_than_with_the_usual_scale() {
        let weights = weights(200);
        let found = decoded(Encoding::Q4_0, &weights);
        let mut sums = [0.0; 2];
        for (block, found) in weights.chunks(GROUP).zip(found.chunks(GROUP)) {
            let farthest =
                block.iter().fold(
                    0.0_f32,
                    |most, it| if it.abs() > most.abs() { *it } else { most },
                );
            let scale = half::f16::from_f32(farthest / -8.0).to_f32();
            for (weight, found) in block.iter().zip(found) {
                let usual = (weight / scale + 8.5).floor().clamp(0.0, 15.0) - 8.0;
                sums[0] += (weight - found).powi(2);
                sums[1] += (weight - usual * scale).powi(2);
            }
        }
        assert!(sums[0] < 0.97 * sums[1], "{sums:?}");
    }

    #[test]
    fn zeros_tiny_huge_and_broken_weights_stay_harmless() {
        for value in [0.0, -0.0, 1e-40, 1e-9, 3e38, f32::INFINITY, f32::NAN] {
            for encoding in [Encoding::Q8_0, Encoding::Q4_0] {
                let mut block = [0.25; GROUP];
                block[7] = value;
                let mut bytes = Vec::new();
                encoding.encode(&block, &mut bytes);
                assert_eq!(bytes.len(), encoding.format().row_bytes(GROUP));
            }
        }
        assert_eq!(decoded(Encoding::Q4_0, &[0.0; 64]), [0.0; 64]);
        assert_eq!(decoded(Encoding::Q8_0, &[0.0; 64]), [0.0; 64]);
    }
}
