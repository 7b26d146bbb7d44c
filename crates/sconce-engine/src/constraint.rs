//! The port to what an answer must look like. Owned by the engine, implemented by the grammar crate.

use sconce_domain::{TokenCount, TokenId, TokenMask};

/// Says, token by token, how one answer may go on.
///
/// A constraint that has failed once fails from then on: its sequence ends as failed, the others
/// go on.
pub trait Constraint: std::fmt::Debug + Send {
    /// The tokens that may be drawn next. Those that end an answer are among them exactly where the
    /// answer may end.
    ///
    /// # Errors
    /// If it cannot be said.
    fn mask(&mut self) -> Result<TokenMask, ConstraintFailure>;

    /// Takes note of the token that was drawn. Never told of one that ended the answer.
    ///
    /// # Errors
    /// If the token was not allowed, or if it cannot be said what it leads to.
    fn accept(&mut self, token: TokenId) -> Result<Progress, ConstraintFailure>;

    /// Goes back to where only the first `generated` tokens had been accepted. What fails here is
    /// told by the next mask.
    fn rewind(&mut self, generated: TokenCount);
}

/// Whether an answer can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something may follow, and perhaps must.
    Open,
    /// The answer is whole, and nothing may follow.
    Complete,
}

/// Why a constraint gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer's constraint failed: {fact}")]
pub struct ConstraintFailure {
    /// What happened.
    pub fact: String,
}

/// What the draw of one chunk is held to.
///
/// Finding it out takes from microseconds to milliseconds and needs nothing that the step computes.
/// So the executor does that while its device is at work, on whichever thread it likes.
#[derive(Debug)]
pub struct Hold<'a> {
    constraint: Option<&'a mut dyn Constraint>,
    found: Option<Result<TokenMask, ConstraintFailure>>,
}

/// What [`Hold::find`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound<'a> {
    /// Any token may be drawn.
    Free,
    /// One of these must be drawn; never empty.
    To(&'a TokenMask),
    /// It cannot be said: nothing is to be drawn, and the sequence ends.
    Lost,
}

impl<'a> Bound<'a> {
    /// The only tokens that may be drawn, if not all may.
    #[must_use]
    pub fn mask(self) -> Option<&'a TokenMask> {
        match self {
            Self::To(mask) => Some(mask),
            Self::Free | Self::Lost => None,
        }
    }
}

impl<'a> Hold<'a> {
    /// Held to `constraint`.
    pub fn to(constraint: &'a mut dyn Constraint) -> Self {
        Self {
            constraint: Some(constraint),
            found: None,
        }
    }

    /// Held to nothing.
    #[must_use]
    pub fn free() -> Self {
        Self {
            constraint: None,
            found: None,
        }
    }

    /// Whether there is anything to find out.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.constraint.is_some() && self.found.is_none()
    }

    /// Finds out what the draw is held to, unless that is known.
    pub fn find(&mut self) {
        if !self.is_unknown() {
            return;
        }
        self.found = self.constraint.as_deref_mut().map(|it| match it.mask() {
            Ok(mask) if mask.is_empty() => {
                let fact = "no token may follow, and the answer may not end".to_owned();
                Err(ConstraintFailure { fact })
            }
            other => other,
        });
    }

    /// What the draw is held to.
    ///
    /// # Panics
    /// If nobody has found that out.
    #[must_use]
    pub fn bound(&self) -> Bound<'_> {
        assert!(!self.is_unknown(), "a hold is found before it is kept");
        match &self.found {
            None => Bound::Free,
            Some(Ok(mask)) => Bound::To(mask),
            Some(Err(_)) => Bound::Lost,
        }
    }

    /// Why nothing was to be drawn, if so.
    pub(crate) fn into_failure(self) -> Option<ConstraintFailure> {
        assert!(
            !self.is_unknown(),
            "the executor finds what each draw is held to"
        );
        self.found.and_then(Result::err)
    }
}
