//! Models that come and go: each says the prompt again, and loads and fails as it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sconce_domain::TokenCount;
use sconce_engine::{Computed, Executor, Hold, Step};
use sconce_pipeline::{
    AdmissionLimits, DeclaredModel, EngineThread, LoadFailure, LoadedModel, MemoryLimits,
    ModelContext, ModelLoader, ModelNeeds, Pipeline,
};

use super::{Echo, EchoFailed, Sizes, engine_limits, served};

/// A model that can be loaded.
#[derive(Debug)]
pub(crate) struct EchoLoader {
    name: &'static str,
    bytes: u64,
    pub(crate) orders: Arc<Orders>,
}

/// What a loader is told, and what it has done.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) fails: AtomicBool,
    pub(crate) panics: AtomicBool,
    pub(crate) is_away: AtomicBool,
    pub(crate) load_ms: AtomicU32,
    pub(crate) step_ms: AtomicU32,
    pub(crate) loads: AtomicU32,
    /// Devices that compute now, and whether there were ever two.
    pub(crate) computing: Arc<AtomicU32>,
    pub(crate) overlapped: Arc<AtomicBool>,
}

impl ModelLoader for EchoLoader {
    fn is_here(&self) -> bool {
        !self.orders.is_away.load(Ordering::SeqCst)
    }

    fn find(&self) -> Result<ModelNeeds, LoadFailure> {
        while self.orders.is_away.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(ModelNeeds {
            weight_bytes: self.bytes - 1,
            kv_bytes: 1,
            context: TokenCount(512),
            created_s: 1_700_000_000,
        })
    }

    fn load(&self, context: &ModelContext) -> Result<LoadedModel, LoadFailure> {
        let read = |order: &AtomicU32| Duration::from_millis(order.load(Ordering::SeqCst).into());
        std::thread::sleep(read(&self.orders.load_ms));
        self.orders.loads.fetch_add(1, Ordering::SeqCst);
        assert!(!self.orders.panics.load(Ordering::SeqCst), "told to panic");
        if self.orders.fails.load(Ordering::SeqCst) {
            let fact = "it was told to fail".to_owned();
            return Err(LoadFailure { fact });
        }
        let device = Alone {
            echo: Echo {
                step: read(&self.orders.step_ms),
            },
            orders: Arc::clone(&self.orders),
        };
        let limits = engine_limits(Sizes::default());
        let thread = EngineThread::start(move || device, limits, context).unwrap();
        Ok(LoadedModel {
            served: served(self.name, &thread, Sizes::default()),
            thread,
            bytes: self.bytes,
        })
    }
}

/// An echo that notes whether another computes at the same time.
#[derive(Debug)]
struct Alone {
    echo: Echo,
    orders: Arc<Orders>,
}

impl Executor for Alone {
    type Error = EchoFailed;

    fn run(
        &mut self,
        step: &Step<'_>,
        holds: &mut [Hold<'_>],
    ) -> Result<Vec<Computed>, EchoFailed> {
        if self.orders.computing.fetch_add(1, Ordering::SeqCst) > 0 {
            self.orders.overlapped.store(true, Ordering::SeqCst);
        }
        let computed = self.echo.run(step, holds);
        self.orders.computing.fetch_sub(1, Ordering::SeqCst);
        computed
    }
}

/// A pipeline of models that are loaded on demand and together may take 100 bytes.
pub(crate) fn repertoire(models: &[(&'static str, u64)]) -> (Arc<Pipeline>, Vec<Arc<Orders>>) {
    repertoire_of(models, None)
}

/// The same, of models that are unloaded when nobody has used them for a while.
pub(crate) fn repertoire_of(
    models: &[(&'static str, u64)],
    idle_unload_ms: Option<u64>,
) -> (Arc<Pipeline>, Vec<Arc<Orders>>) {
    let limits = AdmissionLimits {
        running_max: 8,
        queue_max: 24,
        wait_max: None,
    };
    let memory = MemoryLimits {
        bytes_max: Some(100),
        patience: Duration::from_millis(50),
    };
    let pipeline = Arc::new(Pipeline::with_memory(limits, memory));
    let (computing, overlapped) = (Arc::default(), Arc::default());
    let declare = |(name, bytes): &(&'static str, u64)| {
        let orders = Arc::new(Orders {
            computing: Arc::clone(&computing),
            overlapped: Arc::clone(&overlapped),
            ..Orders::default()
        });
        let loader = EchoLoader {
            name,
            bytes: *bytes,
            orders: Arc::clone(&orders),
        };
        let declared = DeclaredModel {
            name: Arc::from(*name),
            aliases: vec![format!("{name}-alias")],
            limits,
            at_start: false,
            idle_unload: idle_unload_ms.map(Duration::from_millis),
            loader: Arc::new(loader),
        };
        pipeline.declare(declared).unwrap();
        orders
    };
    let orders = models.iter().map(declare).collect();
    (pipeline, orders)
}
