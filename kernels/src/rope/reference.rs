//! The rotation as a product of complex numbers, in double precision.

use super::Pairing;

/// Rotates one head at `position`.
#[must_use]
pub fn rotate(head: &[f32], pairing: Pairing, position: u32, frequencies: &[f64]) -> Vec<f64> {
    let mut out: Vec<f64> = head.iter().map(|&it| f64::from(it)).collect();
    for (pair, frequency) in frequencies.iter().enumerate() {
        let (first, second) = match pairing {
            Pairing::Neighbours => (2 * pair, 2 * pair + 1),
            Pairing::Halves => (pair, pair + frequencies.len()),
        };
        let angle = f64::from(position) * frequency;
        let (x, y) = (f64::from(head[first]), f64::from(head[second]));
        out[first] = x * angle.cos() - y * angle.sin();
        out[second] = x * angle.sin() + y * angle.cos();
    }
    out
}
