//! Chooses the best of several candidates for each answer.

use sconce_domain::{Failure, FinishReason};

use crate::answer::AnswerEvent;
use crate::text_stream::TokenReport;

/// Candidates as they grow; once all have ended, the best of them are the answers.
#[derive(Debug)]
pub(crate) struct Selection {
    candidates: Vec<Candidate>,
    /// Candidates for each prompt; they stand together.
    candidates_each: usize,
    answers_each: usize,
    /// Whether the client wants the tokens' probabilities, or only we do.
    tells_tokens: bool,
}

#[derive(Debug, Default)]
struct Candidate {
    text: String,
    tokens: Vec<TokenReport>,
    /// Why it ended, and the mean of its tokens' log-probabilities.
    end: Option<(FinishReason, f64)>,
}

impl Selection {
    /// Of `count` candidates, `candidates_each` for each prompt, of which `answers_each` are kept.
    pub(crate) fn new(
        count: usize,
        candidates_each: usize,
        answers_each: usize,
        tells_tokens: bool,
    ) -> Self {
        let mut candidates = Vec::new();
        candidates.resize_with(count, Candidate::default);
        Self {
            candidates,
            candidates_each,
            answers_each,
            tells_tokens,
        }
    }

    pub(crate) fn grow(&mut self, index: usize, text: &str, tokens: Vec<TokenReport>) {
        let candidate = &mut self.candidates[index];
        candidate.text.push_str(text);
        if self.tells_tokens {
            candidate.tokens.extend(tokens);
        }
    }

    pub(crate) fn end(&mut self, index: usize, reason: FinishReason, mean_logprob: f64) {
        self.candidates[index].end = Some((reason, mean_logprob));
    }

    /// What the client is told: the chosen candidates as answers, each prompt's best first, and of
    /// equals the earlier one.
    pub(crate) fn choose(&mut self) -> Vec<AnswerEvent> {
        let mut told = Vec::new();
        let mut choice = 0;
        for group in self.candidates.chunks_mut(self.candidates_each) {
            group.sort_by(|one, other| other.merit().total_cmp(&one.merit()));
            for candidate in &mut group[..self.answers_each] {
                told.extend(candidate.tell(choice));
                choice += 1;
            }
        }
        told
    }
}

impl Candidate {
    /// One that failed, or has no token to be judged by, comes last.
    fn merit(&self) -> f64 {
        match self.end {
            Some((FinishReason::Stop | FinishReason::Length, mean)) if !mean.is_nan() => mean,
            _ => f64::NEG_INFINITY,
        }
    }

    fn tell(&mut self, choice: u32) -> Vec<AnswerEvent> {
        let Self { text, tokens, end } = std::mem::take(self);
        let mut told = Vec::new();
        if !text.is_empty() || !tokens.is_empty() {
            told.push(AnswerEvent::Piece {
                choice,
                text,
                tokens,
            });
        }
        let reason = end.map_or(FinishReason::Failed(Failure::Device), |(reason, _)| reason);
        told.push(AnswerEvent::Finished {
            choice,
            reason,
            stopped_by: None,
        });
        told
    }
}
