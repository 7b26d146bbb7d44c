//! Logits changed for the time of one draw: a client's bias, and tokens that are withheld.

use sconce_domain::{TokenBias, TokenId};

/// What some logits were before a draw changed them.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// In the order of the changes. A token may stand here twice; its first entry is the original.
    originals: Vec<(usize, f32)>,
}

impl Overlay {
    /// Adds each token's bias to its logit. Tokens beyond the vocabulary are ignored.
    /// Source: the reference of OpenAI's API, `logit_bias`.
    pub(crate) fn add(&mut self, logits: &mut [f32], biases: &[TokenBias]) {
        self.originals.clear();
        for TokenBias { token, bias } in biases {
            self.change(logits, *token, |it| it + bias);
        }
    }

    /// Makes `tokens` impossible. Tokens beyond the vocabulary are ignored.
    pub(crate) fn withhold(&mut self, logits: &mut [f32], tokens: &[TokenId]) {
        self.originals.clear();
        for token in tokens {
            self.change(logits, *token, |_| f32::NEG_INFINITY);
        }
    }

    /// Puts the logits back. Undoes the latest change first, as changes may lie on each other.
    pub(crate) fn restore(&mut self, logits: &mut [f32]) {
        for (index, original) in self.originals.drain(..).rev() {
            logits[index] = original;
        }
    }

    fn change(&mut self, logits: &mut [f32], token: TokenId, new: impl FnOnce(f32) -> f32) {
        let index = token.0 as usize;
        if let Some(logit) = logits.get_mut(index) {
            self.originals.push((index, *logit));
            *logit = new(*logit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bias(token: u32, bias: f32) -> TokenBias {
        let token = TokenId(token);
        TokenBias { token, bias }
    }

    #[test]
    fn a_bias_is_added_and_taken_back_to_the_bit() {
        let mut overlay = Overlay::default();
        let original = [0.1_f32, -3.3, f32::NEG_INFINITY, 1e-30];
        let mut logits = original;
        for _ in 0..2 {
            overlay.add(&mut logits, &[bias(1, 100.0), bias(3, -1.5), bias(9, 5.0)]);
            assert_eq!(logits, [0.1, 96.7, f32::NEG_INFINITY, -1.5]);
            overlay.restore(&mut logits);
            assert_eq!(logits.map(f32::to_bits), original.map(f32::to_bits));
        }
    }

    #[test]
    fn what_is_withheld_twice_comes_back_as_it_was() {
        let mut overlay = Overlay::default();
        let mut logits = [1.0, 2.0];
        let twice = [TokenId(1), TokenId(1), TokenId(2)];
        overlay.withhold(&mut logits, &twice);
        assert_eq!(logits, [1.0, f32::NEG_INFINITY]);
        overlay.restore(&mut logits);
        assert_eq!(logits, [1.0, 2.0]);
    }

    #[test]
    fn a_draw_that_panicked_midway_leaves_nothing_to_the_next() {
        let mut overlay = Overlay::default();
        overlay.add(&mut [1.0, 2.0, 3.0], &[bias(2, 9.0)]);
        let mut logits = [4.0];
        overlay.add(&mut logits, &[bias(0, 1.0)]);
        overlay.restore(&mut logits);
        assert_eq!(logits, [4.0]);
    }
}
