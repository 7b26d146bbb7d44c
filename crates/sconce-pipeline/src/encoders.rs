//! The encoders that are served, the first of them by default.

use std::sync::{Arc, PoisonError, RwLock};

use sconce_domain::TokenCount;
use sconce_text::EncoderTokenizer;

use crate::encoder_thread::EncoderHandle;
use crate::{ModelEntry, ModelStatus};

/// The name that stands for the first encoder, whatever that is called.
const DEFAULT: &str = "default";

/// What the pipeline is given to serve an encoder.
#[derive(Debug)]
pub struct ServedEncoder {
    /// The name in lists and answers.
    pub name: Arc<str>,
    /// Other names that clients may use for it.
    pub aliases: Vec<String>,
    /// Its tokenizer.
    pub tokenizer: Arc<EncoderTokenizer>,
    /// What it makes of a text.
    pub kind: EncoderKind,
    /// Tokens that a text may have, with the markers around it.
    pub context: TokenCount,
    /// How many tokens it knows.
    pub vocabulary: u32,
    /// The thread that runs it.
    pub encoder: EncoderHandle,
    /// When it was made, in seconds since 1970, as the list of models shows it.
    pub created_s: u64,
}

/// What an encoder makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    /// A vector of so many numbers.
    Vectors {
        /// How many.
        dimensions: usize,
    },
    /// Of two texts, a logit that says how well they fit.
    Scores,
}

/// All encoders. A request keeps the one it began with.
#[derive(Debug, Default)]
pub(crate) struct Encoders(RwLock<Vec<Arc<ServedEncoder>>>);

impl ServedEncoder {
    pub(crate) fn entry(&self) -> ModelEntry {
        ModelEntry {
            name: self.name.to_string(),
            created_s: self.created_s,
            context: Some(self.context),
            status: ModelStatus::Ready,
        }
    }

    /// Its name, then its aliases.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.aliases.iter().map(String::as_str))
    }

    fn is_called(&self, name: &str) -> bool {
        self.names().any(|it| it == name)
    }
}

impl Encoders {
    pub(crate) fn add(&self, encoder: ServedEncoder) {
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        list.push(Arc::new(encoder));
    }

    pub(crate) fn all(&self) -> Vec<Arc<ServedEncoder>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The encoder of that very name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<ServedEncoder>> {
        self.all().into_iter().find(|it| it.is_called(name))
    }

    /// The encoder of that name, or the first one where none is named.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<Arc<ServedEncoder>> {
        match name {
            Some(name) if name != DEFAULT => self.named(name),
            _ => self.all().into_iter().next(),
        }
    }

    /// The names, for people.
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self.all().iter().map(|it| it.name.to_string()).collect();
        names.join(", ")
    }

    /// Texts that run or wait.
    pub(crate) fn taken(&self) -> u32 {
        self.all().iter().map(|it| it.encoder.taken()).sum()
    }

    /// Waits until no text is being read.
    pub(crate) async fn idle(&self) {
        for encoder in self.all() {
            encoder.encoder.idle().await;
        }
    }
}
