//! Measurements for those who compare quantizations and machines: a decoder alone, without scheduler and
//! HTTP. What is found becomes a table, JSON or one page of HTML.

mod bench_error;
pub mod decoding;
pub mod report;
mod samples;

pub use bench_error::BenchError;
pub use samples::Samples;
