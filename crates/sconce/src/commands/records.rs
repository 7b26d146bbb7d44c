//! `sconce records`: what a server keeps of requests.

use anyhow::Result;
use sconce_store::Verified;

use crate::arguments::{RecordsAction, RecordsFolder};
use crate::output::{count_text, say};

/// Does what was asked.
pub(crate) fn run(action: RecordsAction) -> Result<()> {
    match action {
        RecordsAction::Verify(folder) => verify(&folder),
    }
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
