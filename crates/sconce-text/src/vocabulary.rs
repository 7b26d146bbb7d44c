//! A model's vocabulary as plain data, before a tokenizer is built from it.

use sconce_domain::TokenId;

use crate::TextError;

/// Everything a tokenizer is built from. A token's id is its place in `tokens`.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// How text becomes tokens.
    pub kind: VocabularyKind,
    /// The tokens' texts, in the notation of their kind.
    pub tokens: Vec<String>,
    /// What each token is for; as many as there are tokens.
    pub classes: Vec<TokenClass>,
    /// The tokens with a part to play.
    pub special: SpecialTokens,
    /// What is added around a prompt.
    pub edges: EdgeTokens,
}

/// How text becomes tokens.
#[derive(Debug, Clone)]
pub enum VocabularyKind {
    /// Words cut by a pattern, their bytes merged by rank.
    BytePairs {
        /// Two tokens and a space between them; the earlier, the sooner merged.
        merges: Vec<String>,
        /// The name of the pattern; empty stands for `default`.
        pre_tokenizer: String,
    },
    /// Characters of the whole text merged by score, with byte tokens for what is left over.
    SentencePieces {
        /// Each token's score; the higher, the sooner merged.
        scores: Vec<f32>,
        /// Which texts begin with a space that is not their own; `None` where the file says nothing.
        space_prefix: Option<SpacePrefix>,
    },
}

/// Which texts begin with a space that is not their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpacePrefix {
    /// None.
    Absent,
    /// Each: at the beginning and behind every marker.
    EachText,
    /// The one at the beginning, unless it has a space already.
    FirstText,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenClass {
    /// A piece of text.
    Normal,
    /// Stands for what the vocabulary cannot express.
    Unknown,
    /// Structure, such as the end of a turn: never made from plain text, never shown.
    Control,
    /// A piece of text that is found before everything else.
    UserDefined,
    /// A place kept free.
    Unused,
    /// One byte, written as `<0x0A>`.
    Byte,
}

/// The tokens with a part to play; `None` where the model has no such token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<TokenId>,
    /// Ends a text.
    pub eos: Option<TokenId>,
    /// Ends a turn.
    pub eot: Option<TokenId>,
    /// Ends a message that the model will go on from.
    pub eom: Option<TokenId>,
    /// Stands for what the vocabulary cannot express.
    pub unknown: Option<TokenId>,
    /// Fills up a batch.
    pub padding: Option<TokenId>,
}

/// What is added around a prompt; `None` where the file leaves it to the vocabulary's kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EdgeTokens {
    /// Whether the text's beginning is marked.
    pub adds_bos: Option<bool>,
    /// Whether the text's end is marked.
    pub adds_eos: Option<bool>,
}

/// The kinds of tokenizer that are built in, by the name that model files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenizerModel {
    /// Makes [`VocabularyKind::BytePairs`].
    BytePairs,
    /// Makes [`VocabularyKind::SentencePieces`].
    SentencePieces,
}

impl TokenizerModel {
    /// Reads the name; WordPiece (`bert`), unigram (`t5`) and the rest are refused by name.
    pub fn parse(name: &str) -> Result<Self, TextError> {
        match name {
            "gpt2" => Ok(Self::BytePairs),
            "llama" => Ok(Self::SentencePieces),
            _ => Err(TextError::TokenizerModelUnknown {
                name: name.to_owned(),
                known: "gpt2 (byte pairs), llama (sentence pieces)".to_owned(),
            }),
        }
    }
}

impl TokenClass {
    /// Reads the number that model files use; `None` for a number without a meaning.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Normal),
            2 => Some(Self::Unknown),
            3 => Some(Self::Control),
            4 => Some(Self::UserDefined),
            5 => Some(Self::Unused),
            6 => Some(Self::Byte),
            _ => None,
        }
    }

    /// Whether tokens of this class appear in the text that a reader sees.
    pub(crate) fn is_visible(self) -> bool {
        match self {
            Self::Normal | Self::UserDefined | Self::Byte => true,
            Self::Unknown | Self::Control | Self::Unused => false,
        }
    }
}

impl Vocabulary {
    /// Checks that the parts fit each other, so that a tokenizer may rely on it.
    pub(crate) fn check(&self) -> Result<(), TextError> {
        let size = self.tokens.len();
        if size == 0 || u32::try_from(size).is_err() {
            return Err(TextError::broken(format!("it has {size} tokens")));
        }
        if self.classes.len() != size {
            let classes = self.classes.len();
            return Err(TextError::broken(format!(
                "{size} tokens have {classes} classes"
            )));
        }
        if let VocabularyKind::SentencePieces { scores, .. } = &self.kind
            && scores.len() != size
        {
            let scores = scores.len();
            return Err(TextError::broken(format!(
                "{size} tokens have {scores} scores"
            )));
        }
        self.special.check(size)
    }
}

impl SpecialTokens {
    fn check(&self, size: usize) -> Result<(), TextError> {
        let named = [
            ("bos", self.bos),
            ("eos", self.eos),
            ("eot", self.eot),
            ("eom", self.eom),
            ("unknown", self.unknown),
            ("padding", self.padding),
        ];
        for (name, token) in named {
            if let Some(TokenId(id)) = token
                && id as usize >= size
            {
                return Err(TextError::broken(format!(
                    "its {name} token is {id} of {size}"
                )));
            }
        }
        Ok(())
    }
}
