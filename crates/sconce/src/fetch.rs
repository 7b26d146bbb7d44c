//! Finds a model's file, and shows how far a download has come.

use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use sconce_catalog::{
    Catalog, FetchProgress, FetchSettings, Integrity, ModelCache, ModelReference, ResolvedModel,
};

use crate::arguments::FetchArguments;
use crate::{output, paths};

/// The folder that models are kept in.
pub(crate) fn cache(arguments: &FetchArguments) -> Result<ModelCache> {
    let root = arguments.cache_dir.clone().or_else(paths::cache_root);
    let root = root.context("no folder for models is known: set HOME or give --cache-dir DIR")?;
    Ok(ModelCache::new(root))
}

/// Whether the model's file is there and need not be fetched.
pub(crate) fn is_here(reference: &ModelReference, arguments: &FetchArguments) -> bool {
    let Ok(cache) = cache(arguments) else {
        return true;
    };
    let catalog = Catalog::builtin();
    match reference {
        ModelReference::Path(_) => true,
        ModelReference::Hub(file) => cache.hub_path(file).exists(),
        ModelReference::HubFolder(folder) => cache.has_folder(folder),
        ModelReference::Card(name) => {
            let card = catalog.find(name);
            card.is_none_or(|it| catalog.is_cached(it, &cache))
        }
    }
}

/// Finds the file of `model` and fetches it if it is not there.
pub(crate) async fn resolve(model: &str, arguments: &FetchArguments) -> Result<ResolvedModel> {
    let reference = ModelReference::parse(model, &Catalog::builtin())?;
    resolve_reference(&reference, arguments).await
}

/// As [`resolve`].
pub(crate) async fn resolve_reference(
    reference: &ModelReference,
    arguments: &FetchArguments,
) -> Result<ResolvedModel> {
    let catalog = Catalog::builtin();
    let settings = FetchSettings {
        python_program: arguments.python.clone(),
        hub_endpoint: arguments.hub_endpoint.clone(),
        hub_token: arguments.hub_token.clone(),
        ..FetchSettings::default()
    };
    let mut display = Display::default();
    let cache = cache(arguments)?;
    let found = catalog
        .resolve(reference, &cache, &settings, &mut |step| display.show(step))
        .await;
    display.clear();
    let resolved = found?;
    if resolved.integrity == Integrity::SizeOnly {
        tracing::warn!(file = %resolved.path.display(), "the hub told no sha256: only the size was checked");
    }
    Ok(resolved)
}

/// A progress bar on standard error. Nothing is drawn where that is not a terminal.
#[derive(Debug, Default)]
pub(crate) struct Display {
    bar: Option<ProgressBar>,
}

impl Display {
    pub(crate) fn show(&mut self, step: FetchProgress) {
        match step {
            FetchProgress::Waiting => self.begin("another process is fetching this model", None, 0),
            FetchProgress::Started {
                origin,
                bytes_done,
                bytes_total,
            } => {
                self.begin(&format!("fetching from {origin}"), bytes_total, bytes_done);
            }
            FetchProgress::Advanced { bytes_done } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(bytes_done);
                }
            }
            FetchProgress::SourceFailed { reason } => {
                self.clear();
                output::complain(&format!("{reason}; trying the next source"));
            }
            FetchProgress::Joined {
                parts_done,
                parts_total,
            } => {
                self.begin(
                    &format!("unpacked {parts_done} of {parts_total} parts"),
                    None,
                    0,
                );
            }
            FetchProgress::Verifying { bytes_total } => {
                let what = format!("checking {}", output::bytes_text(bytes_total));
                self.begin(&what, None, 0);
            }
        }
    }

    fn begin(&mut self, what: &str, bytes_total: Option<u64>, bytes_done: u64) {
        self.clear();
        let bar = match bytes_total {
            Some(total) => ProgressBar::new(total).with_style(bar_style()),
            None => ProgressBar::new_spinner(),
        };
        if bar.is_hidden() {
            output::complain(what);
        }
        bar.set_message(what.to_owned());
        bar.set_position(bytes_done);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bar = Some(bar);
    }

    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar_style() -> ProgressStyle {
    let template = "{msg}\n[{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
