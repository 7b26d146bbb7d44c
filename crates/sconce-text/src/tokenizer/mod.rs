//! Text to tokens, and each token's part in text.

mod byte_letters;
mod byte_pairs;
pub(crate) mod guard;
mod markers;
mod sentence_pieces;
mod words;

use std::borrow::Cow;

use sconce_domain::TokenId;

use crate::vocabulary::{
    EdgeTokens, SpacePrefix, SpecialTokens, TokenClass, Vocabulary, VocabularyKind,
};
use crate::{Detokenizer, TextError};
use byte_letters::ByteLetters;
use byte_pairs::BytePairs;
use guard::{Guard, Rendered, unsealed};
use markers::{Fragment, Markers};
use sentence_pieces::SentencePieces;
pub use words::{CutStep, pre_tokenizer_of};

/// Texts of control tokens that end an answer wherever they are in a vocabulary: many files name
/// only one end token, and models use the others as well.
const END_MARKERS: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|EOT|>",
    "<end_of_turn>",
    "<|end_of_turn|>",
    "<｜end▁of▁sentence｜>",
];

/// Whether the texts of control tokens become those tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// They stay text.
    Plain,
    /// They become tokens: for prompts that somebody wrote as a whole, and who writes them knows it.
    Parsed,
}

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    markers: Markers,
    guard: Guard,
    entries: Vec<Entry>,
    special: SpecialTokens,
    /// What a prompt begins with.
    prompt_bos: Option<TokenId>,
    /// What a prompt ends with.
    prompt_eos: Option<TokenId>,
    end_tokens: Vec<TokenId>,
}

#[derive(Debug)]
enum Encoder {
    BytePairs(Box<BytePairs>),
    SentencePieces(Box<SentencePieces>),
}

/// What a token stands for, as bytes: a token may hold half a character.
#[derive(Debug)]
struct Entry {
    bytes: Box<[u8]>,
    class: TokenClass,
}

impl Tokenizer {
    /// Builds the tokenizer, or says what in the vocabulary does not fit.
    pub fn new(vocabulary: Vocabulary) -> Result<Self, TextError> {
        vocabulary.check()?;
        let encoder = Encoder::new(&vocabulary)?;
        let markers = Markers::new(&vocabulary)?;
        let guard = Guard::new(&vocabulary)?;
        let EdgeTokens { adds_bos, adds_eos } = vocabulary.edges;
        let adds_bos = adds_bos.unwrap_or_else(|| encoder.adds_bos());
        let adds_eos = adds_eos.unwrap_or(false);
        Ok(Self {
            prompt_bos: vocabulary.special.bos.filter(|_| adds_bos),
            prompt_eos: vocabulary.special.eos.filter(|_| adds_eos),
            entries: read_entries(&vocabulary),
            end_tokens: find_end_tokens(&vocabulary),
            special: vocabulary.special,
            encoder,
            markers,
            guard,
        })
    }

