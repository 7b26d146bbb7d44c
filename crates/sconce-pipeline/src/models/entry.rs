//! A model as lists and probes show it.

use sconce_domain::TokenCount;

/// A model as the list of models shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970; zero until its file has been read.
    pub created_s: u64,
    /// Tokens that prompt and answer may have together, or a text that is read; once its file has been read.
    pub context: Option<TokenCount>,
    /// Bytes of its weights, as they lie in memory; zero until its file has been read.
    pub bytes: u64,
    /// What it does.
    pub kind: ModelKind,
    /// How it stands.
    pub status: ModelStatus,
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// It continues texts.
    Generator,
    /// It reads texts and gives numbers.
    Encoder,
}

/// How a model stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelStatus {
    /// It will be loaded without being asked for.
    Declared,
    /// It is loaded when it is asked for.
    Unloaded,
    /// It is being fetched or loaded.
    Loading,
    /// It answers.
    Ready,
    /// It finishes what it has, and is unloaded then.
    Draining,
    /// It could not be loaded, or its engine has stopped.
    Failed {
        /// What happened.
        fact: String,
    },
}

impl ModelStatus {
    /// One word for probes and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Unloaded => "unloaded",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Failed { .. } => "failed",
        }
    }
}
