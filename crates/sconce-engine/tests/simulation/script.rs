//! A constraint that says what it was written to say.

use sconce_domain::{TokenCount, TokenId, TokenMask};
use sconce_engine::{Constraint, ConstraintFailure, Progress};

use crate::crowd::VOCABULARY;

/// Allows a third of the tokens, another third each time, so that whoever miscounts by a token
/// draws what is not allowed.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    stop_tokens: Vec<TokenId>,
    complete_after: usize,
    breaking: Option<(Breaking, usize)>,
    accepted: Vec<TokenId>,
}

/// How a constraint fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaking {
    /// It cannot say what may follow.
    Mask,
    /// It says that nothing may follow, not even the end.
    Empty,
    /// It allowed a token and does not take it.
    Accept,
}

impl Script {
    /// Is complete after so many tokens.
    pub(crate) fn new(stop_tokens: &[TokenId], complete_after: usize) -> Self {
        Self {
            stop_tokens: stop_tokens.to_vec(),
            complete_after,
            breaking: None,
            accepted: Vec::new(),
        }
    }

    /// Fails after so many tokens, if it gets there.
    pub(crate) fn breaking(mut self, breaking: Breaking, after: usize) -> Self {
        self.breaking = Some((breaking, after));
        self
    }

    fn is_broken(&self, breaking: Breaking) -> bool {
        self.breaking == Some((breaking, self.accepted.len()))
    }

    fn allows(&self, token: TokenId) -> bool {
        if self.stop_tokens.contains(&token) {
            return self.accepted.len() % 4 == 3;
        }
        let last = self.accepted.last().map_or(0, |it| it.0);
        (token.0 + last + self.accepted.len() as u32).is_multiple_of(3)
    }
}

fn failure(fact: &str) -> ConstraintFailure {
    ConstraintFailure {
        fact: fact.to_owned(),
    }
}

impl Constraint for Script {
    fn mask(&mut self) -> Result<TokenMask, ConstraintFailure> {
        if self.is_broken(Breaking::Mask) {
            return Err(failure("it was written to fail"));
        }
        if self.is_broken(Breaking::Empty) {
            return Ok(TokenMask::default());
        }
        let tokens = (0..VOCABULARY).map(TokenId);
        Ok(tokens.filter(|it| self.allows(*it)).collect())
    }

    fn accept(&mut self, token: TokenId) -> Result<Progress, ConstraintFailure> {
        if self.is_broken(Breaking::Accept) || !self.allows(token) {
            return Err(failure("this token is not taken"));
        }
        assert!(
            !self.stop_tokens.contains(&token),
            "a token that ends the answer is none of its business"
        );
        self.accepted.push(token);
        Ok(if self.accepted.len() == self.complete_after {
            Progress::Complete
        } else {
            Progress::Open
        })
    }

    fn rewind(&mut self, generated: TokenCount) {
        self.accepted.truncate(generated.0 as usize);
    }
}
