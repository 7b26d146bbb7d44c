//! Which tokens run in the next step. Pure: no clock, no thread, no device.
//!
//! There is no prefill phase and no decode phase. A sequence has *known* tokens, the first of
//! which are *computed*, and a step lets `computed` catch up within a token budget. A sequence
//! that has caught up draws a token, and so is one behind again.
//!
//! # Who goes first
//! 1. Running sequences that are one token behind: a stream must not stutter because somebody
//!    else came with a long prompt.
//! 2. Running sequences that are further behind, the oldest first.
//! 3. Waiting sequences in order of arrival, if all their known tokens fit the free blocks.
//!
//! # Why a sequence takes the blocks of all its known tokens at once
//! It will need them within steps, and a half-computed prompt that must give its blocks back
//! has cost work for nothing. It also means that only case 1 can run out of blocks, before
//! anything younger has been planned, so a plan never has to be undone. The youngest running
//! sequence then gives way: its tokens stay known, it goes back to the front of the queue, and
//! nobody is let in during that step, as they would take what was just given up.
//!
//! # Why a waiting sequence holds nothing
//! Cached blocks held by the queue could not be evicted, and a queue long enough would leave
//! the running ones nothing to grow with. So the cache is searched when a sequence is about
//! to run, which finds more anyway: what those before it in the queue have computed.

mod error;
mod plan;
mod scheduler;
mod sequence;

pub use error::SchedulerError;
pub use plan::{Chunk, Outcome, StepLimits, StepPlan};
pub use scheduler::{Counters, Scheduler};
pub use sequence::{Arrival, Sequence};
