//! The place of one model: what state it is in, who uses it, and what it takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::kind::{Kept, Kind, Resident};
use super::room::{Occupant, Standing};
use super::source::{Brought, LoaderSource, Source};
use super::{
    DeclaredModel, LoadFailure, ModelContext, ModelEntry, ModelKind, ModelNeeds, ModelStatus,
    ModelUse,
};
use crate::admission::{Admission, AdmissionLimits};
use crate::metrics::Residency;
use crate::{Refusal, ServedModel};

/// How soon a request has a model loaded again that could not be loaded. Until then requests are
/// told why; one that came with each request would have the server do nothing else.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// How soon to ask again for a model that is being fetched.
const FETCHING_RETRY_AFTER_S: u32 = 5;
const ENGINE_STOPPED: &str = "its engine has stopped after a fault";

/// Tells everyone who waits that a slot has changed.
#[derive(Debug)]
pub(super) struct Changes(watch::Sender<()>);

impl Changes {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    fn tell(&self) {
        self.0.send_replace(());
    }

    /// Sees every change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(super) kind: ModelKind,
    pub(crate) admission: Admission,
    residency: Residency,
    /// Absent where somebody else has loaded the model and keeps it.
    pub(super) source: Option<Arc<dyn Source>>,
    aliases: Vec<String>,
    idle_unload: Option<Duration>,
    changes: Arc<Changes>,
    tenancy: Mutex<Tenancy>,
}

#[derive(Debug)]
struct Tenancy {
    state: State,
    /// Requests that hold the model.
    uses: u32,
    /// Requests that wait for it.
    waiting: u32,
    last_used: Instant,
    needs: Option<ModelNeeds>,
    /// What counts against the memory of all models, from before the load until it is given back.
    bytes: u64,
    /// Whether its first load is still to come or under way.
    starts: bool,
}

#[derive(Debug)]
enum State {
    Declared,
    Unloaded,
    Fetching,
    Loading,
    Ready(Resident),
    Draining(Resident),
    /// Its requests have ended, and its memory is being given back.
    Leaving,
    Failed {
        fact: String,
        at: Instant,
    },
}

/// What a request that wants the model finds.
#[derive(Debug)]
pub(super) enum Access<M: Kind> {
    /// It is there.
    Use(ModelUse<M>),
    /// It is not, and the request is the first to want it: it must have it loaded.
    MustLoad,
    /// It is on its way in or out.
    Wait,
    /// It cannot be had.
    Refused(Refusal),
}

/// How a load ended.
#[derive(Debug)]
pub(super) enum LoadEnd {
    Loaded(Brought),
    NoRoom,
    Failed(LoadFailure),
}

/// A request that waits for a model.
#[derive(Debug)]
pub(super) struct Waiter<'a>(&'a Slot);

impl Slot {
    /// The place of a model that can be loaded. With `starts`, it is loaded without being asked for.
    pub(super) fn declared<M: Kind>(
        model: DeclaredModel<M>,
        context: ModelContext<M::Metrics>,
        changes: Arc<Changes>,
    ) -> Self {
        let (state, starts) = match model.at_start {
            true => (State::Declared, true),
            false => (State::Unloaded, false),
        };
        Self {
            name: model.name,
            kind: M::KIND,
            admission: Admission::new(model.limits),
            residency: M::residency(&context.metrics).clone(),
            source: Some(Arc::new(LoaderSource {
                loader: model.loader,
                context,
            })),
            aliases: model.aliases,
            idle_unload: model.idle_unload,
            changes,
            tenancy: Tenancy::new(state, starts),
        }
    }

    /// The place of a model that is there and kept by somebody else.
    pub(super) fn kept(
        model: ServedModel,
        aliases: Vec<String>,
        limits: AdmissionLimits,
        changes: Arc<Changes>,
    ) -> Self {
        let (name, metrics) = (Arc::clone(&model.name), model.engine.metrics());
        let resident = Resident::Generator(Kept::new(model.clamped(), None));
        Self {
            name,
            kind: ModelKind::Generator,
            admission: Admission::new(limits),
            residency: metrics.residency.clone(),
            source: None,
            aliases,
            idle_unload: None,
            changes,
            tenancy: Tenancy::new(State::Ready(resident), false),
        }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names().any(|it| it == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.aliases.iter().map(String::as_str))
    }

