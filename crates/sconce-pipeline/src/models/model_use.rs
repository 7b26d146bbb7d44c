//! Who holds a model in use. While one of these is there, the model is not unloaded.

use std::ops::Deref;
use std::sync::Arc;

use super::kind::Served;
use super::slot::Slot;
use crate::ServedModel;

/// A loaded model, in use.
#[derive(Debug)]
#[must_use = "dropping this ends the use"]
pub(crate) struct ModelUse<M: Served = ServedModel> {
    slot: Arc<Slot>,
    model: Arc<M>,
}

impl<M: Served> ModelUse<M> {
    /// The slot has counted the use.
    pub(super) fn new(slot: Arc<Slot>, model: Arc<M>) -> Self {
        Self { slot, model }
    }
}

impl<M: Served> Deref for ModelUse<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

impl<M: Served> Drop for ModelUse<M> {
    fn drop(&mut self) {
        self.slot.end_use();
    }
}
