//! Prefill and decode speed of a decoder alone: no scheduler, no HTTP.

mod findings;
mod peaks;
mod running;
mod workload;

pub use findings::{DecodingFindings, Subject};
pub use peaks::{IsaPeak, Peaks, last_cache_bytes};
pub use running::{Measured, measure};
pub use workload::{Plan, Workload};
