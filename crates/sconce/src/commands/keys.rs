//! `sconce keys`: who may ask.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use sconce_domain::{Allowance, Priority};
use sconce_keys::{Key, KeyRing, NewKey, Secret, entry_text};

use sconce_limits::Moment;

use crate::arguments::{KeysAction, NewKeyArguments, StateArguments};
use crate::output::say;
use crate::{paths, usage_file};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does what was asked.
pub(crate) fn run(action: KeysAction) -> Result<()> {
    match action {
        KeysAction::Add(key) => add(key),
        KeysAction::List { keys, state } => list(&keys, state),
    }
}

/// Reads a file of keys.
pub(crate) fn read(file: &Path) -> Result<KeyRing> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read the keys in {}; make one with `sconce keys add NAME --keys {0}`",
            file.display()
        )
    })?;
    KeyRing::read(&text).with_context(|| format!("the keys in {}", file.display()))
}

/// Writes the file anew beside its place and moves it there, so that a server never reads half of it.
fn add(arguments: NewKeyArguments) -> Result<()> {
    let NewKeyArguments {
        name,
        tenant,
        admin,
        most_urgent,
        expires_days,
        models,
        limits,
        keys: file,
    } = arguments;
    let expires = expires_days.map(|days| SystemTime::now() + DAY * days);
    let key = NewKey {
        tenant: tenant.unwrap_or_else(|| name.clone()),
        name,
        is_admin: admin,
        most_urgent: Priority(most_urgent),
        expires,
        models,
        limits: limits.into(),
    };
    let secret = Secret::new()?;
    let before = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => bail!("cannot read {}: {error}", file.display()),
    };
    let entry = entry_text(&key, secret.digest())?;
    let text = match before.trim_end() {
        "" => entry,
        before => format!("{before}\n\n{entry}"),
    };
    KeyRing::read(&text).with_context(|| format!("{} stays as it was", file.display()))?;
    write(&file, &text)?;
    say(secret.reveal());
    say(&format!(
        "This is the key `{}` of the tenant `{}`, in {}. It is shown only now; the file keeps its sha256.",
        key.name,
        key.tenant,
        file.display()
    ));
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Readable by its owner alone, as the library makes it.
    let made = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    made.as_file()
        .write_all(text.as_bytes())
        .and_then(|()| made.as_file().sync_all())
        .with_context(|| format!("cannot write {}", file.display()))?;
    made.persist(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

/// A line for each key, then one for each tenant, with what they may take and have taken.
fn list(file: &Path, state: StateArguments) -> Result<()> {
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let moment = Moment(u64::try_from(since)?);
    let used = match state.state_dir.or_else(paths::state_root) {
        Some(folder) => usage_file::read(&folder)?,
        None => BTreeMap::new(),
    };
    let ring = read(file)?;
    let told = |it: &Allowance| {
        let usage = used.get(&it.subject).copied().unwrap_or_default();
        takings(it, usage.tokens_at(moment))
    };
    let mut tenants = BTreeMap::new();
    for key in ring.keys() {
        let [own, of_tenant] = &*key.allowances else {
            continue;
        };
        tenants.insert(&key.tenant.0, (key.weight, of_tenant));
        say(&format!(
            "{}  tenant {}, {}{}; {}",
            key.name,
            key.tenant.0,
            if key.is_admin { "manages, " } else { "" },
            validity(key, now),
            told(own)
        ));
    }
    for (name, (weight, allowance)) in tenants {
        say(&format!(
            "tenant {name}  weight {}; {}",
            weight.0,
            told(allowance)
        ));
    }
    Ok(())
}

/// What may be taken, and of budgets what was.
fn takings(allowance: &Allowance, (day, month): (u64, u64)) -> String {
    let Allowance { limits, models, .. } = allowance;
    let of = |figure: Option<NonZeroU64>| figure.map_or_else(String::new, |it| format!(" of {it}"));
    let mut parts = vec![
        format!("{day}{} tokens today", of(limits.tokens_day)),
        format!("{month}{} this month", of(limits.tokens_month)),
    ];
    let rates = [
        (limits.requests_minute, "requests a minute"),
        (limits.tokens_minute, "tokens a minute"),
        (limits.concurrent, "requests at once"),
    ];
    let rates = rates
        .into_iter()
        .filter_map(|(figure, what)| Some((figure?, what)));
    parts.extend(rates.map(|(figure, what)| format!("at most {figure} {what}")));
    if let Some(models) = models {
        parts.push(format!("only {}", models.join(", ")));
    }
    parts.join(", ")
}

fn validity(key: &Key, now: SystemTime) -> String {
    let days = |length: Duration| length.as_secs().div_ceil(DAY.as_secs());
    match key.expires.map(|it| it.duration_since(now)) {
        None => "does not expire".to_owned(),
        Some(Ok(left)) => format!("expires within {} days", days(left)),
        Some(Err(_)) => "has expired".to_owned(),
    }
}
