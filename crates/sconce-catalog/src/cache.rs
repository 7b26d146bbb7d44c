//! Where model files live on this machine: `models/NAME/FILE` for cards, and
//! `models/hub/OWNER/REPO/REVISION/FILE` for everything else that a hub has.

use std::path::{Path, PathBuf};

use crate::slot::Slot;
use crate::{HubFile, ModelCard};

/// The folder of all fetched models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCache {
    root: PathBuf,
}

impl ModelCache {
    /// A cache in `root`, which is made when the first model is fetched.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that holds the cache.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the card's file is, or would be.
    #[must_use]
    pub fn card_path(&self, card: &ModelCard) -> PathBuf {
        self.card_slot(card).path()
    }

    /// Where the hub's file is, or would be.
    #[must_use]
    pub fn hub_path(&self, file: &HubFile) -> PathBuf {
        self.hub_slot(file).path()
    }

    pub(crate) fn card_slot(&self, card: &ModelCard) -> Slot {
        Slot::new(self.models().join(&card.name), &card.file)
    }

    /// Where a companion of the card's file is, or would be.
    pub(crate) fn companion_slot(&self, card: &ModelCard, companion: &str) -> Slot {
        let folder = self.models().join(&card.name);
        match companion.rsplit_once('/') {
            Some((inner, name)) => Slot::new(folder.join(inner), name),
            None => Slot::new(folder, companion),
        }
    }

    /// Where wheels are kept that several of the card's files come out of, until all are there.
    pub(crate) fn shared_wheels(&self, card: &ModelCard) -> PathBuf {
        self.models().join(&card.name).join(".wheels")
    }

    pub(crate) fn hub_slot(&self, file: &HubFile) -> Slot {
        // One folder for the revision, however many slashes it has: no two revisions share one.
        let revision = file.revision().replace('/', "%2F");
        let repository = self
            .models()
            .join("hub")
            .join(file.owner())
            .join(file.repository());
        let folder = repository.join(revision);
        match file.file().rsplit_once('/') {
            Some((inner, name)) => Slot::new(folder.join(inner), name),
            None => Slot::new(folder, file.file()),
        }
    }

    fn models(&self) -> PathBuf {
        self.root.join("models")
    }
}
