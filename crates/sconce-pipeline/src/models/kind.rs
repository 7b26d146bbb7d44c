//! The two kinds of models. What is done with a model in memory is the same for both.

use std::fmt;
use std::sync::Arc;

use sconce_domain::TokenCount;

use super::{LoadedModel, ModelKind};
use crate::encoder_meter::EncoderMetrics;
use crate::metrics::{ModelMetrics, Residency};
use crate::{EncoderThread, EngineThread, Refusal, ServedEncoder, ServedModel};

/// What is served of a model: a [`ServedModel`], which continues texts, or a [`ServedEncoder`], which reads
/// them.
pub trait Served: fmt::Debug + Send + Sync + 'static {
    /// What is measured of it.
    type Metrics: fmt::Debug + Send + Sync;
    /// Runs it, and takes it out of memory when it is dropped.
    type Thread: fmt::Debug + Send;
}

/// What the registry asks of either kind.
pub(crate) trait Kind: Served + Sized {
    /// Which it is.
    const KIND: ModelKind;

    /// What tells whether it is in memory.
    fn residency(metrics: &Self::Metrics) -> &Residency;

    /// Puts it into its place.
    fn settle(loaded: LoadedModel<Self>) -> Resident;

    /// Finds it there, if what is there is of this kind.
    fn of(resident: &Resident) -> Option<&Arc<Self>>;
}

/// A model in memory.
#[derive(Debug)]
pub(crate) enum Resident {
    Generator(Kept<ServedModel>),
    Encoder(Kept<ServedEncoder>),
}

/// A model and what keeps it in memory.
#[derive(Debug)]
pub(crate) struct Kept<M: Served> {
    served: Arc<M>,
    /// Absent where somebody else has it.
    _thread: Option<M::Thread>,
}

impl<M: Served> Kept<M> {
    pub(super) fn new(served: M, thread: Option<M::Thread>) -> Self {
        Self {
            served: Arc::new(served),
            _thread: thread,
        }
    }
}

impl Served for ServedModel {
    type Metrics = ModelMetrics;
    type Thread = EngineThread;
}

impl Served for ServedEncoder {
    type Metrics = EncoderMetrics;
    type Thread = EncoderThread;
}

impl Kind for ServedModel {
    const KIND: ModelKind = ModelKind::Generator;

    fn residency(metrics: &ModelMetrics) -> &Residency {
        &metrics.residency
    }

    fn settle(loaded: LoadedModel<Self>) -> Resident {
        Resident::Generator(Kept::new(loaded.served.clamped(), Some(loaded.thread)))
    }

    fn of(resident: &Resident) -> Option<&Arc<Self>> {
        match resident {
            Resident::Generator(kept) => Some(&kept.served),
            Resident::Encoder(_) => None,
        }
    }
}

impl Kind for ServedEncoder {
    const KIND: ModelKind = ModelKind::Encoder;

    fn residency(metrics: &EncoderMetrics) -> &Residency {
        &metrics.residency
    }

    fn settle(loaded: LoadedModel<Self>) -> Resident {
        Resident::Encoder(Kept::new(loaded.served, Some(loaded.thread)))
    }

    fn of(resident: &Resident) -> Option<&Arc<Self>> {
        match resident {
            Resident::Encoder(kept) => Some(&kept.served),
            Resident::Generator(_) => None,
        }
    }
}

impl ModelKind {
    /// What a request is told that wants this kind of model and names `model`, which is of the other. `known`
    /// are the models of this kind.
    pub(super) fn refusal(self, model: String, known: String) -> Refusal {
        match self {
            Self::Generator => Refusal::NotAGenerator { model, known },
            Self::Encoder => Refusal::NotAnEncoder { model, known },
        }
    }
}

impl Resident {
    pub(super) fn is_running(&self) -> bool {
        match self {
            Self::Generator(kept) => kept.served.engine.is_running(),
            Self::Encoder(kept) => kept.served.encoder.is_running(),
        }
    }

    pub(super) fn context(&self) -> TokenCount {
        match self {
            Self::Generator(kept) => kept.served.context,
            Self::Encoder(kept) => kept.served.context,
        }
    }

    pub(super) fn created_s(&self) -> u64 {
        match self {
            Self::Generator(kept) => kept.served.created_s,
            Self::Encoder(kept) => kept.served.created_s,
        }
    }
}
