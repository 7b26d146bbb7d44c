//! The step loop: commands in, events out, and the port to a device. Pure: no clock, no thread.
//!
//! Commands apply between steps. A step plans, runs and commits: the scheduler chooses tokens,
//! the [`Executor`] computes them in one ragged batch and draws, and the engine tells what
//! happened to each sequence. One seed replays any run.

mod constraint;
mod engine;
mod executor;
pub mod fake;
mod message;
mod rules;

pub use constraint::{Bound, Constraint, ConstraintFailure, Hold, Progress};
pub use engine::{Engine, EngineLimits, EngineStatus, Stepped};
pub use executor::{Computed, DrawRequest, Executor, ScoreRequest, Step, StepChunk};
pub use message::{Command, Event, NewSequence};
pub use sconce_kv::{Extents, Strand};
pub use sconce_scheduler::SchedulerError;
