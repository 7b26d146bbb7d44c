//! The step loop: commands in, events out, and the port to a device. Pure: no clock, no thread.

mod executor;
mod message;

pub use executor::{DrawRequest, Executor, Sampled, Step, StepChunk};
pub use message::{Command, Event, NewSequence};
