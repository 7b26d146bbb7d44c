//! The file that holds keys: TOML with a `[[key]]` for each, and what tenants are owed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::SystemTime;

use sconce_domain::{Allowance, Limits, Priority, Subject, TenantId, Weight};
use serde::{Deserialize, Serialize};

use crate::{Digest, Key, KeyRing};

/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;

/// What is wrong with a file of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is not TOML of this shape.
    #[error("{fact}")]
    Syntax {
        /// Where and what, in several lines.
        fact: String,
    },
    /// A name that logs could not show safely.
    #[error("the name `{name}` is not 1 to 64 letters, digits, `-`, `_` or `.`; choose another")]
    Name {
        /// The name, cut short and escaped.
        name: String,
    },
    /// Two keys share a name.
    #[error("two keys are named `{name}`; rename one")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// Two keys share a secret.
    #[error("the key `{name}` has the sha256 of another one; make a new key instead")]
    DigestTwice {
        /// The later of the two.
        name: String,
    },
    /// Not a sha256.
    #[error("the key `{name}` has a `sha256` that is not 64 hexadecimal digits")]
    Digest {
        /// The key.
        name: String,
    },
    /// Not a time.
    #[error("the key `{name}` expires at `{text}`, which is not a time like 2027-01-31T00:00:00Z")]
    Expiry {
        /// The key.
        name: String,
        /// What stands there.
        text: String,
    },
    /// Settings of a tenant whose name no key has.
    #[error("the tenant `{tenant}` has settings but no key; correct its name or remove it")]
    IdleTenant {
        /// The tenant.
        tenant: String,
    },
    /// A list of models that has none.
    #[error(
        "`{name}` has `models` without a model; name those that may be asked, or leave `models` out"
    )]
    NoModels {
        /// The key or the tenant.
        name: String,
    },
    /// A file without keys keeps everybody out.
    #[error("there is no key in it; make one with `sconce keys add`")]
    NoKeys,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    key: Vec<Entry>,
    #[serde(default)]
    tenant: BTreeMap<String, TenantEntry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    tenant: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    admin: bool,
    #[serde(default, skip_serializing_if = "is_usual")]
    most_urgent: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "LimitsEntry::is_none")]
    limits: LimitsEntry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantEntry {
    weight: Option<NonZeroU16>,
    models: Option<Vec<String>>,
    #[serde(default)]
    limits: LimitsEntry,
}

/// Limits under the names that files give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent_requests: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_day: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_month: Option<NonZeroU64>,
}

