//! The KV cache's blocks as metrics: each block is referenced, cached or free.

use std::sync::{Mutex, PoisonError};

use prometheus::{Gauge, IntCounter};
use sconce_engine::EngineStatus;

use crate::engine_meter::advance;
use crate::metrics::Maker;

/// Follows the blocks of one engine.
#[derive(Debug)]
pub(crate) struct KvMeter {
    usage: Gauge,
    referenced: Gauge,
    cached: Gauge,
    free: Gauge,
    total: Gauge,
    block_bytes: Gauge,
    evictions: IntCounter,
    window_releases: IntCounter,
    /// What the counters stand at.
    seen: Mutex<Seen>,
}

/// What of an engine has been counted already.
#[derive(Debug, Default)]
struct Seen {
    evictions: u64,
    window_releases: u64,
}

impl KvMeter {
    pub(crate) fn new(make: &Maker<'_>) -> Self {
        Self {
            usage: make.gauge(
                "vllm:kv_cache_usage_perc",
                "Referenced KV blocks over all, 0 to 1.",
            ),
            referenced: make.gauge(
                "sconce_kv_blocks_referenced",
                "KV blocks that a sequence refers to.",
            ),
            cached: make.gauge(
                "sconce_kv_blocks_cached",
                "KV blocks that no sequence refers to and whose content can be found again.",
            ),
            free: make.gauge(
                "sconce_kv_blocks_free",
                "KV blocks that no sequence refers to and that hold nothing.",
            ),
            total: make.gauge("sconce_kv_blocks_total", "KV blocks of the engine."),
            block_bytes: make.gauge("sconce_kv_block_bytes", "Bytes that a KV block takes."),
            evictions: make.counter(
                "sconce_kv_evictions_total",
                "Cached KV blocks whose content gave way to another.",
            ),
            window_releases: make.counter(
                "sconce_kv_window_releases_total",
                "KV blocks that sequences gave back because the windows of their layers had passed them.",
            ),
            seen: Mutex::default(),
        }
    }

    pub(crate) fn follow(&self, status: &EngineStatus) {
        let (referenced, cached) = (status.blocks_referenced, status.blocks_cached);
        let total = status.blocks_total;
        let free = total.saturating_sub(referenced + cached);
        self.usage
            .set(f64::from(referenced) / f64::from(total.max(1)));
        self.referenced.set(f64::from(referenced));
        self.cached.set(f64::from(cached));
        self.free.set(f64::from(free));
        self.total.set(f64::from(total));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (passed, passed_seen) = (status.passed_total, &mut seen.window_releases);
        advance(&self.window_releases, passed_seen, passed);
        advance(&self.evictions, &mut seen.evictions, status.evictions_total);
    }

    /// Tells how many bytes a block takes.
    pub(crate) fn block_bytes(&self, bytes: usize) {
        self.block_bytes.set(bytes as f64);
    }

    /// The engine is gone, and so are its blocks. The next one counts from zero.
    pub(crate) fn engine_stopped(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
        let of_states = [&self.referenced, &self.cached, &self.free, &self.total];
        for gauge in of_states.into_iter().chain([&self.usage]) {
            gauge.set(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn each_block_is_referenced_cached_or_free() {
        let metrics = Metrics::new();
        let model = metrics.of_model("tiny");
        model.kv_block_bytes(4_096);
        let mut status = EngineStatus {
            blocks_total: 10,
            blocks_referenced: 3,
            blocks_cached: 5,
            evictions_total: 2,
            passed_total: 3,
            ..EngineStatus::default()
        };
        model.engine.follow(&status);
        (status.evictions_total, status.passed_total) = (7, 9);
        model.engine.follow(&status);
        let text = metrics.text();
        for (name, value) in [
            ("vllm:kv_cache_usage_perc", "0.3"),
            ("sconce_kv_blocks_referenced", "3"),
            ("sconce_kv_blocks_cached", "5"),
            ("sconce_kv_blocks_free", "2"),
            ("sconce_kv_blocks_total", "10"),
            ("sconce_kv_block_bytes", "4096"),
            ("sconce_kv_evictions_total", "7"),
            ("sconce_kv_window_releases_total", "9"),
        ] {
            let line = format!("{name}{{engine=\"0\",model_name=\"tiny\"}} {value}");
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
    }
}
