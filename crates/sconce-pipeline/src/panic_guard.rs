//! A device that panics fails its step, and not the engine.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sconce_engine::{Computed, Executor, Hold, Step};

/// Catches what the device's code lets go.
///
/// Why that is sound: a step reads what earlier steps wrote and writes blocks that are its own.
/// The engine gives those back unnamed, so nobody finds them in the cache, and whoever gets them
/// next writes them before reading. Between steps a device keeps nothing else that a step depends
/// on, which is a promise that the port asks of it.
#[derive(Debug)]
pub(crate) struct PanicGuard<E>(pub(crate) E);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepFailure<E> {
    /// The device said so.
    #[error(transparent)]
    Failed(E),
    /// The device's code panicked.
    #[error("the device's code panicked: {message}")]
    Panicked { message: String },
}

impl<E: Executor> Executor for PanicGuard<E> {
    type Error = StepFailure<E::Error>;

    fn run(
        &mut self,
        step: &Step<'_>,
        holds: &mut [Hold<'_>],
    ) -> Result<Vec<Computed>, Self::Error> {
        match catch_unwind(AssertUnwindSafe(|| self.0.run(step, holds))) {
            Ok(outcome) => outcome.map_err(StepFailure::Failed),
            Err(panic) => Err(StepFailure::Panicked {
                message: said(panic.as_ref()),
            }),
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it did not say why").to_owned()
}
