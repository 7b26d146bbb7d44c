//! Which tokens run in the next step. Pure: no clock, no thread, no device.
//!
//! There is no prefill phase and no decode phase. A sequence has *known* tokens, the first of
//! which are *computed*, and a step lets `computed` catch up within a token budget. A sequence
//! that has caught up draws a token, and so is one behind again.
//!
//! # Who goes first
//! 1. Running sequences that are one token behind: a stream must not stutter because somebody
//!    else came with a long prompt.
//! 2. Prompts, whether they have begun or wait, by their claim: the lower priority number; then
//!    the tenant that has been charged least for its weight; then the older one. Whoever waits is
//!    let in if all its known tokens fit the free blocks, and nobody passes one who does not fit.
//!
//! # How much of a prompt a step computes
//! A step takes a time of its own, worth so many rows, and then a time for each row. Beside `n`
//! streams, where `m` prompts run or could run, prompts get `(rows + n) * max(1, m / n)` tokens of it,
//! rounded up, and no more than the step's budget. Where prompts are no more than streams, a step thus
//! takes at most twice as long as its streams alone, as far as a prompt's row costs no more than a
//! stream's; a row that looks back over 1,024 positions counts as two. Where they are more, as when a crowd comes in, each prompt's delay counts as much as each
//! stream's. Without streams prompts get the whole budget.
//!
//! # Who gives way
//! - Where a stream finds no block, the least urgent running sequence does, and of those the
//!   youngest. Its tokens stay known, it goes back to its place in the queue, and nobody is let in
//!   during that step, as they would take what was just given up.
//! - Where the head of the queue finds no place or no blocks: the least urgent running sequence, if
//!   the head is more urgent; or, if the head's tenant runs nothing in its class, the youngest
//!   sequence of the tenant that runs most in that class, if it runs two or more. One a step.
//!
//! # What a tenant can rely on
//! A tenant that has been charged no more than others of its class, and runs nothing there, waits
//! two steps for its first place where another tenant runs two sequences or more, and one step for
//! each further sequence that must give way until its prompt fits the free blocks, however many
//! others have queued. From then on its prompt goes first in every step until its account has
//! caught up. While two tenants of a class both have sequences waiting, what they are charged for
//! their weights differs by at most twice the cost of filling all KV blocks once: whoever is let
//! in has been charged least, and can then draw no more than the blocks hold.
//! Where every tenant runs one sequence or none, it waits for one of them to end.
//! Within a tenant and class, order of arrival holds, so nobody is overtaken for ever. Between
//! classes priority is strict: a class waits as long as a more urgent one fills the batch.
//!
//! # Why a sequence takes the blocks of all its known tokens at once
//! It will need them within steps, and a half-computed prompt that must give its blocks back
//! has cost work for nothing. It also means that only streams can run out of blocks, before
//! anything behind them has been planned, so a plan never has to be undone.
//!
//! # Why a waiting sequence holds nothing
//! Cached blocks held by the queue could not be evicted, and a queue long enough would leave
//! the running ones nothing to grow with. So the cache is searched when a sequence is about
//! to run, which finds more anyway: what those before it in the queue have computed.

mod error;
mod plan;
mod planning;
mod queue;
mod scheduler;
mod sequence;

pub use error::SchedulerError;
pub use plan::{Chunk, Outcome, StepLimits, StepPlan};
pub use scheduler::{Counters, Scheduler};
pub use sequence::{Arrival, Sequence};
