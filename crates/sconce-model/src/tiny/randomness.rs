//! Random numbers that a seed and a name decide, the same on every machine.

/// A stream of numbers. Source: Steele et al. 2014, "Fast Splittable Pseudorandom Number
/// Generators", figure 16.
pub(super) struct Dice(u64);

impl Dice {
    /// Every name has a stream of its own, so that a tensor more does not change the others.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mix = |state: u64, byte: u8| Self(state ^ u64::from(byte)).next();
        Self(name.bytes().fold(Self(seed).next(), mix))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform, with mean zero and deviation one.
    pub(super) fn deviate(&mut self) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1_u64 << 24) as f32;
        (2.0 * unit - 1.0) * 3.0_f32.sqrt()
    }
}
