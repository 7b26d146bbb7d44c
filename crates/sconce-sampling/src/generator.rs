//! Random numbers by position: no state to carry, so a preempted sequence draws the same again.

/// The odd number nearest to 2^64 divided by the golden ratio: steps of it spread evenly.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The random 64 bits that belong to `position` under `seed`.
///
/// The seed is mixed before positions are counted from it, so that neighbouring seeds do not give
/// shifted copies of one stream.
/// Source: Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 17,
/// with the constants of Stafford's thirteenth mixer.
#[must_use]
pub fn random_bits(seed: u64, position: u64) -> u64 {
    let stream = mix(seed.wrapping_add(STEP));
    mix(stream.wrapping_add(position.wrapping_add(1).wrapping_mul(STEP)))
}

/// The random number in [0, 1) that belongs to `position` under `seed`: a multiple of 2^-53.
#[must_use]
pub fn random_unit(seed: u64, position: u64) -> f64 {
    const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
    (random_bits(seed, position) >> 11) as f64 * UNIT
}

/// Changes about half of the output bits when one input bit changes. Maps zero to zero.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_stay_the_same_for_ever() {
        // The first output of the published generator for a state of zero.
        assert_eq!(mix(STEP), 0xE220_A839_7B1D_CDAF);
        let numbers = [(0, 0), (0, 1), (1, 0), (u64::MAX, u64::MAX)];
        let expected = [
            0xA706_DD2F_4D19_7E6F,
            0xB382_A305_F441_4F5E,
            0x5E41_AB08_7439_611E,
            0x4450_18E3_0581_0B78,
        ];
        assert_eq!(
            numbers.map(|(seed, position)| random_bits(seed, position)),
            expected
        );
    }

    #[test]
    fn one_changed_bit_changes_half_of_the_output() {
        for bit in 0..64 {
            let mut changed = 0;
            for sample in 0..256_u64 {
                let seed = sample.wrapping_mul(0x1234_5678_9ABC_DEF1);
                changed += (random_bits(seed, 7) ^ random_bits(seed ^ (1 << bit), 7)).count_ones();
                changed += (random_bits(7, seed) ^ random_bits(7, seed ^ (1 << bit))).count_ones();
            }
            let share = f64::from(changed) / (2.0 * 256.0 * 64.0);
            assert!((share - 0.5).abs() < 0.02, "bit {bit}: {share}");
        }
    }

    #[test]
    fn the_units_lie_below_one() {
        assert!(
            (0..10_000)
                .map(|it| random_unit(3, it))
                .all(|it| (0.0..1.0).contains(&it))
        );
    }
}
