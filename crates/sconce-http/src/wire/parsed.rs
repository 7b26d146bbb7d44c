//! A request as any dialect reads it.

use sconce_pipeline::AnswerRequest;

/// A request as parsed, and how its answer is to be sent.
#[derive(Debug, PartialEq)]
pub(crate) struct ParsedRequest {
    pub(crate) request: AnswerRequest,
    pub(crate) delivery: Delivery,
}

/// How an answer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// One object when all is done.
    Whole,
    /// Events as the answer grows.
    Stream,
    /// The same, with the usage in an event of its own at the end.
    StreamWithUsage,
}
