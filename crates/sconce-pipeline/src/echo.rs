//! A prompt that is told again before its answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use sconce_domain::{TokenId, TokenLogprobs};
use sconce_text::Tokenizer;

use crate::text_stream::{TokenChance, TokenReport, report, token_chance};

/// A prompt as text, and where in it each of its tokens begins.
#[derive(Debug)]
pub(crate) struct EchoedPrompt {
    text: String,
    chars: u32,
    /// Each token, and the characters before it.
    tokens: Vec<(TokenId, u32)>,
}

impl EchoedPrompt {
    /// Of `tokens`; `text` is what they were made of, if it was text.
    pub(crate) fn new(tokenizer: &Tokenizer, tokens: &[TokenId], text: Option<String>) -> Self {
        let mut pieces = tokenizer.prompt_pieces(tokens);
        if let (Some(text), Some(first)) = (&text, pieces.first_mut())
            && !text.starts_with(first.as_str())
        {
            // A beginning that the vocabulary asks for is no part of the client's text.
            first.clear();
        }
        let mut chars = 0;
        let offset = |(token, piece): (&TokenId, &String)| {
            let before = chars;
            chars += u32::try_from(piece.chars().count()).unwrap_or(u32::MAX);
            (*token, before)
        };
        let tokens = tokens.iter().zip(&pieces).map(offset).collect();
        let text = text.unwrap_or_else(|| pieces.concat());
        Self {
            chars: u32::try_from(text.chars().count()).unwrap_or(u32::MAX),
            text,
            tokens,
        }
    }
}

/// The probabilities of a prompt's tokens, computed for one of its answers and told in each.
#[derive(Debug, Default)]
struct PromptScores {
    /// From the second token on.
    scores: Mutex<Vec<TokenLogprobs>>,
    /// Whether no more will come.
    is_over: AtomicBool,
}

/// Where an answer has the probabilities of its prompt from.
#[derive(Debug)]
enum Source {
    /// They are not wanted.
    None,
    /// The answer's own sequence computes them, for others as well.
    Own(Scorer),
    /// The first answer to the same prompt has them computed.
    First(Arc<PromptScores>),
}

/// Lets those who wait for probabilities know when no more will come.
#[derive(Debug)]
struct Scorer(Arc<PromptScores>);

impl Drop for Scorer {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

/// What is still to be told of a prompt.
#[derive(Debug)]
pub(crate) struct Echo {
    prompt: Arc<EchoedPrompt>,
    source: Source,
    reported: usize,
}

impl Echo {
    /// Of a prompt whose tokens are told with their probabilities if it `is_scored`.
    pub(crate) fn new(prompt: Arc<EchoedPrompt>, is_scored: bool) -> Self {
        Self {
            prompt,
            source: if is_scored {
                Source::Own(Scorer(Arc::default()))
            } else {
                Source::None
            },
            reported: 0,
        }
    }

    /// For another answer to the same prompt, which has not been told yet.
    pub(crate) fn of_another_answer(&self) -> Self {
        let source = match &self.source {
            Source::None => Source::None,
            Source::Own(Scorer(scores)) | Source::First(scores) => {
                Source::First(Arc::clone(scores))
            }
        };
        Self {
            prompt: Arc::clone(&self.prompt),
            source,
            reported: 0,
        }
    }

    /// How many alternatives the answer's own sequence is to have scored, of `wanted`.
    pub(crate) fn own(&self, wanted: Option<u8>) -> Option<u8> {
        wanted.filter(|_| matches!(self.source, Source::Own(_)))
    }

    /// Characters before the answer.
    pub(crate) fn chars(&self) -> u32 {
        self.prompt.chars
    }

    /// The whole text, and its first token, whose probability nothing tells, if tokens are wanted.
    pub(crate) fn begin(&mut self, tokenizer: &Tokenizer) -> (String, Vec<TokenReport>) {
        let first = self.next().filter(|_| !matches!(self.source, Source::None));
        let report = first.map(|(token, offset_chars)| TokenReport {
            chosen: TokenChance {
                logprob: None,
                ..token_chance(tokenizer, token, 0.0)
            },
            top: Vec::new(),
            offset_chars,
        });
        (self.prompt.text.clone(), report.into_iter().collect())
    }

