//! Brings models in and out: one load at a time, each after room was made for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::kind::{Kind, Resident};
use super::room::{Room, room_for};
use super::slot::{Access, LoadEnd, OnlyIdle, Slot};
use super::source::{Brought, Source};
use super::{Displaces, LoadFailure, ModelNeeds, ModelStatus, ModelUse, Registry};
use crate::Refusal;

impl Registry {
    /// Uses the model of `slot`, and has it loaded first if it is not there.
    pub(crate) async fn take<M: Kind>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
    ) -> Result<ModelUse<M>, Refusal> {
        let mut changes = self.changes.watch();
        let mut waiter = None;
        loop {
            changes.mark_unchanged();
            match slot.access() {
                Access::Use(model) => return Ok(model),
                Access::Refused(refusal) => return Err(refusal),
                Access::MustLoad => self.begin_load(slot, Displaces::Others),
                Access::Wait => {
                    waiter.get_or_insert_with(|| slot.begin_wait());
                    // The registry keeps the other end.
                    let _changed = changes.changed().await;
                }
            }
        }
    }

    /// Loads the model of `slot` unless it is there, and says how it stands then.
    pub(crate) async fn load(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        displaces: Displaces,
    ) -> ModelStatus {
        let mut tried = false;
        loop {
            if slot.claim_load() {
                tried = true;
                self.begin_load(slot, displaces);
            }
            match self.until(slot, is_settled).await {
                // It was on its way out.
                ModelStatus::Unloaded if !tried => {}
                status => return status,
            }
        }
    }

    /// Unloads the model of `slot` once its requests have ended, and says how it stands then.
    pub(crate) async fn unload(self: &Arc<Self>, slot: &Arc<Slot>) -> ModelStatus {
        self.until(slot, is_settled).await;
        self.drain(slot, OnlyIdle::No);
        self.until(slot, is_settled).await
    }

    /// Unloads models that nobody has used for as long as they are kept then. Never ends.
    pub(crate) async fn unload_the_idle(self: &Arc<Self>) {
        let mut changes = self.changes.watch();
        loop {
            changes.mark_unchanged();
            let mut next = None;
            for slot in self.slots().iter() {
                match slot.idle_left() {
                    Some(Duration::ZERO) => self.drain(slot, OnlyIdle::Yes),
                    left => next = [next, left].into_iter().flatten().min(),
                }
            }
            match next {
                Some(left) => drop(timeout(left, changes.changed()).await),
                None => drop(changes.changed().await),
            }
        }
    }

    /// Takes every model out, whatever it does.
    pub(crate) async fn unload_all(&self) {
        for slot in self.slots().iter() {
            if let Some(resident) = slot.take_anyway() {
                give_back(slot, resident).await;
            }
        }
    }

    async fn until(&self, slot: &Slot, claim: impl Fn(&ModelStatus) -> bool) -> ModelStatus {
        let mut changes = self.changes.watch();
        loop {
            changes.mark_unchanged();
            let status = slot.status();
            if claim(&status) {
                return status;
            }
            let _changed = changes.changed().await;
        }
    }

    /// Starts the load that `slot` has been claimed for. It goes on if whoever asked leaves.
    fn begin_load(self: &Arc<Self>, slot: &Arc<Slot>, displaces: Displaces) {
        let (registry, slot) = (Arc::clone(self), Arc::clone(slot));
        tokio::spawn(async move {
            let end = match registry.bring_in(&slot, displaces).await {
                Ok(Some(brought)) => LoadEnd::Loaded(brought),
                Ok(None) => LoadEnd::NoRoom,
                Err(failure) => LoadEnd::Failed(failure),
            };
            slot.end_load(end);
        });
    }

    /// The model of `slot`, loaded; nothing if there is no room for it.
    async fn bring_in(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        displaces: Displaces,
    ) -> Result<Option<Brought>, LoadFailure> {
        let Some(source) = slot.source.clone() else {
            let fact = "it cannot be loaded again".to_owned();
            return Err(LoadFailure { fact });
        };
        let needs = in_background(&source, |it| it.find()).await?;
        slot.found(needs);
        let _one_at_a_time = self.loads.lock().await;
        if !self.make_room(slot, needs, displaces).await? {
            return Ok(None);
        }
        in_background(&source, |it| it.bring()).await.map(Some)
    }

    /// Reserves the memory that a model needs, unloading others for it. False if there is no room
    /// and none is to be made.
    async fn make_room(
        self: &Arc<Self>,
        slot: &Slot,
        needs: ModelNeeds,
        displaces: Displaces,
    ) -> Result<bool, LoadFailure> {
        let patience_ends = Instant::now() + self.memory.patience;
        let mut changes = self.changes.watch();
        loop {
            changes.mark_unchanged();
            let slots = self.slots();
            let others = slots
                .iter()
                .enumerate()
                .filter(|(_, it)| it.name != slot.name);
            let occupants: Vec<_> = others.filter_map(|(at, it)| it.occupant(at)).collect();
            match room_for(needs.bytes(), self.memory.bytes_max, &occupants) {
                Room::Free => {
                    slot.reserve(needs.bytes());
                    return Ok(true);
                }
                Room::Never => return Err(self.too_large(needs)),
                _ if displaces == Displaces::Nobody => return Ok(false),
                Room::After(victims) => {
                    // One that has been used since is left, and the next round sees that.
                    for victim in victims {
                        self.drain(&slots[victim], OnlyIdle::Yes);
                    }
                }
                Room::Taken(victim) if patience_ends <= Instant::now() => {
                    self.drain(&slots[victim], OnlyIdle::No);
                }
                Room::Taken(_) => {
                    let _changed_or_late = timeout_at(patience_ends, changes.changed()).await;
                }
                Room::Soon => {
                    let _changed = changes.changed().await;
                }
            }
        }
    }

    fn too_large(&self, needs: ModelNeeds) -> LoadFailure {
        let (weights, kv) = (needs.weight_bytes, needs.kv_bytes);
        let bytes_max = self.memory.bytes_max.unwrap_or(u64::MAX);
        let (parts, or_less) = match kv {
            0 => (String::new(), ""),
            _ => (
                format!(" ({weights} of weights, {kv} of KV cache)"),
                " or a smaller KV cache",
            ),
        };
        let fact = format!(
            "it takes {} bytes{parts} and all models together may take {bytes_max}; allow more \
             memory{or_less}",
            needs.bytes()
        );
        LoadFailure { fact }
    }

    /// Begins to unload a model; once nobody uses it, its memory is given back.
    pub(super) fn drain(self: &Arc<Self>, slot: &Arc<Slot>, only_idle: OnlyIdle) {
        if !slot.begin_drain(only_idle) {
            return;
        }
        let (registry, slot) = (Arc::clone(self), Arc::clone(slot));
        tokio::spawn(async move {
            let mut changes = registry.changes.watch();
            loop {
                changes.mark_unchanged();
                if let Some(resident) = slot.take_drained() {
                    return give_back(&slot, resident).await;
                }
                if slot.status() != ModelStatus::Draining {
                    return;
                }
                let _changed = changes.changed().await;
            }
        });
    }
}

/// Whether nothing is under way.
fn is_settled(status: &ModelStatus) -> bool {
    !matches!(status, ModelStatus::Loading | ModelStatus::Draining)
}

async fn give_back(slot: &Slot, resident: Resident) {
    let source = slot.source.clone();
    let unload = move || {
        // Dropping it waits for the last step of its thread and frees all its memory.
        drop(resident);
        if let Some(source) = source {
            source.unloaded();
        }
    };
    if spawn_blocking(unload).await.is_err() {
        tracing::error!(model = &*slot.name, "unloading a model panicked");
    }
    slot.unloaded();
    tracing::info!(model = &*slot.name, "unloaded a model");
}

/// Has a source work on a thread that may block.
async fn in_background<T: Send + 'static>(
    source: &Arc<dyn Source>,
    work: impl FnOnce(&dyn Source) -> Result<T, LoadFailure> + Send + 'static,
) -> Result<T, LoadFailure> {
    let source = Arc::clone(source);
    let done = spawn_blocking(move || work(&*source)).await;
    done.unwrap_or_else(|error| {
        let fact = format!("loading it hit a fault of the server: {error}");
        Err(LoadFailure { fact })
    })
}
