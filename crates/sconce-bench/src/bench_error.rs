//! Why nothing was measured.

use thiserror::Error;

/// What keeps a measurement from being made.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A sequence would be longer than the model was made for.
    #[error(
        "{workload} needs {positions} positions and the model's context has {context}: ask for fewer"
    )]
    BeyondContext {
        /// What was to be measured.
        workload: String,
        /// Positions of its longest sequence.
        positions: usize,
        /// What the model takes.
        context: usize,
    },
    /// A list that must name something is empty, or a count is zero.
    #[error("nothing would be measured: give at least one {0}, and none of them zero")]
    Nothing(&'static str),
}