    fn lock(&self) -> MutexGuard<'_, Tenancy> {
        let mut tenancy = self.tenancy.lock().unwrap_or_else(PoisonError::into_inner);
        if tenancy.notice_the_dead(&self.name, self.source.is_some()) {
            self.residency.memory_bytes.set(0.0);
        }
        tenancy
    }

    /// Uses the model if it is there.
    pub(super) fn access<M: Kind>(self: &Arc<Self>) -> Access<M> {
        let mut tenancy = self.lock();
        let model = || self.name.to_string();
        match &tenancy.state {
            State::Ready(resident) if !resident.is_running() => {
                Access::Refused(Refusal::EngineStopped { model: model() })
            }
            State::Ready(resident) => {
                let Some(served) = M::of(resident).map(Arc::clone) else {
                    return Access::Refused(M::KIND.refusal(model(), String::new()));
                };
                tenancy.uses += 1;
                tenancy.last_used = Instant::now();
                Access::Use(ModelUse::new(Arc::clone(self), served))
            }
            State::Failed { fact, at } if at.elapsed() < RETRY_PAUSE => {
                let left = RETRY_PAUSE.saturating_sub(at.elapsed());
                Access::Refused(Refusal::ModelFailed {
                    model: model(),
                    fact: fact.clone(),
                    retry_after_s: left.as_secs() as u32 + 1,
                })
            }
            State::Fetching => Access::Refused(Refusal::Loading {
                retry_after_s: FETCHING_RETRY_AFTER_S,
            }),
            State::Loading | State::Draining(_) | State::Leaving => Access::Wait,
            State::Declared | State::Unloaded | State::Failed { .. } => {
                tenancy.state = self.on_its_way();
                Access::MustLoad
            }
        }
    }

    pub(super) fn end_use(&self) {
        let mut tenancy = self.lock();
        tenancy.uses -= 1;
        tenancy.last_used = Instant::now();
        drop(tenancy);
        self.changes.tell();
    }

    /// Counts a request that waits. A model that somebody waits for is not idle.
    pub(super) fn begin_wait(&self) -> Waiter<'_> {
        self.lock().waiting += 1;
        Waiter(self)
    }

    /// Takes the load of the model on, unless it is there or on its way.
    pub(super) fn claim_load(&self) -> bool {
        let mut tenancy = self.lock();
        let is_absent = matches!(
            tenancy.state,
            State::Declared | State::Unloaded | State::Failed { .. }
        );
        if is_absent && self.source.is_some() {
            tenancy.state = self.on_its_way();
            return true;
        }
        false
    }

    fn on_its_way(&self) -> State {
        match &self.source {
            Some(source) if !source.is_here() => State::Fetching,
            _ => State::Loading,
        }
    }

    /// Its file is here, and it needs this.
    pub(super) fn found(&self, needs: ModelNeeds) {
        let mut tenancy = self.lock();
        tenancy.state = State::Loading;
        tenancy.needs = Some(needs);
        drop(tenancy);
        self.changes.tell();
    }

    /// Counts `bytes` for the model that is about to be loaded.
    pub(super) fn reserve(&self, bytes: u64) {
        self.count(&mut self.lock(), bytes);
    }

    fn count(&self, tenancy: &mut Tenancy, bytes: u64) {
        tenancy.bytes = bytes;
        self.residency.memory_bytes.set(bytes as f64);
    }

    /// Ends the load that was taken on.
    pub(super) fn end_load(&self, end: LoadEnd) {
        let mut tenancy = self.lock();
        tenancy.starts = false;
        tenancy.last_used = Instant::now();
        tenancy.state = match end {
            LoadEnd::Loaded(Brought { resident, bytes }) => {
                self.count(&mut tenancy, bytes);
                self.residency.loads.inc();
                State::Ready(resident)
            }
            LoadEnd::NoRoom => State::Unloaded,
            LoadEnd::Failed(LoadFailure { fact }) => {
                tracing::error!(model = &*self.name, fact, "a model could not be loaded");
                self.count(&mut tenancy, 0);
                self.residency.load_failures.inc();
                State::Failed {
                    fact,
                    at: Instant::now(),
                }
            }
        };
        drop(tenancy);
        self.changes.tell();
    }

    /// How much longer nobody may use the model before it is unloaded.
    pub(super) fn idle_left(&self) -> Option<Duration> {
        let tenancy = self.lock();
        let is_idle = matches!(tenancy.state, State::Ready(_)) && tenancy.is_idle();
        let idle_unload = self.idle_unload.filter(|_| is_idle)?;
        Some(idle_unload.saturating_sub(tenancy.last_used.elapsed()))
    }

    /// Lets no new request in, so that the model can be unloaded. False if it is not there.
    pub(super) fn begin_drain(&self, only_idle: OnlyIdle) -> bool {
        let mut tenancy = self.lock();
        let may = self.source.is_some() && (only_idle == OnlyIdle::No || tenancy.is_idle());
        if !may || !matches!(tenancy.state, State::Ready(_)) {
            return false;
        }
        let state = std::mem::replace(&mut tenancy.state, State::Leaving);
        if let State::Ready(resident) = state {
            tenancy.state = State::Draining(resident);
        }
        drop(tenancy);
        self.changes.tell();
        true
    }

    /// The model that has drained, for its memory to be given back; once nobody uses it.
    pub(super) fn take_drained(&self) -> Option<Resident> {
        let mut tenancy = self.lock();
        if tenancy.uses > 0 || !matches!(tenancy.state, State::Draining(_)) {
            return None;
        }
        tenancy.take_resident()
    }

    /// The model whatever it does, for the end of the process.
    pub(super) fn take_anyway(&self) -> Option<Resident> {
        self.lock().take_resident()
    }

    /// The model's memory has been given back.
    pub(super) fn unloaded(&self) {
        let mut tenancy = self.lock();
        self.count(&mut tenancy, 0);
        tenancy.state = State::Unloaded;
        drop(tenancy);
        self.changes.tell();
    }

    pub(super) fn status(&self) -> ModelStatus {
        let tenancy = self.lock();
        match &tenancy.state {
            State::Declared => ModelStatus::Declared,
            State::Unloaded => ModelStatus::Unloaded,
            State::Fetching | State::Loading => ModelStatus::Loading,
            State::Ready(resident) if !resident.is_running() => ModelStatus::Failed {
                fact: ENGINE_STOPPED.to_owned(),
            },
            State::Ready(_) => ModelStatus::Ready,
            State::Draining(_) | State::Leaving => ModelStatus::Draining,
            State::Failed { fact, .. } => ModelStatus::Failed { fact: fact.clone() },
        }
    }

    /// Whether the server is not ready before this model has been loaded for the first time.
    pub(super) fn starts(&self) -> bool {
        self.lock().starts
    }

    pub(crate) fn entry(&self) -> ModelEntry {
        let status = self.status();
        let tenancy = self.lock();
        let (context, created_s) = match (&tenancy.state, tenancy.needs) {
            (State::Ready(it) | State::Draining(it), _) => (Some(it.context()), it.created_s()),
            (_, Some(needs)) => (Some(needs.context), needs.created_s),
            (_, None) => (None, 0),
        };
        ModelEntry {
            name: self.name.to_string(),
            created_s,
            context,
            bytes: tenancy.needs.map_or(tenancy.bytes, |it| it.weight_bytes),
            kind: self.kind,
            status,
        }
    }

    /// What it takes, if it takes anything.
    pub(super) fn occupant(&self, place: usize) -> Option<Occupant> {
        let tenancy = self.lock();
        let standing = match &tenancy.state {
            State::Ready(_) if tenancy.is_idle() => Standing::Idle,
            State::Ready(_) => Standing::Busy,
            // Of what is neither there nor loading, the memory is just being given back.
            _ => Standing::Leaving,
        };
        (tenancy.bytes > 0).then_some(Occupant {
            place,
            bytes: tenancy.bytes,
            standing,
            last_used: tenancy.last_used,
        })
    }
}