    /// The tokens of `text`, with nothing added around it.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<TokenId>, TextError> {
        self.encode_fragments(self.markers.split(text, specials), Cow::Borrowed)
    }

    /// The tokens of each fragment's text as `read` reads it.
    fn encode_fragments<'t>(
        &self,
        fragments: Vec<Fragment<'t>>,
        read: fn(&'t str) -> Cow<'t, str>,
    ) -> Result<Vec<TokenId>, TextError> {
        let mut tokens = Vec::new();
        let mut follows_text = false;
        for fragment in fragments {
            match fragment {
                Fragment::Marker(token) => tokens.push(token),
                Fragment::Text(text) => match &self.encoder {
                    Encoder::BytePairs(encoder) => encoder.encode(&read(text), &mut tokens)?,
                    Encoder::SentencePieces(encoder) => {
                        encoder.encode(&read(text), follows_text, &mut tokens)?;
                    }
                },
            }
            follows_text = matches!(fragment, Fragment::Text(_));
        }
        Ok(tokens)
    }

    /// The tokens of a whole prompt: with BOS and EOS as the vocabulary wants them, unless the
    /// text brought its own.
    pub fn encode_prompt(&self, text: &str, specials: Specials) -> Result<Vec<TokenId>, TextError> {
        Ok(self.with_edges(self.encode(text, specials)?))
    }

    /// The tokens of a prompt that a template has rendered: its own marks become control tokens, and
    /// what clients have written does not, whatever it spells.
    pub fn encode_rendered(&self, prompt: &Rendered) -> Result<Vec<TokenId>, TextError> {
        let fragments = self.markers.split(prompt.guarded(), Specials::Parsed);
        Ok(self.with_edges(self.encode_fragments(fragments, unsealed)?))
    }

    /// What keeps texts from becoming control tokens of this vocabulary.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    fn with_edges(&self, mut tokens: Vec<TokenId>) -> Vec<TokenId> {
        if let Some(bos) = self.prompt_bos
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        if let Some(eos) = self.prompt_eos
            && tokens.last() != Some(&eos)
        {
            tokens.push(eos);
        }
        tokens
    }

    /// The text that tokens of a whole text stand for. Broken characters become U+FFFD.
    #[must_use]
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let mut detokenizer = Detokenizer::of_whole_text(self);
        let mut text: String = tokens
            .iter()
            .map(|it| detokenizer.push(self.token_bytes(*it)))
            .collect();
        text.push_str(&detokenizer.finish());
        text
    }

    /// What each token adds to the text of a prompt: unlike in an answer, control tokens show as
    /// the markers that encode to them. A character whose bytes are in several tokens is the last
    /// one's.
    #[must_use]
    pub fn prompt_pieces(&self, tokens: &[TokenId]) -> Vec<String> {
        let mut detokenizer = Detokenizer::of_whole_text(self);
        let piece = |token: &TokenId| {
            let bytes = self.token_bytes(*token);
            if bytes.is_empty() {
                detokenizer.finish() + &self.token_text(*token)
            } else {
                detokenizer.push(bytes)
            }
        };
        let mut pieces: Vec<String> = tokens.iter().map(piece).collect();
        if let Some(last) = pieces.last_mut() {
            last.push_str(&detokenizer.finish());
        }
        pieces
    }

    /// The bytes a token adds to an answer; none for control tokens and ids without a token
    /// (models may have more output rows than tokens).
    #[must_use]
    pub fn token_bytes(&self, token: TokenId) -> &[u8] {
        match self.entry(token) {
            Some(entry) if entry.class.is_visible() => &entry.bytes,
            _ => &[],
        }
    }

    /// A token as a report shows it, control tokens too. Half a character shows as U+FFFD.
    #[must_use]
    pub fn token_text(&self, token: TokenId) -> Cow<'_, str> {
        self.entry(token)
            .map_or(Cow::Borrowed(""), |it| String::from_utf8_lossy(&it.bytes))
    }

    /// What a token is for; `None` for ids without a token.
    #[must_use]
    pub fn token_class(&self, token: TokenId) -> Option<TokenClass> {
        self.entry(token).map(|it| it.class)
    }

    /// Tokens that end an answer, in ascending order.
    #[must_use]
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.end_tokens
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.entries.len()
    }

    /// The tokens with a part to play.
    #[must_use]
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// The text of BOS for templates; empty without one.
    #[must_use]
    pub fn bos_text(&self) -> Cow<'_, str> {
        self.special
            .bos
            .map_or(Cow::Borrowed(""), |it| self.token_text(it))
    }

    /// The text of EOS for templates; empty without one.
    #[must_use]
    pub fn eos_text(&self) -> Cow<'_, str> {
        self.special
            .eos
            .map_or(Cow::Borrowed(""), |it| self.token_text(it))
    }

    /// Whether encoding puts a space before the text that decoding has to take away.
    #[must_use]
    pub fn adds_space_prefix(&self) -> bool {
        match &self.encoder {
            Encoder::BytePairs(_) => false,
            Encoder::SentencePieces(encoder) => encoder.adds_space_prefix(),
        }
    }

    fn entry(&self, TokenId(id): TokenId) -> Option<&Entry> {
        self.entries.get(id as usize)
    }
}

impl Encoder {
    fn new(vocabulary: &Vocabulary) -> Result<Self, TextError> {
        match &vocabulary.kind {
            VocabularyKind::BytePairs {
                merges,
                pre_tokenizer,
            } => {
                let encoder = BytePairs::new(vocabulary, merges, pre_tokenizer)?;
                Ok(Self::BytePairs(Box::new(encoder)))
            }
            VocabularyKind::SentencePieces {
                scores,
                space_prefix,
            } => {
                let space_prefix = space_prefix.unwrap_or(SpacePrefix::EachText);
                let encoder = SentencePieces::new(vocabulary, scores, space_prefix)?;
                Ok(Self::SentencePieces(Box::new(encoder)))
            }
        }
    }

    /// Whether prompts begin with BOS where the file is silent.
    fn adds_bos(&self) -> bool {
        match self {
            Self::BytePairs(encoder) => encoder.adds_bos(),
            Self::SentencePieces(_) => true,
        }
    }
}

fn read_entries(vocabulary: &Vocabulary) -> Vec<Entry> {
    let letters = ByteLetters::new();
    let rows = vocabulary.tokens.iter().zip(&vocabulary.classes);
    rows.map(|(text, class)| {
        let bytes = match (class, &vocabulary.kind) {
            (TokenClass::Normal, VocabularyKind::BytePairs { .. }) => letters.read(text),
            (TokenClass::Normal, VocabularyKind::SentencePieces { .. }) => {
                text.replace(sentence_pieces::SPACE, " ").into_bytes()
            }
            (TokenClass::Byte, _) => match sentence_pieces::read_byte(text) {
                Some(byte) => vec![byte],
                None => text.clone().into_bytes(),
            },
            _ => text.clone().into_bytes(),
        };
        Entry {
            bytes: bytes.into_boxed_slice(),
            class: *class,
        }
    })
    .collect()
}

fn find_end_tokens(vocabulary: &Vocabulary) -> Vec<TokenId> {
    let special = &vocabulary.special;
    let mut tokens: Vec<TokenId> = [special.eos, special.eot, special.eom]
        .into_iter()
        .flatten()
        .collect();
    let rows = (0..)
        .map(TokenId)
        .zip(&vocabulary.tokens)
        .zip(&vocabulary.classes);
    tokens.extend(rows.filter_map(|((token, text), class)| {
        let is_end = *class == TokenClass::Control && END_MARKERS.contains(&text.as_str());
        is_end.then_some(token)
    }));
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}
