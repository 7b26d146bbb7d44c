//! The models of the process: declared by name, loaded when told to or asked for, and unloaded when
//! their memory is needed elsewhere.
//!
//! A model has a slot, whether it continues texts or reads them (`kind.rs`). Who serves a request with it holds a [`ModelUse`], and a model in use is never
//! unloaded. Loads happen one at a time, so that what is loaded next sees the memory as it is.

mod entry;
mod kind;
mod loader;
mod loading;
mod model_use;
mod registry;
mod room;
mod slot;
mod source;

pub use entry::{ModelEntry, ModelKind, ModelStatus};
pub(crate) use kind::Kind;
pub use kind::Served;
pub use loader::{
    DeclaredModel, Displaces, LoadFailure, LoadedModel, MemoryLimits, ModelContext, ModelLoader,
    ModelNeeds, NameTaken,
};
pub(crate) use model_use::ModelUse;
pub(crate) use registry::Registry;
pub(crate) use slot::Slot;
