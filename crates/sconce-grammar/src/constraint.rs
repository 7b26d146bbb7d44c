//! A parser that follows one answer.

use std::fmt;

use llguidance::Matcher;
use llguidance::api::StopReason;
use sconce_domain::{TokenCount, TokenId, TokenMask};
use sconce_engine::{Constraint, ConstraintFailure, Progress};

use crate::compiler::said;

/// Follows one answer.
pub(crate) struct GrammarConstraint {
    matcher: Matcher,
    accepted: usize,
}

impl GrammarConstraint {
    /// `matcher` has accepted nothing yet.
    pub(crate) fn new(matcher: Matcher) -> Self {
        Self {
            matcher,
            accepted: 0,
        }
    }
}

impl fmt::Debug for GrammarConstraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GrammarConstraint")
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

pub(crate) fn failure(error: impl fmt::Display) -> ConstraintFailure {
    ConstraintFailure { fact: said(error) }
}

impl Constraint for GrammarConstraint {
    fn mask(&mut self) -> Result<TokenMask, ConstraintFailure> {
        let set = self.matcher.compute_mask().map_err(failure)?;
        Ok(TokenMask::from_words(set.into()))
    }

    fn accept(&mut self, token: TokenId) -> Result<Progress, ConstraintFailure> {
        self.matcher.consume_token(token.0).map_err(failure)?;
        self.accepted += 1;
        match self.matcher.stop_reason() {
            StopReason::NotStopped => Ok(Progress::Open),
            StopReason::EndOfSentence | StopReason::NoExtension | StopReason::NoExtensionBias => {
                Ok(Progress::Complete)
            }
            other => Err(failure(other)),
        }
    }

    fn rewind(&mut self, TokenCount(generated): TokenCount) {
        let back = self.accepted.saturating_sub(generated as usize);
        self.accepted -= back;
        // The matcher remembers that it failed, and the next mask says so.
        let _remembered = self.matcher.rollback(back);
    }
}
