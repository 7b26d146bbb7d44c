//! Numbers for Prometheus, under vLLM's names where vLLM has one, so that dashboards carry over.
//!
//! The buckets are vLLM's with finer ones added: a two-second limit on the first token can be read,
//! and so can gaps between tokens below ten milliseconds.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};
use sconce_domain::{Failure, FinishReason};
use sconce_limits::{Exceeded, LimitKind};

use crate::encoder_meter::EncoderMetrics;
use crate::engine_meter::EngineMeter;
use crate::record_meter::RecordMetrics;
use crate::resident_memory::resident_memory_bytes;

const FIRST_TOKEN_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 7.5,
    10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const BETWEEN_TOKENS_S: &[f64] = &[
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4,
    0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
const REQUEST_S: &[f64] = &[
    0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
    120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
];
const REQUEST_TOKENS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    20_000.0, 50_000.0, 100_000.0,
];

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    refused: IntCounterVec,
    limits_reached: IntCounterVec,
    resident_memory_bytes: Gauge,
    records: Arc<RecordMetrics>,
    config_failed: Gauge,
}

/// The metrics of one model.
#[derive(Debug)]
pub struct ModelMetrics {
    pub(crate) engine: EngineMeter,
    pub(crate) prompt_tokens: IntCounter,
    pub(crate) generation_tokens: IntCounter,
    pub(crate) first_token_s: Histogram,
    pub(crate) between_tokens_s: Histogram,
    pub(crate) queue_s: Histogram,
    pub(crate) residency: Residency,
    request_s: Histogram,
    request_prompt_tokens: Histogram,
    request_generation_tokens: Histogram,
    ended: IntCounterVec,
}

/// Whether a model of either kind is in memory, and how often it came there.
#[derive(Debug, Clone)]
pub(crate) struct Residency {
    pub(crate) memory_bytes: Gauge,
    pub(crate) loads: IntCounter,
    pub(crate) load_failures: IntCounter,
}

/// A request that began, as it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedRequest {
    pub(crate) ending: Ending,
    pub(crate) seconds: f64,
    pub(crate) prompt_tokens: u32,
    pub(crate) generation_tokens: u32,
}

/// How a request that began came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Finished(FinishReason),
    Abandoned,
}

impl Ending {
    /// vLLM's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Finished(FinishReason::Stop) => "stop",
            Self::Finished(FinishReason::Length) => "length",
            Self::Finished(FinishReason::Failed(_)) => "error",
            Self::Abandoned => "abort",
        }
    }

    const ALL: [Self; 4] = [
        Self::Finished(FinishReason::Stop),
        Self::Finished(FinishReason::Length),
        Self::Finished(FinishReason::Failed(Failure::Device)),
        Self::Abandoned,
    ];
}

/// Makes metrics and registers them. Names and labels are constants of this crate, so a mistake
/// among them is a bug of ours; the model's name is a label's value, which may be any text.
pub(crate) struct Maker<'a> {
    registry: &'a Registry,
    model: Option<&'a str>,
}

impl Maker<'_> {
    fn registered<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let metric = made.expect("our metric names and labels follow the rules");
        self.registry
            .register(Box::new(metric.clone()))
            .expect("each metric is made once for each model");
        metric
    }

    fn options(&self, name: &str, help: &str) -> Opts {
        let options = Opts::new(name, help);
        match self.model {
            // One engine a model; the label is there because vLLM's dashboards select by it.
            Some(model) => options
                .const_label("model_name", model)
                .const_label("engine", "0"),
            None => options,
        }
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(Gauge::with_opts(self.options(name, help)))
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::with_opts(self.options(name, help)))
    }

    fn counter_by(&self, labels: &[&str], name: &str, help: &str) -> IntCounterVec {
        self.registered(IntCounterVec::new(self.options(name, help), labels))
    }

    pub(crate) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::from(self.options(name, help)).buckets(buckets.to_vec());
        self.registered(Histogram::with_opts(options))
    }

    /// Tells whether a model of any kind is in memory.
    pub(crate) fn residency(&self) -> Residency {
        Residency {
            memory_bytes: self.gauge(
                "sconce_model_memory_bytes",
                "What the model's weights and KV cache count for; zero while it is not loaded.",
            ),
            loads: self.counter("sconce_model_loads_total", "How often it was loaded."),
            load_failures: self.counter(
                "sconce_model_load_failures_total",
                "How often it could not be loaded.",
            ),
        }
    }

    /// Counts what models of every kind read.
    pub(crate) fn prompt_tokens(&self) -> IntCounter {
        self.counter(
            "vllm:prompt_tokens_total",
            "Prompt tokens of sequences that started.",
        )
    }

    /// Times how long requests of models of every kind wait.
    pub(crate) fn queue_s(&self) -> Histogram {
        self.histogram(
            "vllm:request_queue_time_seconds",
            "From the hand-over to the engine to a sequence's first step.",
            REQUEST_S,
        )
    }

    /// Times whole requests of models of every kind.
    pub(crate) fn request_s(&self) -> Histogram {
        self.histogram(
            "vllm:e2e_request_latency_seconds",
            "From a request's arrival to the end of its last answer.",
            REQUEST_S,
        )
    }

    /// How much requests of models of every kind give to read.
    pub(crate) fn request_prompt_tokens(&self) -> Histogram {
        self.histogram(
            "vllm:request_prompt_tokens",
            "Prompt tokens of a request.",
            REQUEST_TOKENS,
        )
    }

    fn limits_reached(&self) -> IntCounterVec {
        let reached = self.counter_by(
            &["limit", "scope"],
            "sconce_limits_reached_total",
            "Requests that were turned away by a limit of their key or their tenant.",
        );
        for kind in LimitKind::ALL {
            for scope in ["key", "tenant"] {
                reached.with_label_values(&[kind.as_str(), scope]);
            }
        }
        reached
    }

    /// Counts requests of models of every kind by how they ended.
    pub(crate) fn ended(&self) -> IntCounterVec {
        let ended = self.counter_by(
            &["finished_reason"],
            "vllm:request_success_total",
            "Requests that began, by how they ended.",
        );
        for ending in Ending::ALL {
            ended.with_label_values(&[ending.as_str()]);
        }
        ended
    }
}

