//! What can go wrong between strings and tokens.

/// Why a vocabulary, a text or a template was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The file names a kind of tokenizer that is not built in.
    #[error("tokenizer model \"{name}\" is not supported; supported are {known}")]
    TokenizerModelUnknown {
        /// The name in the file.
        name: String,
        /// The names that would do.
        known: String,
    },
    /// The file names a way of cutting text into words that is not built in.
    #[error("pre-tokenizer \"{name}\" is not known; known are {known}")]
    PreTokenizerUnknown {
        /// The name in the file.
        name: String,
        /// The names that would do.
        known: String,
    },
    /// The vocabulary contradicts itself.
    #[error("the vocabulary is broken: {what}; fetch the model file again")]
    VocabularyBroken {
        /// What does not fit.
        what: String,
    },
    /// Text holds a byte that the vocabulary cannot express.
    #[error("byte 0x{byte:02x} of the text has no token in the model's vocabulary; remove it")]
    ByteWithoutToken {
        /// The byte.
        byte: u8,
    },
    /// The tokenizer library refused a text.
    #[error("the text could not be tokenized: {reason}")]
    Tokenizer {
        /// The library's own words.
        reason: String,
    },
    /// A stop string without characters would stop everything.
    #[error("stop string {index} is empty; leave it out")]
    StopStringEmpty {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// The chat template does not compile.
    #[error("the chat template does not compile: {reason}")]
    TemplateSyntax {
        /// What is wrong and where.
        reason: String,
    },
    /// The template itself refused the messages.
    #[error("the model's chat template refuses these messages: {reason}")]
    TemplateRefused {
        /// The template's own words.
        reason: String,
    },
    /// Rendering went wrong.
    #[error("the chat template failed: {reason}")]
    TemplateFailed {
        /// What is wrong and where.
        reason: String,
    },
    /// The template did more work than its input justifies.
    #[error("the chat template was stopped after {fuel} units of work; it may loop without end")]
    TemplateOutOfFuel {
        /// The work it was granted.
        fuel: u64,
    },
    /// The template wrote more than its input justifies.
    #[error("the chat template was stopped after {bytes_max} bytes of output")]
    TemplateOutputTooLong {
        /// The bytes it was granted.
        bytes_max: usize,
    },
    /// The variables for a template are not a map from names to values.
    #[error("the variables of a chat template must be a map")]
    TemplateVariablesNotAMap,
}

impl TextError {
    /// A contradiction inside a vocabulary.
    pub(crate) fn broken(what: impl Into<String>) -> Self {
        Self::VocabularyBroken { what: what.into() }
    }
}
