//! Takes tokens away from a draw, and gives them back.

use sconce_domain::TokenMask;

/// The logits as they were before the mask, for as long as it lies on them.
#[derive(Debug, Default)]
pub(crate) struct Masked {
    before: Vec<f32>,
}

impl Masked {
    /// Turns the logit of each token that is not in `mask` into minus infinity.
    ///
    /// Shape: `logits` is `[vocabulary]`. Reads and writes each logit twice at most.
    pub(crate) fn apply(&mut self, logits: &mut [f32], mask: Option<&TokenMask>) {
        self.before.clear();
        let Some(mask) = mask else {
            return;
        };
        self.before.extend_from_slice(logits);
        let words = mask.words().iter().copied().chain(std::iter::repeat(0));
        for (logits, word) in logits.chunks_mut(32).zip(words) {
            if word == u32::MAX {
                continue;
            }
            for (bit, logit) in logits.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// Undoes [`Masked::apply`].
    pub(crate) fn restore(&mut self, logits: &mut [f32]) {
        if !self.before.is_empty() {
            logits.copy_from_slice(&self.before);
            self.before.clear();
        }
    }
}