/// Whether a model that is in use is drained as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnlyIdle {
    Yes,
    No,
}

impl Tenancy {
    fn new(state: State, starts: bool) -> Mutex<Self> {
        Mutex::new(Self {
            state,
            uses: 0,
            waiting: 0,
            last_used: Instant::now(),
            needs: None,
            bytes: 0,
            starts,
        })
    }

    fn is_idle(&self) -> bool {
        self.uses == 0 && self.waiting == 0
    }

    fn take_resident(&mut self) -> Option<Resident> {
        match std::mem::replace(&mut self.state, State::Leaving) {
            State::Ready(resident) | State::Draining(resident) => Some(resident),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// A model whose engine has stopped is not there any more. The engine's thread has ended, and
    /// with it went the memory.
    fn notice_the_dead(&mut self, name: &str, can_be_loaded: bool) -> bool {
        let is_dead = match &self.state {
            State::Ready(resident) | State::Draining(resident) => !resident.is_running(),
            _ => false,
        };
        if is_dead && can_be_loaded {
            tracing::error!(model = name, "a model is gone: {ENGINE_STOPPED}");
            self.bytes = 0;
            self.state = State::Failed {
                fact: ENGINE_STOPPED.to_owned(),
                at: Instant::now(),
            };
        }
        is_dead && can_be_loaded
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
        self.0.changes.tell();
    }
}
