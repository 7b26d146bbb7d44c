//! One output slice that several tasks write, each its own part.

use std::marker::PhantomData;

/// A mutable slice that tasks of one loop may write in parallel, as long as their parts differ.
#[derive(Debug)]
pub struct DisjointSlice<'a, T> {
    start: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: the parts given out never overlap (the contract of `part`), so this is as good as sending
// each task its own `&mut [T]`.
unsafe impl<T: Send> Sync for DisjointSlice<'_, T> {}

impl<'a, T> DisjointSlice<'a, T> {
    /// Borrows `slice` for as long as parts of it may be written.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            length: slice.len(),
            borrowed: PhantomData,
        }
    }

    /// The part of `length` elements that begins at `offset`.
    ///
    /// # Safety
    /// No two parts that are alive at the same time may overlap.
    ///
    /// # Panics
    /// If the part reaches beyond the slice.
    #[must_use]
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller vouches that parts do not overlap"
    )]
    pub unsafe fn part(&self, offset: usize, length: usize) -> &mut [T] {
        assert!(
            offset
                .checked_add(length)
                .is_some_and(|end| end <= self.length),
            "{length} elements at {offset} are not in a slice of {}",
            self.length
        );
        // SAFETY: in bounds by the assertion, not aliased by the caller's promise, and the borrow
        // of the whole slice lasts as long as `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), length) }
    }
}
