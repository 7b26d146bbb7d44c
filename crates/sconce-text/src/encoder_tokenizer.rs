//! The tokenizer of an encoder, from the `tokenizer.json` that lies beside its weights.
//!
//! What the file says of cutting and filling up is not followed: it is what somebody trained with. Here a
//! batch needs no padding, and whether a text is cut is the caller's to say.

use sconce_domain::{EncoderText, TokenId};
use tokenizers::Tokenizer;

use crate::TextError;

/// Turns texts into what an encoder takes.
#[derive(Debug)]
pub struct EncoderTokenizer {
    tokenizer: Tokenizer,
    /// What stands before and behind a text.
    single: [Vec<TokenId>; 2],
    /// What stands before, between and behind two.
    pair: [Vec<TokenId>; 3],
    vocabulary_size: usize,
}

impl EncoderTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is none, or puts markers anywhere but around texts.
    pub fn from_json(json: &[u8]) -> Result<Self, TextError> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| refused(&*error))?;
        tokenizer
            .with_truncation(None)
            .map_err(|error| refused(&*error))?
            .with_padding(None);
        let single = markers(&tokenizer, false)?;
        let pair = markers(&tokenizer, true)?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        Ok(Self {
            single: exactly(single)?,
            pair: exactly(pair)?,
            vocabulary_size: largest.map_or(0, |it| it as usize + 1),
            tokenizer,
        })
    }

    /// One more than the largest token.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    /// The tokens of `text`, without markers around it. The texts of markers in it become the markers, as
    /// they do in the libraries that encoders are trained with.
    ///
    /// # Errors
    /// If the vocabulary cannot write the text.
    pub fn tokens(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|error| TextError::Tokenizer {
            reason: error.to_string(),
        })?;
        Ok(encoding.get_ids().iter().copied().map(TokenId).collect())
    }

    /// How many markers a text gets.
    #[must_use]
    pub fn markers(&self) -> usize {
        self.single.iter().map(Vec::len).sum()
    }

    /// How many markers two texts get that are read together.
    #[must_use]
    pub fn pair_markers(&self) -> usize {
        self.pair.iter().map(Vec::len).sum()
    }

    /// A text with its markers.
    #[must_use]
    pub fn frame(&self, tokens: &[TokenId]) -> EncoderText {
        let [before, behind] = &self.single;
        let tokens = [before, tokens, behind].concat();
        EncoderText {
            second_starts: tokens.len(),
            tokens,
        }
    }

    /// Two texts with their markers, to be read together.
    #[must_use]
    pub fn frame_pair(&self, first: &[TokenId], second: &[TokenId]) -> EncoderText {
        let [before, between, behind] = &self.pair;
        EncoderText {
            tokens: [before, first, between, second, behind].concat(),
            second_starts: before.len() + first.len() + between.len(),
        }
    }
}

/// The markers that the tokenizer puts around one text or two, in each place.
fn markers(tokenizer: &Tokenizer, is_pair: bool) -> Result<Vec<Vec<TokenId>>, TextError> {
    let encoded = match is_pair {
        true => tokenizer.encode(("a", "a"), true),
        false => tokenizer.encode("a", true),
    };
    let encoded = encoded.map_err(|error| refused(&*error))?;
    let mut places = vec![Vec::new()];
    let mut in_text = false;
    let rows = encoded
        .get_ids()
        .iter()
        .zip(encoded.get_special_tokens_mask());
    for (token, is_marker) in rows {
        match (*is_marker == 1, places.last_mut()) {
            (true, Some(place)) => place.push(TokenId(*token)),
            (_, _) if !in_text => places.push(Vec::new()),
            _ => {}
        }
        in_text = *is_marker == 0;
    }
    Ok(places)
}

fn exactly<const COUNT: usize>(
    places: Vec<Vec<TokenId>>,
) -> Result<[Vec<TokenId>; COUNT], TextError> {
    let found = places.len() - 1;
    places.try_into().map_err(|_| {
        let what = format!(
            "tokenizer.json makes {found} texts of {}, by its markers",
            COUNT - 1
        );
        TextError::broken(what)
    })
}

fn refused(error: &(dyn std::error::Error + Send + Sync)) -> TextError {
    TextError::broken(format!("tokenizer.json: {error}"))
}
