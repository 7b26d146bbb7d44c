//! Records as they are read back: what was opened and what was closed, put together.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::StoreError;
use crate::entry::{Closed, Facts, Opened, RecordId};
use crate::reading::read_all;
use crate::subjects::{Subjects, Unsealed};

/// What was said, where that was kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Content {
    /// It was not kept.
    #[default]
    Nothing,
    /// Its subject has been erased.
    Erased,
    /// It is not what was sealed; the journal is, so its key is another one.
    Broken,
    /// This.
    Kept(Value),
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// How it began; none if it was refused before it was understood.
    pub opened: Option<Opened>,
    /// How it ended; none while it runs.
    pub closed: Option<Closed>,
    /// What was asked.
    pub input: Content,
    /// What was answered.
    pub output: Content,
}

/// Which records are wanted. All that are said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Those that ended at this time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Those that this model took.
    pub model: Option<String>,
    /// Those of this tenant.
    pub tenant: Option<String>,
    /// Those that ended so, or were refused or failed for this reason.
    pub outcome: Option<String>,
}

impl RecordFilter {
    /// Whether a request that ended so is wanted.
    #[must_use]
    pub fn wants(&self, closed: &Closed) -> bool {
        let is_outcome = |wanted: &String| {
            let Closed {
                end,
                refusal,
                failure,
                ..
            } = closed;
            end == wanted
                || [refusal, failure]
                    .into_iter()
                    .any(|it| it.as_ref() == Some(wanted))
        };
        self.since_ms.is_none_or(|it| closed.at_ms >= it)
            && self
                .model
                .as_ref()
                .is_none_or(|it| closed.model.as_ref() == Some(it))
            && self.tenant.as_ref().is_none_or(|it| closed.tenant == *it)
            && self.outcome.as_ref().is_none_or(is_outcome)
    }
}

impl Record {
    fn begun(opened: Opened) -> Self {
        Self {
            id: opened.id,
            opened: Some(opened),
            closed: None,
            input: Content::Nothing,
            output: Content::Nothing,
        }
    }

    fn unopened(id: RecordId) -> Self {
        Self {
            id,
            opened: None,
            closed: None,
            input: Content::Nothing,
            output: Content::Nothing,
        }
    }

    /// All of it as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let facts = match (&self.closed, &self.opened) {
            (Some(closed), _) => serde_json::to_value(closed),
            (None, Some(opened)) => serde_json::to_value(opened),
            (None, None) => Ok(Value::Object(Map::new())),
        };
        let mut told = facts.expect("texts and numbers can be written");
        told["id"] = self.id.to_string().into();
        if let Some(opened) = &self.opened {
            told["opened_at_ms"] = opened.at_ms.into();
        }
        if self.closed.is_none() {
            told["end"] = Value::Null;
        }
        for (name, content) in [("input", &self.input), ("output", &self.output)] {
            match content {
                Content::Nothing => {}
                Content::Erased => told[name] = "erased".into(),
                Content::Broken => told[name] = "broken".into(),
                Content::Kept(kept) => told[name] = kept.clone(),
            }
        }
        told
    }
}

/// Reads the journal in `folder` and tells `each` every request, as they end; those that are open come
/// last. Checks every byte on the way. Memory holds the open ones alone.
///
/// # Errors
/// If the journal is damaged or cannot be read.
pub fn read_records(folder: &Path, mut each: impl FnMut(Record)) -> Result<(), StoreError> {
    let subjects = Subjects::open(folder)?;
    let content = |payload: &[u8], sealed: &[u8]| unsealed(&subjects, payload, sealed);
    let mut open: HashMap<RecordId, Record> = HashMap::new();
    read_all(folder, |facts, sealed, entry, _| {
        match facts {
            Facts::Opened(opened) => {
                let mut record = Record::begun(opened.clone());
                record.input = content(&entry.payload, sealed);
                open.insert(opened.id, record);
            }
            Facts::Closed(closed) => {
                let begun = open.remove(&closed.id);
                let mut record = begun.unwrap_or_else(|| Record::unopened(closed.id));
                record.closed = Some(closed.clone());
                record.output = content(&entry.payload, sealed);
                each(record);
            }
            Facts::Carried(carried) => {
                // Whatever is not carried was never closed: its end could not be written.
                open.retain(|id, _| carried.iter().any(|it| it.id == *id));
                for opened in carried {
                    let begun = || Record::begun(opened.clone());
                    open.entry(opened.id).or_insert_with(begun);
                }
            }
        }
        Ok(())
    })?;
    let mut open: Vec<Record> = open.into_values().collect();
    open.sort_by_key(|it| (it.opened.as_ref().map(|it| it.at_ms), it.id));
    open.into_iter().for_each(each);
    Ok(())
}

/// What is sealed in an entry.
pub(crate) fn unsealed(subjects: &Subjects, payload: &[u8], sealed: &[u8]) -> Content {
    if sealed.is_empty() {
        return Content::Nothing;
    }
    // A length of four bytes, the facts, and then what is sealed.
    let facts = &payload[4..payload.len() - sealed.len()];
    match subjects.open_sealed(sealed, facts) {
        Unsealed::Erased => Content::Erased,
        Unsealed::Broken => Content::Broken,
        Unsealed::Text(text) => match serde_json::from_slice(&text) {
            Ok(value) => Content::Kept(value),
            Err(_) => Content::Broken,
        },
    }
}

/// Destroys the keys of `subject`: what was said by it and to it can never be read again, by a running
/// server neither. Says how many keys there were.
///
/// # Errors
/// If the file of keys cannot be read or written.
pub fn erase_subject(folder: &Path, subject: &str) -> Result<u64, StoreError> {
    Subjects::open(folder)?.erase(subject)
}
