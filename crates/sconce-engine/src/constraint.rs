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
#[derive(Debug)]
pub(crate) enum Bound {
    /// Nothing.
    Free,
    /// A set of tokens.
    To(TokenMask),
    /// It cannot be said: nothing is drawn, and the sequence ends.
    Lost,
}

impl Bound {
    /// What `constraint` holds the next draw to, and why it cannot say, if it cannot.
    pub(crate) fn of(constraint: &mut dyn Constraint) -> (Self, Option<ConstraintFailure>) {
        match constraint.mask() {
            Ok(mask) if mask.is_empty() => {
                let fact = "no token may follow, and the answer may not end".to_owned();
                (Self::Lost, Some(ConstraintFailure { fact }))
            }
            Ok(mask) => (Self::To(mask), None),
            Err(failure) => (Self::Lost, Some(failure)),
        }
    }

    pub(crate) fn mask(&self) -> Option<&TokenMask> {
        match self {
            Self::To(mask) => Some(mask),
            Self::Free | Self::Lost => None,
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost)
    }
}