impl Metrics {
    /// All metrics that are there before a model is.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = Maker {
            registry: &registry,
            model: None,
        };
        Self {
            requests: make.counter_by(
                &["kind", "end"],
                "sconce_requests_total",
                "Requests of every kind, by how they ended.",
            ),
            refused: make.counter_by(
                &["reason"],
                "sconce_requests_refused_total",
                "Requests that were turned away before their first token.",
            ),
            limits_reached: make.limits_reached(),
            config_failed: make.gauge(
                "sconce_config_reload_failed",
                "One while the config and the keys that were read last have a fault, and older ones hold.",
            ),
            resident_memory_bytes: make.gauge(
                "process_resident_memory_bytes",
                "Resident memory of the process; zero where the system does not tell.",
            ),
            records: Arc::new(RecordMetrics::new(&make)),
            registry,
        }
    }

    /// The numbers of the journal of records, for whoever keeps it.
    #[must_use]
    pub fn records(&self) -> Arc<RecordMetrics> {
        Arc::clone(&self.records)
    }

    /// The metrics of the model called `name`, at zero.
    ///
    /// # Panics
    /// If they were made before: a name is served once.
    #[must_use]
    pub fn of_model(&self, name: &str) -> Arc<ModelMetrics> {
        Arc::new(ModelMetrics::new(&Maker {
            registry: &self.registry,
            model: Some(name),
        }))
    }

    pub(crate) fn request_ended(&self, kind: &str, end: &str) {
        self.requests.with_label_values(&[kind, end]).inc();
    }

    /// The metrics of the encoder called `name`, at zero.
    ///
    /// # Panics
    /// If they were made before: a name is served once.
    #[must_use]
    pub fn of_encoder(&self, name: &str) -> Arc<EncoderMetrics> {
        Arc::new(EncoderMetrics::new(&Maker {
            registry: &self.registry,
            model: Some(name),
        }))
    }

    /// Notes whether the config could be read again.
    pub fn config_reloaded(&self, succeeded: bool) {
        self.config_failed.set(f64::from(u8::from(!succeeded)));
    }

    pub(crate) fn limit_reached(&self, exceeded: &Exceeded) {
        let labels = [exceeded.kind.as_str(), exceeded.subject.scope()];
        self.limits_reached.with_label_values(&labels).inc();
    }

    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// All metrics as Prometheus' text format wants them.
    #[must_use]
    pub fn text(&self) -> String {
        self.resident_memory_bytes
            .set(resident_memory_bytes().unwrap_or(0) as f64);
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("metrics that could be registered can be written")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelMetrics {
    fn new(make: &Maker<'_>) -> Self {
        let seconds = |name, help, buckets| make.histogram(name, help, buckets);
        Self {
            engine: EngineMeter::new(make),
            residency: make.residency(),
            prompt_tokens: make.prompt_tokens(),
            generation_tokens: make.counter("vllm:generation_tokens_total", "Generated tokens."),
            first_token_s: seconds(
                "vllm:time_to_first_token_seconds",
                "From a request's arrival to the first token of each of its answers.",
                FIRST_TOKEN_S,
            ),
            between_tokens_s: seconds(
                "vllm:inter_token_latency_seconds",
                "Between two tokens of a sequence.",
                BETWEEN_TOKENS_S,
            ),
            queue_s: make.queue_s(),
            request_s: make.request_s(),
            request_prompt_tokens: make.request_prompt_tokens(),
            request_generation_tokens: make.histogram(
                "vllm:request_generation_tokens",
                "Generated tokens of a request.",
                REQUEST_TOKENS,
            ),
            ended: make.ended(),
        }
    }

    /// Tells how many bytes a KV block of the model takes.
    pub fn kv_block_bytes(&self, bytes: usize) {
        self.engine.kv.block_bytes(bytes);
    }

    pub(crate) fn ended(&self, request: EndedRequest) {
        self.ended
            .with_label_values(&[request.ending.as_str()])
            .inc();
        self.request_s.observe(request.seconds);
        self.request_prompt_tokens
            .observe(f64::from(request.prompt_tokens));
        self.request_generation_tokens
            .observe(f64::from(request.generation_tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_vllms_names_and_labels() {
        let metrics = Metrics::new();
        let model = metrics.of_model("tiny");
        let _other = metrics.of_model("other");
        model.generation_tokens.inc_by(3);
        metrics.refused("busy");
        let text = metrics.text();
        for line in [
            "vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 3",
            "vllm:generation_tokens_total{engine=\"0\",model_name=\"other\"} 0",
            "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0",
            "sconce_requests_refused_total{reason=\"busy\"} 1",
            "vllm:request_success_total{engine=\"0\",finished_reason=\"abort\",model_name=\"tiny\"} 0",
            "# TYPE vllm:time_to_first_token_seconds histogram",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(text.contains(
            "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"tiny\",le=\"2\"}"
        ));
    }
}
