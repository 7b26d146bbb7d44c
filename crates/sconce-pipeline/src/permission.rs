//! What a caller may ask, and what is left to it.

use std::sync::Arc;

use sconce_domain::{Allowance, Caller};
use sconce_limits::{Standing, may_use};

use crate::models::{Kind, Slot};
use crate::{ModelEntry, Pipeline, Refusal};

impl Pipeline {
    /// What is left to a caller of its limits.
    #[must_use]
    pub fn standing(&self, caller: &Caller) -> Standing {
        self.accounts.standing(caller)
    }

    /// The models that a caller may ask, and how they stand.
    #[must_use]
    pub fn model_entries_for(&self, caller: &Caller) -> Vec<ModelEntry> {
        let slots = self.registry.slots();
        let slots = slots.iter().filter(|it| may_ask(caller, it));
        slots.map(|it| it.entry()).collect()
    }

    /// The model that `name` or an alias of it stands for, if the caller may ask it.
    ///
    /// # Errors
    /// If there is none.
    pub fn model_entry_for(&self, caller: &Caller, name: &str) -> Result<ModelEntry, Refusal> {
        let found = self.registry.find(name);
        self.if_permitted(caller, Some(name), found)
            .map(|it| it.entry())
    }

    /// Where the model of that kind is that `name` stands for, if the caller may ask it. Of others it learns
    /// nothing, not even whether they are there.
    pub(crate) fn slot_for<M: Kind>(
        &self,
        caller: &Caller,
        name: Option<&str>,
    ) -> Result<Arc<Slot>, Refusal> {
        let found = self.slot::<M>(name, |it| may_ask(caller, it));
        self.if_permitted(caller, name, found)
    }

    fn if_permitted(
        &self,
        caller: &Caller,
        name: Option<&str>,
        found: Result<Arc<Slot>, Refusal>,
    ) -> Result<Arc<Slot>, Refusal> {
        match found {
            Ok(slot) if !may_ask(caller, &slot) => {
                Err(not_allowed(caller, name.unwrap_or(&slot.name)))
            }
            Err(Refusal::UnknownModel { name, .. }) if is_bound(caller) => {
                Err(not_allowed(caller, &name))
            }
            found => found,
        }
    }
}

fn may_ask(caller: &Caller, slot: &Slot) -> bool {
    let names: Vec<&str> = slot.names().collect();
    may_use(&caller.allowances, &names)
}

/// Whether there are models that the caller may not ask.
fn is_bound(caller: &Caller) -> bool {
    !may_use(&caller.allowances, &[])
}

fn not_allowed(caller: &Caller, name: &str) -> Refusal {
    let lists = caller
        .allowances
        .iter()
        .filter_map(|it| it.models.as_deref());
    // What the narrower of two lists has is most likely allowed by both.
    let narrowest = lists.min_by_key(|it| it.len()).unwrap_or_default();
    let is_everywhere = |it: &&Arc<str>| caller.allowances.iter().all(|of| lists_model(of, it));
    let allowed: Vec<&str> = narrowest
        .iter()
        .filter(is_everywhere)
        .map(|it| &**it)
        .collect();
    Refusal::ModelNotAllowed {
        name: name.to_owned(),
        allowed: allowed.join(", "),
    }
}

fn lists_model(allowance: &Allowance, model: &Arc<str>) -> bool {
    let models = allowance.models.as_ref();
    models.is_none_or(|it| it.contains(model))
}
