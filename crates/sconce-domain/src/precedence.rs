//! Who goes first, and who is owed how much.

use std::num::NonZeroU16;

/// How urgent a sequence is: lower ones go first, always. Zero is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(pub i32);

/// A tenant's share beside those of other tenants: twice the weight is owed twice the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub NonZeroU16);

impl Default for Weight {
    fn default() -> Self {
        Self(NonZeroU16::MIN)
    }
}
