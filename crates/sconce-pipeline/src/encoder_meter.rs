//! The numbers of an encoder, under the names that generators have where they mean the same.

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec};

use crate::metrics::{EndedRequest, Ending, Maker, Residency};

const BATCH_TOKENS: &[f64] = &[
    8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0,
];

/// The metrics of one encoder.
#[derive(Debug)]
pub struct EncoderMetrics {
    pub(crate) residency: Residency,
    prompt_tokens: IntCounter,
    texts: IntCounter,
    texts_waiting: Gauge,
    batch_tokens: Histogram,
    queue_s: Histogram,
    request_s: Histogram,
    request_prompt_tokens: Histogram,
    ended: IntCounterVec,
}

impl EncoderMetrics {
    pub(crate) fn new(make: &Maker<'_>) -> Self {
        Self {
            residency: make.residency(),
            prompt_tokens: make.prompt_tokens(),
            texts: make.counter(
                "sconce_encoder_texts_total",
                "Texts that an encoder has read.",
            ),
            texts_waiting: make.gauge(
                "sconce_encoder_texts_waiting",
                "Texts that wait for an encoder.",
            ),
            batch_tokens: make.histogram(
                "sconce_encoder_batch_tokens",
                "Tokens of the texts of one pass of an encoder.",
                BATCH_TOKENS,
            ),
            queue_s: make.queue_s(),
            request_s: make.request_s(),
            request_prompt_tokens: make.request_prompt_tokens(),
            ended: make.ended(),
        }
    }

    /// Notes how many texts wait.
    pub(crate) fn waiting(&self, texts: usize) {
        self.texts_waiting.set(texts as f64);
    }

    /// Notes a pass.
    pub(crate) fn batch(&self, texts: usize, tokens: usize) {
        self.texts.inc_by(texts as u64);
        self.prompt_tokens.inc_by(tokens as u64);
        self.batch_tokens.observe(tokens as f64);
    }

    /// Notes how long a request waited for its first pass.
    pub(crate) fn queued(&self, time: Duration) {
        self.queue_s.observe(time.as_secs_f64());
    }

    pub(crate) fn ended(&self, request: EndedRequest) {
        let ending: Ending = request.ending;
        self.ended.with_label_values(&[ending.as_str()]).inc();
        self.request_s.observe(request.seconds);
        self.request_prompt_tokens
            .observe(f64::from(request.prompt_tokens));
    }
}
