//! The port through which models come in, and what goes through it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sconce_domain::TokenCount;

use super::kind::Served;
use crate::device_turns::DeviceTurns;
use crate::metrics::ModelMetrics;
use crate::{AdmissionLimits, ServedModel};

/// Brings one model in, as often as it is asked to. Both ways block for as long as they take.
pub trait ModelLoader<M: Served = ServedModel>: fmt::Debug + Send + Sync {
    /// Whether its file is on this machine. If not, [`ModelLoader::find`] may take minutes.
    fn is_here(&self) -> bool;

    /// Finds the model's file, fetching it if need be, and reads off what the model will take.
    ///
    /// # Errors
    /// If there is no such file or it cannot be used.
    fn find(&self) -> Result<ModelNeeds, LoadFailure>;

    /// Loads the model.
    ///
    /// # Errors
    /// If it cannot be loaded. Nothing of it is left in memory then.
    fn load(&self, context: &ModelContext<M::Metrics>) -> Result<LoadedModel<M>, LoadFailure>;

    /// The model has been dropped: what the process still holds of its memory can go to the system.
    fn unloaded(&self) {}
}

/// What a model is told of the process it is loaded into.
#[derive(Debug)]
pub struct ModelContext<T = ModelMetrics> {
    /// Its metrics. They outlive it.
    pub metrics: Arc<T>,
    /// The turns that its device takes with those of other models.
    pub turns: DeviceTurns,
}

impl<T> Clone for ModelContext<T> {
    fn clone(&self) -> Self {
        Self {
            metrics: Arc::clone(&self.metrics),
            turns: self.turns.clone(),
        }
    }
}

/// What a model takes, known before it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelNeeds {
    /// Bytes of its weights, as they lie in memory.
    pub weight_bytes: u64,
    /// Bytes of its KV cache when every block is in use; an encoder has none.
    pub kv_bytes: u64,
    /// Tokens that prompt and answer may have together, or a text that is read.
    pub context: TokenCount,
    /// When it was made, in seconds since 1970.
    pub created_s: u64,
}

impl ModelNeeds {
    /// All bytes that count.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.kv_bytes)
    }
}

/// A model that is loaded, and the thread that keeps it so.
#[derive(Debug)]
#[must_use = "dropping this unloads the model"]
pub struct LoadedModel<M: Served = ServedModel> {
    /// What the pipeline serves.
    pub served: M,
    /// Dropping it ends the thread and gives the model's memory back.
    pub thread: M::Thread,
    /// What it takes now that it is there; the same as its needs said, if those are exact.
    pub bytes: u64,
}

/// Why a model could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fact}")]
pub struct LoadFailure {
    /// What is wrong, and what to do.
    pub fact: String,
}

/// A model that can be loaded.
#[derive(Debug)]
pub struct DeclaredModel<M: Served = ServedModel> {
    /// The name in lists and answers.
    pub name: Arc<str>,
    /// Other names that clients may use for it.
    pub aliases: Vec<String>,
    /// How many answers it may run and keep waiting at once, or how many texts.
    pub limits: AdmissionLimits,
    /// Whether it will be loaded without being asked for, and the server is not ready before.
    pub at_start: bool,
    /// How long nobody uses it before it is unloaded, or `None` for ever.
    pub idle_unload: Option<Duration>,
    /// Brings it in.
    pub loader: Arc<dyn ModelLoader<M>>,
}

/// A name that belongs to another model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name `{name}` stands for `{taken_by}` already; choose another")]
pub struct NameTaken {
    /// The name.
    pub name: String,
    /// The model that has it.
    pub taken_by: String,
}

/// Who gives way to a model that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displaces {
    /// Nobody: it is loaded if there is room.
    Nobody,
    /// Those that nobody uses, the least recently used first. If those that are in use leave no room,
    /// the least recently used of them takes no new request until it is unloaded.
    Others,
}

/// How models share the memory of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes that weights and KV caches of all models together may take; without it, any number.
    pub bytes_max: Option<u64>,
    /// How long a model waits for others to become idle before it has one of them drained.
    pub patience: Duration,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            bytes_max: None,
            patience: Duration::from_secs(5),
        }
    }
}
