//! Plugs the store into the pipeline, which never meet.

use std::sync::Arc;

use anyhow::{Result, bail};
use sconce_domain::{ClosedRecord, OpenedRecord};
use sconce_pipeline::{
    Keeps, Pipeline, ReceiptWriter, RecordKeeper, RecordMetrics, Recording, Unrecorded,
};
use sconce_store::{Durability, JournalOptions, JournalWatch, NotWritten, Recorder};

use crate::record_arguments::{RecordArguments, RecordDurability, RecordKind};

/// `pipeline`, with records kept as `arguments` say.
pub(crate) fn recorded(pipeline: Pipeline, arguments: &RecordArguments) -> Result<Pipeline> {
    let Some(folder) = &arguments.records_dir else {
        if arguments.records_required || arguments.records == RecordKind::Full {
            bail!("records need a place; give it with --records-dir");
        }
        return Ok(pipeline);
    };
    if arguments.records == RecordKind::None {
        return Ok(pipeline);
    }
    let options = JournalOptions {
        durability: arguments.records_durability.into(),
        ..JournalOptions::new(folder.clone())
    };
    let watch = Arc::new(Watch(pipeline.metrics().records()));
    let keeper = Keeper(Recorder::start(&options, watch)?);
    Ok(pipeline.recorded_by(Recording {
        keeper: Arc::new(keeper),
        keeps: match arguments.records {
            RecordKind::Full => Keeps::Content,
            RecordKind::None | RecordKind::Metadata => Keeps::Metadata,
        },
        required: arguments.records_required,
    }))
}

impl From<RecordDurability> for Durability {
    fn from(durability: RecordDurability) -> Self {
        match durability {
            RecordDurability::Process => Self::Process,
            RecordDurability::Group => Self::Group,
            RecordDurability::Each => Self::Each,
        }
    }
}

#[derive(Debug)]
struct Keeper(Recorder);

#[derive(Debug)]
struct Watch(Arc<RecordMetrics>);

impl RecordKeeper for Keeper {
    fn open(&self, record: OpenedRecord, receipt: ReceiptWriter) {
        self.0.open(&record, told(receipt));
    }

    fn close(&self, record: ClosedRecord, receipt: ReceiptWriter) {
        self.0.close(&record, told(receipt));
    }
}

fn told(receipt: ReceiptWriter) -> sconce_store::Told {
    let unrecorded = |error: NotWritten| Unrecorded {
        fact: error.to_string(),
    };
    Box::new(move |outcome| receipt.tell(outcome.map_err(unrecorded)))
}

impl JournalWatch for Watch {
    fn wrote(&self, entries: u64, bytes: u64) {
        self.0.wrote(entries, bytes);
    }

    fn synced(&self, seconds: f64) {
        self.0.synced(seconds);
    }

    fn failed(&self, entries: u64) {
        self.0.failed(entries);
    }
}
