//! Why a grammar was refused.

/// A grammar that cannot be used. The messages are for the client who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// More text than is compiled.
    #[error("it has {bytes} bytes and at most {bytes_max} are compiled; make it smaller")]
    TooLong {
        /// Bytes of the source.
        bytes: usize,
        /// Bytes that would do.
        bytes_max: usize,
    },
    /// Brackets in brackets.
    #[error("its brackets are {depth} deep and at most {depth_max} are read; flatten it")]
    TooDeep {
        /// Open brackets at the deepest place.
        depth: usize,
        /// Open brackets that would do.
        depth_max: usize,
    },
    /// A regular expression that can be taken apart in too many ways.
    #[error(
        "a regular expression has {repeats} of the signs * + ? {{ | and at most {repeats_max} are \
         compiled; split it, or list choices"
    )]
    TooManyRepeats {
        /// Signs that it has.
        repeats: usize,
        /// Signs that would do.
        repeats_max: usize,
    },
    /// A list of choices with nothing in it.
    #[error("it has no choices; give at least one")]
    NoChoices,
    /// The text is in a notation that is not read.
    #[error("{what} is not supported; {instead}")]
    Unsupported {
        /// What was found.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// The text does not follow its own notation, asks for the impossible, or takes too much work.
    #[error("{fact}")]
    Refused {
        /// What the compiler says about it.
        fact: String,
    },
    /// The model's vocabulary cannot be walked by a grammar.
    #[error("the vocabulary of the model allows no structured output: {fact}")]
    Vocabulary {
        /// What about it.
        fact: String,
    },
    /// The system gave no thread to compile on.
    #[error("the server has no room to compile it now: {fact}")]
    NoThread {
        /// What the system said.
        fact: String,
    },
}
