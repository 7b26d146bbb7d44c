//! All slots, the first of them by default, and the memory they share.

use std::sync::{Arc, PoisonError, RwLock};

use super::slot::{Changes, Slot};
use super::{DeclaredModel, ModelEntry, ModelStatus, NameTaken};
use crate::admission::AdmissionLimits;
use crate::device_turns::DeviceTurns;
use crate::metrics::ModelMetrics;
use crate::{MemoryLimits, Refusal, ServedModel};

/// The name that stands for the first model, whatever that is called.
const DEFAULT: &str = "default";

/// See the module.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Never changed in place: who has a list keeps it.
    slots: RwLock<Arc<Vec<Arc<Slot>>>>,
    pub(super) changes: Arc<Changes>,
    /// Held by the one load that is under way.
    pub(super) loads: tokio::sync::Mutex<()>,
    pub(super) memory: MemoryLimits,
    pub(super) turns: DeviceTurns,
}

impl Registry {
    pub(crate) fn new(memory: MemoryLimits) -> Self {
        Self {
            slots: RwLock::default(),
            changes: Arc::new(Changes::new()),
            loads: tokio::sync::Mutex::new(()),
            memory,
            turns: DeviceTurns::default(),
        }
    }

    pub(crate) fn turns(&self) -> DeviceTurns {
        self.turns.clone()
    }

    /// Adds a model that can be loaded; `metrics` makes what is measured of it.
    pub(crate) fn declare(
        &self,
        model: DeclaredModel,
        metrics: impl FnOnce(&str) -> Arc<ModelMetrics>,
    ) -> Result<(), NameTaken> {
        let names = std::iter::once(&*model.name).chain(model.aliases.iter().map(String::as_str));
        for name in names {
            let taken_by = self.slots().iter().find(|it| it.is_called(name)).cloned();
            if let Some(slot) = taken_by {
                return Err(NameTaken {
                    name: name.to_owned(),
                    taken_by: slot.name.to_string(),
                });
            }
        }
        let metrics = metrics(&model.name);
        self.add(Slot::declared(model, metrics, Arc::clone(&self.changes)));
        Ok(())
    }

    /// Adds a model that is there, and that somebody else keeps.
    pub(crate) fn keep(&self, model: ServedModel, aliases: Vec<String>, limits: AdmissionLimits) {
        self.add(Slot::kept(
            model,
            aliases,
            limits,
            Arc::clone(&self.changes),
        ));
    }

    fn add(&self, slot: Slot) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&slots);
        list.push(Arc::new(slot));
        *slots = Arc::new(list);
    }

    pub(crate) fn slots(&self) -> Arc<Vec<Arc<Slot>>> {
        Arc::clone(&self.slots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The slot of the model that `name` or an alias of it stands for.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<Slot>, Refusal> {
        let slots = self.slots();
        let named = |name: &str| slots.iter().find(|it| it.is_called(name));
        let found = match name {
            None | Some(DEFAULT) => named(DEFAULT).or(slots.first()),
            Some(name) => named(name),
        };
        found.cloned().ok_or_else(|| Refusal::UnknownModel {
            name: name.unwrap_or(DEFAULT).to_owned(),
            known: known(&slots),
        })
    }

    pub(crate) fn entries(&self) -> Vec<ModelEntry> {
        self.slots().iter().map(|it| it.entry()).collect()
    }

    /// Whether a model is still to be loaded before the server is ready.
    pub(crate) fn is_starting(&self) -> bool {
        let slots = self.slots();
        slots.is_empty() || slots.iter().any(|it| it.starts())
    }

    /// The first model that cannot serve, if none can.
    pub(crate) fn failed(&self) -> Option<(String, String)> {
        let slots = self.slots();
        let fact = |slot: &Arc<Slot>| match slot.status() {
            ModelStatus::Failed { fact } => Some((slot.name.to_string(), fact)),
            _ => None,
        };
        let failed: Vec<_> = slots.iter().filter_map(fact).collect();
        let all = failed.len() == slots.len();
        failed.into_iter().next().filter(|_| all)
    }

    pub(crate) fn answers_open(&self) -> u32 {
        self.slots().iter().map(|it| it.admission.taken()).sum()
    }

    /// Waits until no request is being served.
    pub(crate) async fn idle(&self) {
        for slot in self.slots().iter() {
            slot.admission.idle().await;
        }
    }
}

/// What may be asked for, for people.
fn known(slots: &[Arc<Slot>]) -> String {
    let names: Vec<&str> = slots.iter().flat_map(|it| it.names()).collect();
    names.join(", ") + ", " + DEFAULT
}