impl LimitsEntry {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl From<LimitsEntry> for Limits {
    fn from(entry: LimitsEntry) -> Self {
        Self {
            requests_minute: entry.requests_per_minute,
            tokens_minute: entry.tokens_per_minute,
            concurrent: entry.concurrent_requests,
            tokens_day: entry.tokens_per_day,
            tokens_month: entry.tokens_per_month,
        }
    }
}

impl From<Limits> for LimitsEntry {
    fn from(limits: Limits) -> Self {
        Self {
            requests_per_minute: limits.requests_minute,
            tokens_per_minute: limits.tokens_minute,
            concurrent_requests: limits.concurrent,
            tokens_per_day: limits.tokens_day,
            tokens_per_month: limits.tokens_month,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_usual(priority: &i32) -> bool {
    *priority == 0
}

/// A key to be written to a file.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What records and logs call it.
    pub name: String,
    /// For whom it asks.
    pub tenant: String,
    /// Whether it may manage the server.
    pub is_admin: bool,
    /// The most urgent priority that it may ask with.
    pub most_urgent: Priority,
    /// From when on it is refused.
    pub expires: Option<SystemTime>,
    /// The models that may be asked with it, or `None` for all.
    pub models: Option<Vec<String>>,
    /// How much may be asked with it.
    pub limits: Limits,
}

impl KeyRing {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// If anything in it is not understood: a key that is half read could let the wrong one in.
    pub fn read(text: &str) -> Result<Self, KeysError> {
        let file: KeysFile = toml::from_str(text).map_err(|error| KeysError::Syntax {
            fact: error.to_string().trim_end().to_owned(),
        })?;
        let mut names = HashSet::new();
        let mut keys = HashMap::new();
        for entry in &file.key {
            let (digest, key) = entry.read(&file.tenant)?;
            let name = entry.name.clone();
            if !names.insert(name.clone()) {
                return Err(KeysError::NameTwice { name });
            }
            if keys.insert(digest, Arc::new(key)).is_some() {
                return Err(KeysError::DigestTwice { name });
            }
        }
        if keys.is_empty() {
            return Err(KeysError::NoKeys);
        }
        let has_key = |tenant: &String| file.key.iter().any(|it| it.tenant == *tenant);
        if let Some(tenant) = file.tenant.into_keys().find(|it| !has_key(it)) {
            return Err(KeysError::IdleTenant { tenant });
        }
        Ok(Self::new(keys))
    }
}

impl Entry {
    fn read(&self, tenants: &BTreeMap<String, TenantEntry>) -> Result<(Digest, Key), KeysError> {
        check_name(&self.name)?;
        check_name(&self.tenant)?;
        let name = || self.name.clone();
        let digest =
            Digest::read(&self.sha256).ok_or_else(|| KeysError::Digest { name: name() })?;
        let time = |text: &String| {
            humantime::parse_rfc3339(text).map_err(|_| KeysError::Expiry {
                name: name(),
                text: shown(text),
            })
        };
        let tenant = tenants.get(&self.tenant);
        let weight = tenant.and_then(|it| it.weight).map(Weight);
        let own = Allowance {
            subject: Subject::Key(Arc::from(self.name.as_str())),
            limits: self.limits.into(),
            models: listed(self.models.as_deref(), &self.name)?,
        };
        let of_tenant = Allowance {
            subject: Subject::Tenant(Arc::from(self.tenant.as_str())),
            limits: tenant.map(|it| it.limits).unwrap_or_default().into(),
            models: listed(tenant.and_then(|it| it.models.as_deref()), &self.tenant)?,
        };
        let key = Key {
            name: Arc::from(self.name.as_str()),
            tenant: TenantId(Arc::from(self.tenant.as_str())),
            weight: weight.unwrap_or_default(),
            is_admin: self.admin,
            most_urgent: Priority(self.most_urgent),
            expires: self.expires.as_ref().map(time).transpose()?,
            allowances: Arc::new([own, of_tenant]),
        };
        Ok((digest, key))
    }
}

/// The lines that add `key`, whose secret has `digest`, to a file of keys.
///
/// # Errors
/// If a name cannot be used.
pub fn entry_text(key: &NewKey, digest: Digest) -> Result<String, KeysError> {
    check_name(&key.name)?;
    check_name(&key.tenant)?;
    let time = |it: SystemTime| humantime::format_rfc3339_seconds(it).to_string();
    let entry = Entry {
        name: key.name.clone(),
        tenant: key.tenant.clone(),
        sha256: digest.to_string(),
        admin: key.is_admin,
        most_urgent: key.most_urgent.0,
        expires: key.expires.map(time),
        models: key.models.clone(),
        limits: key.limits.into(),
    };
    let file = BTreeMap::from([("key", [entry])]);
    toml::to_string(&file).map_err(|error| KeysError::Syntax {
        fact: error.to_string(),
    })
}

/// A list of models, if there is one. An empty one allows nothing, which nobody means.
fn listed(models: Option<&[String]>, of: &str) -> Result<Option<Arc<[Arc<str>]>>, KeysError> {
    if models.is_some_and(<[String]>::is_empty) {
        return Err(KeysError::NoModels {
            name: of.to_owned(),
        });
    }
    let shared = |it: &[String]| it.iter().map(|it| Arc::from(it.as_str())).collect();
    Ok(models.map(shared))
}

/// Names stand in logs and metrics as they are.
fn check_name(name: &str) -> Result<(), KeysError> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    if (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(KeysError::Name { name: shown(name) })
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(NAME_CHARS_MAX).collect();
    cut.escape_debug().to_string()
}
