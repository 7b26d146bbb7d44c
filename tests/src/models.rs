//! The catalog's models for tests: fetched once, checked, and from then on read from the cache.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sconce_catalog::{Catalog, FetchSettings, ModelCache, ModelReference};

/// The checked weights file of the card called `name`. Fetches it at the first call ever.
pub fn model_file(name: &str) -> Result<PathBuf> {
    let catalog = Catalog::builtin();
    let reference = ModelReference::parse(name, &catalog)?;
    let root =
        sconce::cache_root().context("set HOME or SCONCE_CACHE: tests cache models there")?;
    let cache = ModelCache::new(root);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let settings = FetchSettings::default();
    let resolved = runtime.block_on(catalog.resolve(&reference, &cache, &settings, &mut |_| {}))?;
    Ok(resolved.path)
}
