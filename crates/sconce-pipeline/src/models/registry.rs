//! All slots, the first of them by default, and the memory they share.

use std::sync::{Arc, PoisonError, RwLock};

use super::kind::Kind;
use super::slot::{Changes, Slot};
use super::{DeclaredModel, ModelContext, ModelEntry, ModelKind, ModelStatus, NameTaken};
use crate::admission::AdmissionLimits;
use crate::device_turns::DeviceTurns;
use crate::{MemoryLimits, Refusal, ServedModel};

/// The name that stands for the first model of the kind that is wanted, whatever that is called.
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
    pub(crate) fn declare<M: Kind>(
        &self,
        model: DeclaredModel<M>,
        metrics: impl FnOnce(&str) -> Arc<M::Metrics>,
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
        let context = ModelContext {
            metrics: metrics(&model.name),
            turns: self.turns(),
        };
        self.add(Slot::declared(model, context, Arc::clone(&self.changes)));
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

    /// The slot of the model that `name` or an alias of it stands for, of either kind.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Slot>, Refusal> {
        let slots = self.slots();
        let first = || slots.first().filter(|_| name == DEFAULT);
        let found = slots.iter().find(|it| it.is_called(name)).or_else(first);
        found
            .cloned()
            .ok_or_else(|| unknown(name, slots.iter().map(|it| &**it)))
    }

    /// The slot of the model of that kind that `name` or an alias of it stands for. Who names one of the
    /// other kind that `may` be asked is told those of this one that may.
    pub(crate) fn find_kind(
        &self,
        kind: ModelKind,
        name: Option<&str>,
        may: impl Fn(&Slot) -> bool,
    ) -> Result<Arc<Slot>, Refusal> {
        let slots = self.slots();
        let of_kind = || slots.iter().filter(|it| it.kind == kind);
        let named = |name: &str| of_kind().find(|it| it.is_called(name));
        let found = match name {
            None | Some(DEFAULT) => named(DEFAULT).or(of_kind().next()),
            Some(name) => named(name),
        };
        if let Some(slot) = found {
            return Ok(Arc::clone(slot));
        }
        let name = name.unwrap_or(DEFAULT);
        match self.find(name) {
            Ok(other) if may(&other) => {
                let names = of_kind().filter(|it| may(it)).map(|it| &*it.name);
                let names = names.collect::<Vec<_>>().join(", ");
                Err(kind.refusal(other.name.to_string(), names))
            }
            Err(refusal) if of_kind().next().is_none() => Err(refusal),
            Ok(_) | Err(_) => Err(unknown(name, of_kind().map(|it| &**it))),
        }
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

/// Nothing is called `name`; these may be asked for.
fn unknown<'a>(name: &str, slots: impl Iterator<Item = &'a Slot>) -> Refusal {
    let names = slots.flat_map(Slot::names).chain([DEFAULT]);
    Refusal::UnknownModel {
        name: name.to_owned(),
        known: names.collect::<Vec<_>>().join(", "),
    }
}
