//! Text to tokens by merging bytes, word by word.

use sconce_domain::TokenId;
use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Merges, Vocab};

use super::byte_letters::ByteLetters;
use super::words::{WholeWords, WordCutter};
use crate::TextError;
use crate::vocabulary::{TokenClass, Vocabulary};

/// Encodes with a byte-pair vocabulary.
#[derive(Debug)]
pub(super) struct BytePairs {
    cutter: WordCutter,
    letters: ByteLetters,
    merger: BPE,
    /// Bytes without a token, which the merger would drop without a word. Usually none that
    /// text can hold.
    bytes_missing: Vec<u8>,
}

impl BytePairs {
    /// Control tokens stay out of the merger, so that no plain text can become one.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        merges: &[String],
        pre_tokenizer: &str,
    ) -> Result<Self, TextError> {
        let cutter = WordCutter::named(pre_tokenizer)?;
        let letters = ByteLetters::new();
        let mut ids = Vocab::default();
        for ((id, token), class) in (0..).zip(&vocabulary.tokens).zip(&vocabulary.classes) {
            if *class != TokenClass::Control {
                ids.insert(token.clone(), id);
            }
        }
        let bytes_missing = (0..=u8::MAX)
            .filter(|byte| !ids.contains_key(letters.letter(*byte).encode_utf8(&mut [0; 4])))
            .collect();
        let merges = read_merges(merges, &ids)?;
        let merger = BPE::builder()
            .vocab_and_merges(ids, merges)
            .ignore_merges(cutter.whole_words() == WholeWords::Taken)
            .build()
            .map_err(|error| TextError::broken(error.to_string()))?;
        Ok(Self {
            cutter,
            letters,
            merger,
            bytes_missing,
        })
    }

    /// Whether prompts begin with BOS where the file is silent.
    pub(super) fn adds_bos(&self) -> bool {
        self.cutter.adds_bos()
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        if let Some(byte) = self
            .bytes_missing
            .iter()
            .find(|it| text.as_bytes().contains(it))
        {
            return Err(TextError::ByteWithoutToken { byte: *byte });
        }
        for word in self.cutter.cut(text) {
            let merged = self
                .merger
                .tokenize(&self.letters.spell(word))
                .map_err(|error| TextError::Tokenizer {
                    reason: error.to_string(),
                })?;
            tokens.extend(merged.iter().map(|it| TokenId(it.id)));
        }
        Ok(())
    }
}

/// Splits the merges and makes sure that their parts and results are tokens: the library takes
/// that for granted and panics on a result longer than any token.
fn read_merges(merges: &[String], ids: &Vocab) -> Result<Merges, TextError> {
    let mut read = Vec::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        // A token may itself begin with a space, so the first character never separates.
        let separator = merge
            .char_indices()
            .skip(1)
            .find(|(_, it)| *it == ' ')
            .map(|(at, _)| at);
        let Some((left, right)) = separator.map(|at| (&merge[..at], &merge[at + 1..])) else {
            return Err(TextError::broken(format!(
                "merge {rank} \"{merge}\" is not a pair"
            )));
        };
        let merged = [left, right].concat();
        if let Some(part) = [left, right, &merged]
            .into_iter()
            .find(|it| !ids.contains_key(*it))
        {
            return Err(TextError::broken(format!(
                "merge {rank} needs \"{part}\", not a token"
            )));
        }
        read.push((left.to_owned(), right.to_owned()));
    }
    Ok(read)
}
