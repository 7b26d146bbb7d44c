//! Where the use of keys and tenants is kept: a file of JSON lines, the last line of a subject counting.
//!
//! A line is in the system's hands when it has been written, so that a process that is killed loses none;
//! a machine that loses its power may lose the last ones. Once the file is long it is written anew beside
//! its place, synced, and moved there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use sconce_domain::Subject;
use sconce_limits::{Ledger, Level, Moment, Spent, Usage};
use sconce_pipeline::UsageJournal;
use serde::{Deserialize, Serialize};

const FILE: &str = "usage.jsonl";
const LOCK: &str = "usage.lock";
/// Lines after which the file is written anew.
const LINES_MAX: usize = 100_000;

/// The file that one server writes.
#[derive(Debug)]
pub(crate) struct UsageFile {
    path: PathBuf,
    open: Mutex<Open>,
    /// Held as long as the file is.
    lock: File,
}

#[derive(Debug)]
struct Open {
    file: File,
    lines: usize,
    /// Whether a line was begun and could not be ended.
    is_torn: bool,
    latest: BTreeMap<Subject, Usage>,
}

/// A subject's use as it is written: pairs of a level's parts and its time, of a period and its tokens.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    scope: String,
    name: String,
    requests: (u64, u64),
    tokens: (u64, u64),
    day: (u32, u64),
    month: (u32, u64),
}

/// What is known in `folder`, whoever writes it.
pub(crate) fn read(folder: &Path) -> Result<BTreeMap<Subject, Usage>> {
    let path = folder.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    };
    let mut latest = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, it)| !it.is_empty()) {
        match serde_json::from_str::<Line>(line).ok().and_then(Line::read) {
            Some((subject, usage)) => drop(latest.insert(subject, usage)),
            // A process that was killed may have left half a line; what it says stands in no whole one.
            None => tracing::warn!(file = %path.display(), number, "a line of use cannot be read"),
        }
    }
    Ok(latest)
}

impl UsageFile {
    /// Opens the file in `folder`, which is made if need be, and returns what is known there.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Ledger)> {
        let shown = folder.display();
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {shown}"))?;
        let lock = File::create(folder.join(LOCK));
        let lock = lock.with_context(|| format!("cannot write in {shown}"))?;
        if lock.try_lock().is_err() {
            bail!("another server keeps its state in {shown}; give this one a folder of its own");
        }
        let latest = read(folder)?;
        let mut ledger = Ledger::default();
        for (subject, usage) in &latest {
            ledger.restore(subject.clone(), *usage);
        }
        let path = folder.join(FILE);
        let file = written(&path, &latest).with_context(|| format!("cannot write in {shown}"))?;
        let open = Mutex::new(Open {
            file,
            lines: latest.len(),
            is_torn: false,
            latest,
        });
        Ok((Self { path, open, lock }, ledger))
    }
}

impl Drop for UsageFile {
    /// Closing the file would not do: a child that is just being started holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the lock of the file of use could not be given back");
        }
    }
}

impl UsageJournal for UsageFile {
    fn note(&self, changed: &[(&Subject, Usage)]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from(if open.is_torn { "\n" } else { "" });
        for (subject, usage) in changed {
            text += &Line::of(subject, *usage).text()?;
            open.latest.insert((*subject).clone(), *usage);
        }
        open.is_torn = true;
        open.file.write_all(text.as_bytes())?;
        open.is_torn = false;
        open.lines += changed.len();
        if open.lines > LINES_MAX + open.latest.len() {
            open.file = written(&self.path, &open.latest)?;
            open.lines = open.latest.len();
        }
        Ok(())
    }
}

/// Writes the file anew and opens it for what follows.
fn written(path: &Path, latest: &BTreeMap<Subject, Usage>) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let made = tempfile::NamedTempFile::new_in(folder)?;
    let mut text = String::new();
    for (subject, usage) in latest {
        text += &Line::of(subject, *usage).text()?;
    }
    made.as_file().write_all(text.as_bytes())?;
    made.as_file().sync_all()?;
    made.persist(path).map_err(|error| error.error)?;
    OpenOptions::new().append(true).open(path)
}

impl Line {
    fn of(subject: &Subject, usage: Usage) -> Self {
        let level = |it: Level| (it.parts, it.at.0);
        let spent = |it: Spent| (it.period, it.tokens);
        Self {
            scope: subject.scope().to_owned(),
            name: subject.name().to_owned(),
            requests: level(usage.requests),
            tokens: level(usage.tokens),
            day: spent(usage.day),
            month: spent(usage.month),
        }
    }

    fn read(self) -> Option<(Subject, Usage)> {
        let name = self.name.into();
        let subject = match self.scope.as_str() {
            "key" => Subject::Key(name),
            "tenant" => Subject::Tenant(name),
            _ => return None,
        };
        let level = |(parts, at)| Level {
            parts,
            at: Moment(at),
        };
        let spent = |(period, tokens)| Spent { period, tokens };
        let usage = Usage {
            requests: level(self.requests),
            tokens: level(self.tokens),
            day: spent(self.day),
            month: spent(self.month),
        };
        Some((subject, usage))
    }

    fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(tokens: u64) -> Usage {
        let (period, at) = (20_000, Moment(1_700_000_000_000));
        Usage {
            requests: Level { parts: 60_000, at },
            tokens: Level { parts: 1, at },
            day: Spent { period, tokens },
            month: Spent {
                period: 660,
                tokens: tokens * 2,
            },
        }
    }

    #[test]
    fn what_was_written_last_is_read_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [web, shop] = [Subject::Key("web".into()), Subject::Tenant("shop".into())];
        let (file, _) = UsageFile::open(folder.path()).unwrap();
        file.note(&[(&web, usage(1)), (&shop, usage(2))]).unwrap();
        file.note(&[(&web, usage(3))]).unwrap();
        drop(file);
        let path = folder.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        let last = Line::of(&web, usage(12)).text().unwrap();
        for cut in 0..last.len() - 1 {
            std::fs::write(&path, whole.clone() + &last[..cut]).unwrap();
            let (file, ledger) = UsageFile::open(folder.path()).unwrap();
            assert_eq!(ledger.usage(&web), usage(3), "{cut}");
            assert_eq!(ledger.usage(&shop), usage(2));
            file.note(&[(&web, usage(4))]).unwrap();
            assert_eq!(read(folder.path()).unwrap()[&web], usage(4));
        }
    }

    #[test]
    fn a_long_file_is_written_anew_and_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = UsageFile::open(folder.path()).unwrap();
        let web = Subject::Key("web".into());
        for count in 0..LINES_MAX as u64 + 5 {
            file.note(&[(&web, usage(count))]).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.lines().count() < 10, "{}", text.lines().count());
        assert_eq!(
            read(folder.path()).unwrap()[&web],
            usage(LINES_MAX as u64 + 4)
        );
    }

    #[test]
    fn two_servers_do_not_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let _file = UsageFile::open(folder.path()).unwrap();
        let error = UsageFile::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another server"), "{error}");
    }
}
