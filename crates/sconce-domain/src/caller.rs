//! Whose requests there are.

use std::sync::Arc;

use crate::{Allowance, TenantId, Weight};

/// For whom a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key that it came with, where keys are asked for.
    pub key: Option<Arc<str>>,
    /// Who is charged for it.
    pub tenant: TenantId,
    /// The tenant's share beside others.
    pub weight: Weight,
    /// What the key and its tenant may take; all of them hold.
    pub allowances: Arc<[Allowance]>,
}

impl Caller {
    /// Whoever asks where nobody needs a key.
    #[must_use]
    pub fn anybody() -> Self {
        Self {
            key: None,
            tenant: TenantId::shared(),
            weight: Weight::default(),
            allowances: Arc::default(),
        }
    }
}
