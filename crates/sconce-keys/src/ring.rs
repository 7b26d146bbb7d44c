//! All keys of a server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{Digest, Key};

/// The keys that a server knows.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: HashMap<Digest, Arc<Key>>,
}

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Nobody knows it.
    Unknown,
    /// It was good once.
    Expired,
}

impl KeyRing {
    pub(crate) fn new(keys: HashMap<Digest, Arc<Key>>) -> Self {
        Self { keys }
    }

    /// The key that a client sent, at a time.
    ///
    /// # Errors
    /// If it is not known or not good any more.
    pub fn find(&self, sent: &str, now: SystemTime) -> Result<Arc<Key>, Denied> {
        let digest = Digest::of_sent(sent).ok_or(Denied::Unknown)?;
        let key = self.keys.get(&digest).ok_or(Denied::Unknown)?;
        match key.expires {
            Some(expires) if expires <= now => Err(Denied::Expired),
            _ => Ok(Arc::clone(key)),
        }
    }

    /// Whether a key or a tenant has a budget.
    #[must_use]
    pub fn has_budgets(&self) -> bool {
        let mut allowances = self.keys.values().flat_map(|it| it.allowances.iter());
        allowances.any(|it| it.limits.tokens_day.is_some() || it.limits.tokens_month.is_some())
    }

    /// The keys in the order of their names.
    #[must_use]
    pub fn keys(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.keys.values().map(AsRef::as_ref).collect();
        keys.sort_by(|left, right| left.name.cmp(&right.name));
        keys
    }
}
