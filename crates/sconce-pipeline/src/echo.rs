//! A prompt that is told again before its answer.

use std::sync::Arc;

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

/// What is still to be told of a prompt.
#[derive(Debug)]
pub(crate) struct Echo {
    prompt: Arc<EchoedPrompt>,
    is_scored: bool,
    reported: usize,
}

impl Echo {
    pub(crate) fn new(prompt: Arc<EchoedPrompt>, is_scored: bool) -> Self {
        Self {
            prompt,
            is_scored,
            reported: 0,
        }
    }

    /// Characters before the answer.
    pub(crate) fn chars(&self) -> u32 {
        self.prompt.chars
    }

    /// The whole text, and its first token, whose probability nothing tells, if tokens are wanted.
    pub(crate) fn begin(&mut self, tokenizer: &Tokenizer) -> (String, Vec<TokenReport>) {
        let first = self.next().filter(|_| self.is_scored);
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
        let report = |scored: &TokenLogprobs| {
            let (_, offset_chars) = self.next()?;
            Some(TokenReport {
                offset_chars,
                ..report(tokenizer, scored)
            })
        };
        scores.iter().filter_map(report).collect()
    }

    fn next(&mut self) -> Option<(TokenId, u32)> {
        let next = self.prompt.tokens.get(self.reported).copied();
        self.reported += 1;
        next
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
