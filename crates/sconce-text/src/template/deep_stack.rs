//! Runs the template engine where its recursion has room.
//!
//! # Why
//! The engine walks expressions and values recursively: compiling `a+a+a…`, and showing or freeing
//! a list in a list in a list…, takes stack for each level. A template can make as many levels as
//! its length or its fuel allow, and an overflow would end the whole process. So both get a thread
//! of their own, with a stack that this many levels cannot fill. Memory that is not touched is not
//! taken, and starting a thread takes microseconds.

use std::thread;

use crate::TextError;

/// Stack that compiling takes for each byte of source; measured at 410 for a row of minus signs.
const STACK_BYTES_PER_SOURCE_BYTE: usize = 1024;
/// Stack that a value takes for each unit of fuel spent on nesting it; measured at 120 for maps.
const STACK_BYTES_PER_FUEL: usize = 256;
/// What a job without nesting needs.
const STACK_BYTES_MIN: usize = 1 << 20;

/// Runs `job` with stack for compiling so much source.
pub(super) fn for_source<T: Send>(
    source: &str,
    job: impl FnOnce() -> Result<T, TextError> + Send,
) -> Result<T, TextError> {
    run(source.len() * STACK_BYTES_PER_SOURCE_BYTE, job)
}

/// Runs `job` with stack for values that so much fuel can nest.
pub(super) fn for_fuel<T: Send>(
    fuel: u64,
    job: impl FnOnce() -> Result<T, TextError> + Send,
) -> Result<T, TextError> {
    let fuel = usize::try_from(fuel).unwrap_or(usize::MAX);
    run(fuel.saturating_mul(STACK_BYTES_PER_FUEL), job)
}

fn run<T: Send>(
    stack_bytes: usize,
    job: impl FnOnce() -> Result<T, TextError> + Send,
) -> Result<T, TextError> {
    let builder = thread::Builder::new()
        .name("chat-template".to_owned())
        .stack_size(stack_bytes.saturating_add(STACK_BYTES_MIN));
    thread::scope(|scope| {
        let running = builder.spawn_scoped(scope, job).map_err(|error| {
            let reason = format!("no thread with {stack_bytes} bytes of stack: {error}");
            TextError::TemplateFailed { reason }
        })?;
        running
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
