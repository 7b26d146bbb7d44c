//! What a key allows.

use std::sync::Arc;
use std::time::SystemTime;

use sconce_domain::{Allowance, Priority, TenantId, Weight};

/// What is known of a key, its secret apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What records and logs call it.
    pub name: Arc<str>,
    /// For whom it asks.
    pub tenant: TenantId,
    /// The tenant's share beside others.
    pub weight: Weight,
    /// Whether it may manage the server: see its metrics, load and unload models.
    pub is_admin: bool,
    /// The most urgent priority that it may ask with.
    pub most_urgent: Priority,
    /// From when on it is refused.
    pub expires: Option<SystemTime>,
    /// What may be asked with it, and how much: its own allowance, then its tenant's.
    pub allowances: Arc<[Allowance]>,
}
