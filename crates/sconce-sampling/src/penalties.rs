//! What repeating costs.

use sconce_domain::{Penalties, TokenId};

/// Which tokens occurred and how often, without a search and without an allocation a draw.
#[derive(Debug, Default)]
pub(crate) struct Occurrences {
    /// By token id: the count in the answer times two, plus one if it occurred at all. Zero
    /// between draws.
    marks: Vec<u32>,
    /// The tokens whose marks are not zero, and their logits before any penalty.
    marked: Vec<(u32, f32)>,
}

impl Occurrences {
    /// Marks the tokens that `penalties` will want to know about. Tokens beyond the vocabulary are
    /// ignored.
    pub(crate) fn count(
        &mut self,
        penalties: &Penalties,
        prompt: &[TokenId],
        generated: &[TokenId],
        vocabulary: usize,
    ) {
        self.forget();
        self.marks.resize(self.marks.len().max(vocabulary), 0);
        let repetition_costs = penalties.repetition != 1.0;
        if repetition_costs {
            self.mark(prompt, 0, vocabulary);
        }
        if repetition_costs || penalties.presence != 0.0 || penalties.frequency != 0.0 {
            self.mark(generated, 2, vocabulary);
        }
    }

    /// Changes the logits of the marked tokens.
    ///
    /// Repetition counts prompt and answer, once a token: positive logits are divided by it, others
    /// multiplied. Then presence is subtracted once and frequency once an occurrence, for tokens of
    /// the answer only.
    /// Source of the first: Keskar et al. 2019, "CTRL", section 4.1 (there for the answer only; with
    /// the prompt as Transformers and vLLM do it). Of the others: the reference of OpenAI's API.
    pub(crate) fn penalise(&mut self, logits: &mut [f32], penalties: &Penalties) {
        let Penalties {
            repetition,
            presence,
            frequency,
        } = *penalties;
        for (token, original) in &mut self.marked {
            let logit = &mut logits[*token as usize];
            *original = *logit;
            *logit = if *logit > 0.0 {
                *logit / repetition
            } else {
                *logit * repetition
            };
            let count = self.marks[*token as usize] >> 1;
            if count > 0 {
                *logit -= presence + frequency * count as f32;
            }
        }
    }

    /// Puts the logits back and forgets the marks.
    pub(crate) fn restore(&mut self, logits: &mut [f32]) {
        for &(token, original) in &self.marked {
            logits[token as usize] = original;
        }
        self.forget();
    }

    /// Forgets the marks, also those of a draw that panicked before it came to its end.
    fn forget(&mut self) {
        for (token, _) in self.marked.drain(..) {
            self.marks[token as usize] = 0;
        }
    }

    fn mark(&mut self, tokens: &[TokenId], weight: u32, vocabulary: usize) {
        for token in tokens {
            if token.0 as usize >= vocabulary {
                continue;
            }
            let mark = &mut self.marks[token.0 as usize];
            if *mark == 0 {
                self.marked.push((token.0, 0.0));
            }
            *mark = mark.saturating_add(weight) | 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalised(penalties: Penalties, prompt: &[u32], generated: &[u32]) -> [f32; 4] {
        let ids = |it: &[u32]| it.iter().copied().map(TokenId).collect::<Vec<_>>();
        let mut occurrences = Occurrences::default();
        let mut logits = [2.0, -2.0, 1.0, 0.0];
        let mut penalised = logits;
        // Twice, since the first must leave nothing behind.
        for _ in 0..2 {
            occurrences.count(&penalties, &ids(prompt), &ids(generated), logits.len());
            occurrences.penalise(&mut logits, &penalties);
            penalised = logits;
            occurrences.restore(&mut logits);
            assert_eq!(logits, [2.0, -2.0, 1.0, 0.0]);
        }
        penalised
    }

    #[test]
    fn repetition_counts_prompt_and_answer_once() {
        let penalties = Penalties {
            repetition: 2.0,
            ..Penalties::default()
        };
        assert_eq!(
            penalised(penalties, &[0, 0], &[1, 0, 3]),
            [1.0, -4.0, 1.0, 0.0]
        );
    }

    #[test]
    fn presence_counts_the_answer_once() {
        let penalties = Penalties {
            presence: 0.5,
            ..Penalties::default()
        };
        assert_eq!(
            penalised(penalties, &[0], &[1, 1, 3]),
            [2.0, -2.5, 1.0, -0.5]
        );
    }

    #[test]
    fn frequency_counts_each_occurrence_in_the_answer() {
        let penalties = Penalties {
            frequency: 0.5,
            ..Penalties::default()
        };
        assert_eq!(
            penalised(penalties, &[0], &[1, 1, 3]),
            [2.0, -3.0, 1.0, -0.5]
        );
    }

    #[test]
    fn repetition_comes_before_the_others() {
        let penalties = Penalties {
            repetition: 2.0,
            presence: 0.5,
            frequency: 0.25,
        };
        assert_eq!(penalised(penalties, &[2], &[0, 0]), [0.0, -2.0, 0.5, 0.0]);
    }

    #[test]
    fn a_draw_that_panicked_midway_leaves_nothing_to_the_next() {
        let penalties = Penalties {
            presence: 0.5,
            ..Penalties::default()
        };
        let mut occurrences = Occurrences::default();
        occurrences.count(&penalties, &[], &[TokenId(0), TokenId(1)], 4);
        occurrences.penalise(&mut [2.0, -2.0, 1.0, 0.0], &penalties);
        let mut logits = [8.0, 7.0, 6.0, 5.0];
        occurrences.count(&penalties, &[], &[TokenId(1), TokenId(3)], 4);
        occurrences.penalise(&mut logits, &penalties);
        assert_eq!(logits, [8.0, 6.5, 6.0, 4.5]);
        occurrences.restore(&mut logits);
        assert_eq!(logits, [8.0, 7.0, 6.0, 5.0]);
    }

    #[test]
    fn tokens_beyond_the_vocabulary_are_ignored() {
        let penalties = Penalties {
            repetition: 2.0,
            presence: 0.5,
            frequency: 0.25,
        };
        assert_eq!(
            penalised(penalties, &[4, u32::MAX], &[4]),
            [2.0, -2.0, 1.0, 0.0]
        );
    }
}
