//! What can be typed about records of requests.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand, ValueEnum};
use sconce_store::{RecordFilter, RecordId};

/// What stays of requests.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecordArguments {
    /// The folder for records of requests; it is made if there is none. Without it, records are lines of
    /// the log.
    #[arg(long, value_name = "DIR")]
    pub(crate) records_dir: Option<PathBuf>,
    /// What is kept there of a request.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "metadata")]
    pub(crate) records: RecordKind,
    /// When a record counts as written; an answer's last byte waits for that.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "group")]
    pub(crate) records_durability: RecordDurability,
    /// Answer 503 rather than answer without a record, should the disk be full.
    #[arg(long)]
    pub(crate) records_required: bool,
}

/// What is kept of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordKind {
    /// Nothing.
    None,
    /// Who, when, which model, how it ended, how many tokens; no text.
    Metadata,
    /// What was said as well, under the seal of a key for each tenant.
    Full,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordDurability {
    /// Once the kernel has it: a killed server loses nothing, a loss of power what the disk lacks.
    Process,
    /// As `process`, and the disk writes every 50 ms.
    Group,
    /// Once the disk has it.
    Each,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecordsAction {
    /// Show requests that have ended, one a line.
    List {
        #[command(flatten)]
        folder: RecordsFolder,
        #[command(flatten)]
        wanted: WantedRecords,
    },
    /// Show all that is kept of one request.
    Show {
        /// The request's name, as x-request-id told it.
        id: RecordId,
        #[command(flatten)]
        folder: RecordsFolder,
    },
    /// Print records, with what was said where that is kept, as one JSON object a line.
    Export {
        #[command(flatten)]
        folder: RecordsFolder,
        #[command(flatten)]
        wanted: WantedRecords,
    },
    /// Read all records and check that each byte is as it was written.
    Verify(RecordsFolder),
    /// Destroy the keys of a tenant: what was said by it and to it can never be read again.
    Erase {
        /// The tenant.
        #[arg(long, value_name = "TENANT")]
        subject: String,
        #[command(flatten)]
        folder: RecordsFolder,
    },
}

/// Which records are wanted.
#[derive(Debug, Clone, Args)]
pub(crate) struct WantedRecords {
    /// Those that ended since a time like 2027-01-31T00:00:00Z, or within a span like 2h or 30d.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<SystemTime>,
    /// Those that this model took.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Those of this tenant.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Those that ended so (stop, length, abort, error, refused, interrupted), or for this reason.
    #[arg(long, value_name = "WORD")]
    pub(crate) outcome: Option<String>,
}

/// Where records are.
#[derive(Debug, Args)]
pub(crate) struct RecordsFolder {
    /// The folder of records; a server may be writing to it.
    #[arg(long, value_name = "DIR")]
    pub(crate) records_dir: PathBuf,
}

fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    let span = humantime::parse_duration(text);
    let time = span.ok().and_then(|it| SystemTime::now().checked_sub(it));
    time.ok_or_else(|| "neither a time like 2027-01-31T00:00:00Z nor a span like 2h".to_owned())
}

impl From<WantedRecords> for RecordFilter {
    fn from(wanted: WantedRecords) -> Self {
        let since = wanted
            .since
            .and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self {
            since_ms: since.map(|it| it.as_millis() as u64),
            model: wanted.model,
            tenant: wanted.tenant,
            outcome: wanted.outcome,
        }
    }
}
