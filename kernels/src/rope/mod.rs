//! Rotary position embedding.

pub mod reference;

/// Which two dimensions of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// `2i` and `2i + 1`.
    Neighbours,
    /// `i` and `i + rotated / 2`.
    Halves,
}

/// How fast each pair turns, and what its length is multiplied with.
#[derive(Debug, Clone, Copy)]
pub struct Turns<'a> {
    /// Radians from one position to the next, for each rotated pair.
    pub frequencies: &'a [f64],
    /// One, but for models stretched to long contexts. Source: Peng et al. 2023, "YaRN", section 3.4.
    pub magnitude: f64,
}

/// Cosines and sines for the rows of a step. Computed once, used by every layer.
#[derive(Debug, Default)]
pub struct Angles {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Angles {
    /// Replaces the content by the angles of `positions`, one row each.
    ///
    /// `frequencies` has one number for each rotated pair; angle = position * frequency, computed in
    /// double precision, since single precision is off by 1e-3 at position 10,000.
    pub fn fill(&mut self, positions: impl Iterator<Item = u32>, turns: Turns<'_>) {
        let Turns {
            frequencies,
            magnitude,
        } = turns;
        self.pairs = frequencies.len();
        self.cosines.clear();
        self.sines.clear();
        for position in positions {
            for frequency in frequencies {
                let (sine, cosine) = (f64::from(position) * frequency).sin_cos();
                self.cosines.push((cosine * magnitude) as f32);
                self.sines.push((sine * magnitude) as f32);
            }
        }
    }

    /// Rotates the heads of one row in place.
    ///
    /// Shapes: `heads` is `[heads, head_dim]`; the first `2 * pairs` dimensions of each are rotated.
    /// Source: Su et al. 2021, "RoFormer", equation 34.
    ///
    /// # Panics
    /// If there is no such row or a head is shorter than its rotated part.
    pub fn rotate(&self, row: usize, pairing: Pairing, head_dim: usize, heads: &mut [f32]) {
        assert!(
            2 * self.pairs <= head_dim,
            "more dimensions rotate than a head has"
        );
        let cosines = &self.cosines[row * self.pairs..][..self.pairs];
        let sines = &self.sines[row * self.pairs..][..self.pairs];
        for head in heads.chunks_exact_mut(head_dim) {
            match pairing {
                Pairing::Neighbours => rotate_neighbours(head, cosines, sines),
                Pairing::Halves => rotate_halves(head, cosines, sines),
            }
        }
    }
}

fn rotate_neighbours(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    for ((pair, cosine), sine) in head.chunks_exact_mut(2).zip(cosines).zip(sines) {
        let (x, y) = (pair[0], pair[1]);
        pair[0] = x * cosine - y * sine;
        pair[1] = x * sine + y * cosine;
    }
}

fn rotate_halves(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (left, right) = head[..2 * cosines.len()].split_at_mut(cosines.len());
    for (((left, right), cosine), sine) in left.iter_mut().zip(right).zip(cosines).zip(sines) {
        let (x, y) = (*left, *right);
        *left = x * cosine - y * sine;
        *right = x * sine + y * cosine;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pairings_are_near_the_reference_and_leave_the_rest_alone() {
        for pairing in [Pairing::Neighbours, Pairing::Halves] {
            for (head_dim, rotated) in [(16, 16), (20, 8), (64, 64)] {
                let frequencies: Vec<f64> = (0..rotated / 2)
                    .map(|pair| 10_000_f64.powf(-2.0 * f64::from(pair) / f64::from(rotated)))
                    .collect();
                let positions = [0, 1, 77, 8_191];
                let mut angles = Angles::default();
                let magnitude = 1.25;
                let turns = Turns {
                    frequencies: &frequencies,
                    magnitude,
                };
                angles.fill(positions.into_iter(), turns);
                for (row, position) in positions.into_iter().enumerate() {
                    let before: Vec<f32> = (0..2 * head_dim)
                        .map(|it| (it as f32 - 11.0) / 7.0)
                        .collect();
                    let mut after = before.clone();
                    angles.rotate(row, pairing, head_dim as usize, &mut after);
                    for (before, after) in before
                        .chunks(head_dim as usize)
                        .zip(after.chunks(head_dim as usize))
                    {
                        let exact = reference::rotate(before, pairing, position, &frequencies);
                        for (index, (found, exact)) in after.iter().zip(exact).enumerate() {
                            let is_rotated = index < rotated as usize;
                            let exact = exact * if is_rotated { magnitude } else { 1.0 };
                            assert!((f64::from(*found) - exact).abs() < 1e-5 * (1.0 + exact.abs()));
                        }
                    }
                }
            }
        }
    }
}
