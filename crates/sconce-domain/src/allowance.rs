//! What keys and tenants may take.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

/// Who is charged for a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The key that it came with.
    Key(Arc<str>),
    /// The tenant of that key, for all of its keys together.
    Tenant(Arc<str>),
}

/// How much a subject may take. What is `None` has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Requests a minute.
    pub requests_minute: Option<NonZeroU32>,
    /// Tokens a minute, of prompts and answers.
    pub tokens_minute: Option<NonZeroU32>,
    /// Requests that are open at once.
    pub concurrent: Option<NonZeroU32>,
    /// Tokens of a day of the UTC calendar.
    pub tokens_day: Option<NonZeroU64>,
    /// Tokens of a month of the UTC calendar.
    pub tokens_month: Option<NonZeroU64>,
}

/// What one subject may take and use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Who.
    pub subject: Subject,
    /// How much.
    pub limits: Limits,
    /// The models that it may ask, by name or alias, or `None` for all.
    pub models: Option<Arc<[Arc<str>]>>,
}

impl Subject {
    /// What kind of subject it is, in a word.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tenant(_) => "tenant",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key(name) | Self::Tenant(name) => name,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.scope(), self.name())
    }
}
