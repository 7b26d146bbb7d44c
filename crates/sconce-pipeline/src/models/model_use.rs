//! Who holds a model in use. While one of these is there, the model is not unloaded.

use std::ops::Deref;
use std::sync::Arc;

use super::slot::Slot;
use crate::ServedModel;

/// A loaded model, in use.
#[derive(Debug)]
#[must_use = "dropping this ends the use"]
pub(crate) struct ModelUse {
    slot: Arc<Slot>,
    model: Arc<ServedModel>,
}

impl ModelUse {
    /// The slot has counted the use.
    pub(super) fn new(slot: Arc<Slot>, model: Arc<ServedModel>) -> Self {
        Self { slot, model }
    }
}

impl Deref for ModelUse {
    type Target = ServedModel;

    fn deref(&self) -> &ServedModel {
        &self.model
    }
}

impl Drop for ModelUse {
    fn drop(&mut self) {
        self.slot.end_use();
    }
}
