//! How the keeping of records goes, in numbers for Prometheus.

use prometheus::{Histogram, IntCounter};

use crate::metrics::Maker;

const SYNC_S: &[f64] = &[
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.5, 5.0,
    10.0,
];

/// Numbers of the journal of records.
#[derive(Debug)]
pub struct RecordMetrics {
    entries: IntCounter,
    bytes: IntCounter,
    failures: IntCounter,
    sync_s: Histogram,
}

impl RecordMetrics {
    pub(crate) fn new(make: &Maker<'_>) -> Self {
        Self {
            entries: make.counter(
                "sconce_record_entries_total",
                "Entries written to the journal of records; a request has two.",
            ),
            bytes: make.counter(
                "sconce_record_bytes_total",
                "Bytes written to the journal of records.",
            ),
            failures: make.counter(
                "sconce_record_failures_total",
                "Entries that could not be written to the journal of records.",
            ),
            sync_s: make.histogram(
                "sconce_record_sync_seconds",
                "How long the disk took to write what the journal of records had been given.",
                SYNC_S,
            ),
        }
    }

    /// So much was written at once.
    pub fn wrote(&self, entries: u64, bytes: u64) {
        self.entries.inc_by(entries);
        self.bytes.inc_by(bytes);
    }

    /// The disk took so long.
    pub fn synced(&self, seconds: f64) {
        self.sync_s.observe(seconds);
    }

    /// So many entries could not be written.
    pub fn failed(&self, entries: u64) {
        self.failures.inc_by(entries);
    }
}
