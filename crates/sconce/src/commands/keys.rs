//! `sconce keys`: who may ask.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use sconce_domain::Priority;
use sconce_keys::{Key, KeyRing, NewKey, Secret, entry_text};

use crate::arguments::{KeysAction, NewKeyArguments};
use crate::output::say;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does what was asked.
pub(crate) fn run(action: KeysAction) -> Result<()> {
    match action {
        KeysAction::Add(key) => add(key),
        KeysAction::List { keys } => list(&keys),
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
        keys: file,
    } = arguments;
    let expires = expires_days.map(|days| SystemTime::now() + DAY * days);
    let key = NewKey {
        tenant: tenant.unwrap_or_else(|| name.clone()),
        name,
        is_admin: admin,
        most_urgent: Priority(most_urgent),
        expires,
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

fn list(file: &Path) -> Result<()> {
    let now = SystemTime::now();
    for key in read(file)?.keys() {
        say(&format!(
            "{}  tenant {} of weight {}, {}{}",
            key.name,
            key.tenant.0,
            key.weight.0,
            if key.is_admin { "manages, " } else { "" },
            validity(key, now)
        ));
    }
    Ok(())
}

fn validity(key: &Key, now: SystemTime) -> String {
    let days = |length: Duration| length.as_secs().div_ceil(DAY.as_secs());
    match key.expires.map(|it| it.duration_since(now)) {
        None => "does not expire".to_owned(),
        Some(Ok(left)) => format!("expires within {} days", days(left)),
        Some(Err(_)) => "has expired".to_owned(),
    }
}