    /// The next tokens, now that their probabilities are known.
    pub(crate) fn score(
        &mut self,
        tokenizer: &Tokenizer,
        scores: &[TokenLogprobs],
    ) -> Vec<TokenReport> {
        if let Source::Own(Scorer(shared)) = &self.source {
            shared.lock().extend_from_slice(scores);
        }
        let report = |scored: &TokenLogprobs| {
            let (_, offset_chars) = self.next()?;
            Some(TokenReport {
                offset_chars,
                ..report(tokenizer, scored)
            })
        };
        scores.iter().filter_map(report).collect()
    }

    /// The next tokens whose probabilities another answer has had computed. Pending while more will
    /// come and none is there: whoever asks is woken by that answer, as one task asks for both.
    pub(crate) fn poll_shared(&mut self, tokenizer: &Tokenizer) -> Poll<Vec<TokenReport>> {
        let Source::First(shared) = &self.source else {
            return Poll::Ready(Vec::new());
        };
        let is_over = shared.is_over.load(Ordering::Acquire);
        let told = self.reported.saturating_sub(1);
        let scores = shared.lock().get(told..).unwrap_or_default().to_vec();
        let is_whole = self.reported >= self.prompt.tokens.len();
        if scores.is_empty() && !is_over && !is_whole {
            return Poll::Pending;
        }
        Poll::Ready(self.score(tokenizer, &scores))
    }

    fn next(&mut self) -> Option<(TokenId, u32)> {
        let next = self.prompt.tokens.get(self.reported).copied();
        self.reported += 1;
        next
    }
}

impl PromptScores {
    fn lock(&self) -> MutexGuard<'_, Vec<TokenLogprobs>> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sconce_text::{
        EdgeTokens, SpecialTokens, Specials, TokenClass, Vocabulary, VocabularyKind,
    };

    use super::*;

    /// Letters, and a token that begins each prompt.
    fn tokenizer() -> Tokenizer {
        let (bos, normal) = (TokenClass::Control, TokenClass::Normal);
        let vocabulary = Vocabulary {
            kind: VocabularyKind::BytePairs {
                merges: Vec::new(),
                pre_tokenizer: "default".to_owned(),
            },
            tokens: ["<s>", "a", "b"].map(str::to_owned).to_vec(),
            classes: vec![bos, normal, normal],
            special: SpecialTokens {
                bos: Some(TokenId(0)),
                ..SpecialTokens::default()
            },
            edges: EdgeTokens {
                adds_bos: Some(true),
                adds_eos: Some(false),
            },
        };
        Tokenizer::new(vocabulary).expect("the vocabulary is sound")
    }

    fn of_text(text: &str) -> EchoedPrompt {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode_prompt(text, Specials::Parsed);
        let tokens = tokens.expect("the vocabulary can write it");
        EchoedPrompt::new(&tokenizer, &tokens, Some(text.to_owned()))
    }

    #[test]
    fn a_beginning_that_the_client_did_not_write_is_no_part_of_the_text() {
        let (added, written) = (of_text("ab"), of_text("<s>ab"));
        let offsets = |it: &EchoedPrompt| it.tokens.iter().map(|it| it.1).collect::<Vec<_>>();
        assert_eq!((added.text.as_str(), added.chars), ("ab", 2));
        assert_eq!(offsets(&added), [0, 0, 1]);
        assert_eq!((written.text.as_str(), written.chars), ("<s>ab", 5));
        assert_eq!(offsets(&written), [0, 3, 4]);
    }

    #[test]
    fn tokens_that_no_text_was_given_for_are_told_in_full() {
        let echoed = EchoedPrompt::new(&tokenizer(), &[TokenId(0), TokenId(2)], None);
        assert_eq!(echoed.text, "<s>b");
        assert_eq!(echoed.tokens, [(TokenId(0), 0), (TokenId(2), 3)]);
    }
}
