//! `sconce records`: what a server keeps of requests.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use sconce_store::{Closed, Record, RecordFilter, RecordId, Verified, erase_subject, read_records};

use crate::output::{count_text, say};
use crate::record_arguments::{RecordsAction, RecordsFolder};

/// Does what was asked.
pub(crate) fn run(action: RecordsAction) -> Result<()> {
    match action {
        RecordsAction::List { folder, wanted } => list(&folder, &wanted.into()),
        RecordsAction::Show { id, folder } => show(&folder, id),
        RecordsAction::Export { folder, wanted } => export(&folder, &wanted.into()),
        RecordsAction::Verify(folder) => verify(&folder),
        RecordsAction::Erase { subject, folder } => erase(&folder, &subject),
    }
}

fn list(folder: &RecordsFolder, wanted: &RecordFilter) -> Result<()> {
    read_records(&folder.records_dir, |record| {
        if let Some(closed) = record.closed.filter(|it| wanted.wants(it)) {
            say(&line(&closed));
        }
    })?;
    Ok(())
}

fn line(closed: &Closed) -> String {
    let ended = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(closed.at_ms));
    let ended = ended.map_or_else(String::new, |it| {
        humantime::format_rfc3339_millis(it).to_string()
    });
    let reason = closed.refusal.as_ref().or(closed.failure.as_ref());
    let reason = reason.map_or_else(String::new, |it| format!(" ({it})"));
    format!(
        "{}  {ended}  {}  tenant {}  {}  {}{reason}  {} + {} tokens  {}",
        closed.id,
        closed.kind,
        closed.tenant,
        closed.model.as_deref().unwrap_or("no model"),
        closed.end,
        closed.prompt_tokens,
        closed.completion_tokens,
        closed
            .total_ms
            .map_or_else(|| "unknown time".to_owned(), |it| format!("{it} ms")),
    )
}

fn show(folder: &RecordsFolder, id: RecordId) -> Result<()> {
    let mut found: Option<Record> = None;
    read_records(&folder.records_dir, |record| {
        if record.id == id {
            found = Some(record);
        }
    })?;
    let Some(record) = found else {
        bail!(
            "there is no record of {id} in {}",
            folder.records_dir.display()
        );
    };
    say(&format!("{:#}", record.json()));
    Ok(())
}

fn export(folder: &RecordsFolder, wanted: &RecordFilter) -> Result<()> {
    read_records(&folder.records_dir, |record| {
        if record.closed.as_ref().is_some_and(|it| wanted.wants(it)) {
            say(&record.json().to_string());
        }
    })?;
    Ok(())
}

fn erase(folder: &RecordsFolder, subject: &str) -> Result<()> {
    match erase_subject(&folder.records_dir, subject)? {
        0 => say(&format!(
            "there is no key of {subject}: nothing of it is kept that could be read"
        )),
        keys => say(&format!(
            "{keys} keys of {subject} are destroyed; what they sealed can never be read again"
        )),
    }
    Ok(())
}

fn verify(folder: &RecordsFolder) -> Result<()> {
    let Verified {
        segments,
        entries,
        bytes,
        open,
        closed,
        torn_bytes,
        chain,
    } = sconce_store::verify(&folder.records_dir)?;
    say(&format!(
        "whole: {} entries of {} bytes in {} files; {} requests have ended, {} are open",
        count_text(entries),
        count_text(bytes),
        count_text(segments),
        count_text(closed),
        count_text(open),
    ));
    if torn_bytes > 0 {
        say(&format!(
            "{} bytes at the end are no whole entry: a write that runs, or one that was cut short; the \
             next start of a server cuts them off",
            count_text(torn_bytes)
        ));
    }
    say(&format!("chain: {chain}"));
    Ok(())
}
