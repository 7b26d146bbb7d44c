//! A repository of the hub as a folder: its description, its tokenizer, and the weights that its index
//! names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::catalog::obtain_hub_file;
use crate::reference::{DESCRIPTION, WEIGHTS};
use crate::{
    CatalogError, FetchProgress, FetchSettings, HubFolder, Integrity, ModelCache, ProgressSink,
};

const INDEX: &str = "model.safetensors.index.json";
/// What a model cannot be served without.
const NEEDED: [&str; 2] = [DESCRIPTION, "tokenizer.json"];
/// What many folders have.
const WELCOME: [&str; 4] = [
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    INDEX,
];
/// Notes which files the folder consists of, once all are here: a start without a network needs to know.
const NOTE: &str = ".files";
/// More files than anybody makes.
const SHARDS_MAX: usize = 1000;

/// The one file with a folder's weights, or the folder itself where they are in several.
pub(crate) fn weights_in(folder: PathBuf) -> PathBuf {
    let whole = folder.join(WEIGHTS);
    if whole.is_file() { whole } else { folder }
}

/// A folder that is here.
pub(crate) struct Fetched {
    /// Its weights.
    pub(crate) path: PathBuf,
    /// That of the weights.
    pub(crate) integrity: Integrity,
}

impl ModelCache {
    /// Whether all files of the folder were fetched.
    #[must_use]
    pub fn has_folder(&self, folder: &HubFolder) -> bool {
        self.hub_path(&folder.with_file(NOTE)).is_file()
    }
}

/// What an index says.
#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// Finds the folder in the cache, or fetches what is missing of it.
pub(crate) async fn obtain(
    folder: &HubFolder,
    cache: &ModelCache,
    settings: &FetchSettings,
    progress: ProgressSink<'_>,
) -> Result<Fetched, CatalogError> {
    let description = cache.hub_path(&folder.with_file(DESCRIPTION));
    let path = description.parent().unwrap_or(&description).to_path_buf();
    let note = path.join(NOTE);
    let noted = fs::read_to_string(&note).ok();
    let files = match noted {
        Some(noted) => noted.lines().map(str::to_owned).collect(),
        None => describe(folder, &path, cache, (settings, progress)).await?,
    };
    let mut integrity = Integrity::Sha256;
    for file in files.iter().filter(|it| is_plain(it)) {
        let found = obtain_hub_file(&folder.with_file(file), cache, settings, progress).await?;
        if is_weights(file) {
            integrity = integrity.max(found);
        }
    }
    fs::write(&note, files.join("\n")).map_err(CatalogError::io("write", &note))?;
    let path = weights_in(path);
    Ok(Fetched { path, integrity })
}

/// Fetches everything but the weights, and tells all files that there are.
async fn describe(
    folder: &HubFolder,
    path: &Path,
    cache: &ModelCache,
    (settings, progress): (&FetchSettings, ProgressSink<'_>),
) -> Result<Vec<String>, CatalogError> {
    let mut files: Vec<String> = NEEDED.map(str::to_owned).to_vec();
    for file in NEEDED {
        obtain_hub_file(&folder.with_file(file), cache, settings, progress).await?;
    }
    for file in WELCOME {
        // That a folder has not all of them is no failure to be told.
        let mut quietly = |step: FetchProgress| match step {
            FetchProgress::SourceFailed { .. } => {}
            step => progress(step),
        };
        let file_of_hub = folder.with_file(file);
        match obtain_hub_file(&file_of_hub, cache, settings, &mut quietly).await {
            Ok(_) => files.push(file.to_owned()),
            Err(CatalogError::HubRefused { status: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if files.iter().any(|it| it == INDEX) {
        files.extend(shards(&path.join(INDEX))?);
    } else {
        files.push(WEIGHTS.to_owned());
    }
    Ok(files)
}

/// The files that the index at `path` names.
fn shards(path: &Path) -> Result<BTreeSet<String>, CatalogError> {
    let bytes = fs::read(path).map_err(CatalogError::io("read", path))?;
    let index: Result<Index, _> = serde_json::from_slice(&bytes);
    let files: Option<BTreeSet<String>> =
        index.ok().map(|it| it.weight_map.into_values().collect());
    let is_sound = |files: &BTreeSet<String>| {
        let names = files.iter().all(|it| is_plain(it) && is_weights(it));
        names && (1..=SHARDS_MAX).contains(&files.len())
    };
    let broken = || CatalogError::BrokenIndex {
        path: path.to_path_buf(),
    };
    files.filter(is_sound).ok_or_else(broken)
}

fn is_weights(file: &str) -> bool {
    file.ends_with(".safetensors")
}

/// Whether a name stays in its folder.
fn is_plain(file: &str) -> bool {
    let is_refused = |it: char| it.is_control() || "/\\:*?\"<>|".contains(it);
    (1..=200).contains(&file.len()) && !file.starts_with('.') && !file.contains(is_refused)
}
