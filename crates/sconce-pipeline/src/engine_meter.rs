//! The engine's status as metrics. The engine counts totals; Prometheus' counters want increments.

use std::sync::{Mutex, PoisonError};

use prometheus::{Gauge, Histogram, IntCounter};
use sconce_engine::EngineStatus;

use crate::kv_meter::KvMeter;
use crate::metrics::Maker;

const STEP_TOKENS: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0,
];

/// Follows one engine.
#[derive(Debug)]
pub(crate) struct EngineMeter {
    seen: Mutex<Seen>,
    running: Gauge,
    waiting: Gauge,
    pub(crate) kv: KvMeter,
    preemptions: IntCounter,
    displacements: IntCounter,
    prefix_queries: IntCounter,
    prefix_hits: IntCounter,
    step_tokens: Histogram,
}

/// The totals that the counters stand at.
#[derive(Debug, Default)]
struct Seen {
    steps: u64,
    preemptions: u64,
    displacements: u64,
    prefix_queries: u64,
    prefix_hits: u64,
}

impl EngineMeter {
    pub(crate) fn new(make: &Maker<'_>) -> Self {
        Self {
            seen: Mutex::default(),
            running: make.gauge("vllm:num_requests_running", "Sequences in the batch."),
            waiting: make.gauge(
                "vllm:num_requests_waiting",
                "Sequences that wait for the batch.",
            ),
            kv: KvMeter::new(make),
            preemptions: make.counter(
                "vllm:num_preemptions_total",
                "Sequences put back, to be computed anew.",
            ),
            displacements: make.counter(
                "sconce_displacements_total",
                "Sequences put back for a more urgent one or for another tenant's.",
            ),
            prefix_queries: make.counter(
                "vllm:prefix_cache_queries_total",
                "Prompt tokens that were looked up in the prefix cache.",
            ),
            prefix_hits: make.counter(
                "vllm:prefix_cache_hits_total",
                "Prompt tokens that the prefix cache had.",
            ),
            step_tokens: make.histogram(
                "vllm:iteration_tokens_total",
                "Tokens that one step computed.",
                STEP_TOKENS,
            ),
        }
    }

    /// Brings every metric to where `status` stands.
    pub(crate) fn follow(&self, status: &EngineStatus) {
        self.running.set(f64::from(status.running));
        self.waiting.set(f64::from(status.waiting));
        self.kv.follow(status);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        advance(
            &self.preemptions,
            &mut seen.preemptions,
            status.preemptions_total,
        );
        advance(
            &self.displacements,
            &mut seen.displacements,
            status.displacements_total,
        );
        advance(
            &self.prefix_queries,
            &mut seen.prefix_queries,
            status.prefix_queried_tokens_total,
        );
        advance(
            &self.prefix_hits,
            &mut seen.prefix_hits,
            status.prefix_hit_tokens_total,
        );
        if status.steps_total > seen.steps {
            seen.steps = status.steps_total;
            self.step_tokens.observe(f64::from(status.step_tokens));
        }
    }

    /// The engine is gone, and so is what it ran and held. The next one counts from zero.
    pub(crate) fn engine_stopped(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
        self.running.set(0.0);
        self.waiting.set(0.0);
        self.kv.engine_stopped();
    }
}

/// Brings a counter from the total it stands at to another.
pub(crate) fn advance(counter: &IntCounter, seen: &mut u64, total: u64) {
    counter.inc_by(total.saturating_sub(*seen));
    *seen = total;
}
