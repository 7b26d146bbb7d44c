//! The fake device, and a note of what each step asked of it: the engine's own numbers are not
//! taken on trust.

use std::cell::RefCell;
use std::rc::Rc;

use sconce_engine::fake::{FakeError, FakeExecutor};
use sconce_engine::{Computed, Executor, Hold, Step};

/// The fake device, watched.
#[derive(Debug)]
pub(crate) struct Watched {
    fake: FakeExecutor,
    notes: Notes,
}

/// Tokens of each chunk of the latest step.
pub(crate) type Notes = Rc<RefCell<Vec<u32>>>;

/// The device for the engine, and the notes for the observer.
pub(crate) fn watch(fake: FakeExecutor) -> (Watched, Notes) {
    let notes = Notes::default();
    (
        Watched {
            fake,
            notes: Rc::clone(&notes),
        },
        notes,
    )
}

impl Executor for Watched {
    type Error = FakeError;

    fn run(&mut self, step: &Step<'_>, holds: &mut [Hold<'_>]) -> Result<Vec<Computed>, FakeError> {
        *self.notes.borrow_mut() = step
            .chunks
            .iter()
            .map(|it| it.tokens.len() as u32)
            .collect();
        self.fake.run(step, holds)
    }
}
