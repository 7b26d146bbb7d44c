//! Where a slot gets its model from: a loader, and what that loader is told of the process.

use std::fmt;
use std::sync::Arc;

use super::kind::{Kind, Resident};
use super::{LoadFailure, ModelContext, ModelLoader, ModelNeeds};

/// A model that is in memory now, and the bytes it takes.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) resident: Resident,
    pub(super) bytes: u64,
}

/// Brings in a model of either kind. All but the first question block.
pub(super) trait Source: fmt::Debug + Send + Sync {
    fn is_here(&self) -> bool;
    fn find(&self) -> Result<ModelNeeds, LoadFailure>;
    fn bring(&self) -> Result<Brought, LoadFailure>;
    fn unloaded(&self);
}

/// The source of a model of one kind.
#[derive(Debug)]
pub(super) struct LoaderSource<M: Kind> {
    pub(super) loader: Arc<dyn ModelLoader<M>>,
    pub(super) context: ModelContext<M::Metrics>,
}

impl<M: Kind> Source for LoaderSource<M> {
    fn is_here(&self) -> bool {
        self.loader.is_here()
    }

    fn find(&self) -> Result<ModelNeeds, LoadFailure> {
        self.loader.find()
    }

    fn bring(&self) -> Result<Brought, LoadFailure> {
        let loaded = self.loader.load(&self.context)?;
        Ok(Brought {
            bytes: loaded.bytes,
            resident: M::settle(loaded),
        })
    }

    fn unloaded(&self) {
        self.loader.unloaded();
    }
}
