//! The port to whoever keeps records, and how a request waits for it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sconce_domain::{ClosedRecord, OpenedRecord};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// How long a request waits for its record. A disk that takes longer counts as one that fails.
const WRITING_MAX: Duration = Duration::from_secs(10);

/// Keeps records of requests. Neither method may wait.
pub trait RecordKeeper: fmt::Debug + Send + Sync {
    /// Notes that a request is about to be admitted.
    fn open(&self, record: OpenedRecord, receipt: ReceiptWriter);

    /// Notes that a request has ended. Each one that was opened is closed once.
    fn close(&self, record: ClosedRecord, receipt: ReceiptWriter);
}

/// What records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keeps {
    /// Who, when, how it ended, how many tokens; nothing that was said.
    #[default]
    Metadata,
    /// What was said, too.
    Content,
}

/// Who keeps records, and whether a request may be served without one.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Who keeps them.
    pub keeper: Arc<dyn RecordKeeper>,
    /// What they say.
    pub keeps: Keeps,
    /// Whether a request whose record cannot be written is refused.
    pub required: bool,
}

/// A record could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecorded {
    /// Why.
    pub fact: String,
}

/// Says whether an entry was written. Dropping it says that it was not.
#[derive(Debug)]
pub struct ReceiptWriter(oneshot::Sender<Result<(), Unrecorded>>);

impl ReceiptWriter {
    /// Says it.
    pub fn tell(self, outcome: Result<(), Unrecorded>) {
        // Who has left does not want to know.
        let _gone = self.0.send(outcome);
    }
}

/// Resolves once an entry was written, or could not be.
#[derive(Debug)]
pub(crate) struct Receipt {
    told: oneshot::Receiver<Result<(), Unrecorded>>,
    /// There once somebody waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Receipt {
    pub(crate) fn new() -> (ReceiptWriter, Self) {
        let (writer, told) = oneshot::channel();
        let patience = None;
        (ReceiptWriter(writer), Self { told, patience })
    }
}

impl Future for Receipt {
    type Output = Result<(), Unrecorded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(told) = Pin::new(&mut self.told).poll(context) {
            let silent = |_| Unrecorded {
                fact: "the journal is closed".to_owned(),
            };
            return Poll::Ready(told.map_err(silent).flatten());
        }
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(WRITING_MAX)));
        patience.as_mut().poll(context).map(|()| {
            Err(Unrecorded {
                fact: format!("the disk took longer than {} s", WRITING_MAX.as_secs()),
            })
        })
    }
}
