//! Folders as models are published in: `config.json`, `tokenizer.json` and safetensors.
//!
//! What a folder says is put into the words of GGUF: its keys, and the names of its tensors. So there is
//! one place that knows what a family is, one that claims tensors, and one that computes with them.

mod config;
mod names;
mod shards;
mod tokenizer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sconce_text::Vocabulary;

use crate::gguf::{Metadata, TensorInfo, TensorType};
use crate::load_error::{LoadError, LoadFault};
use crate::safetensors::{ElementType, SafetensorsFile, StoredTensor};
use crate::weights_file::{RowOrder, TensorBytes, WeightsFile};
use config::Config;

/// The most that is read of a file of JSON or of a template.
const TEXT_BYTES_MAX: u64 = 1 << 28;

/// An open folder, whose headers have been checked against their files' lengths.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    family: &'static str,
    metadata: Metadata,
    shards: Vec<SafetensorsFile>,
    tensors: Vec<TensorInfo>,
    /// By GGUF's name: the place among the tensors, and the folder's own name.
    by_name: HashMap<String, (usize, String)>,
}

impl ModelFolder {
    /// Opens the folder at `path`. Reads its description and the headers of its weights.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let config = Config::read(path)?;
        let shards = shards::open(path)?;
        let mut folder = Self {
            path: path.to_owned(),
            family: config.family(),
            metadata: Metadata::of(&path.join(config::FILE), config.entries()?),
            shards,
            tensors: Vec::new(),
            by_name: HashMap::new(),
        };
        folder.take_in(&config)?;
        Ok(folder)
    }

    fn take_in(&mut self, config: &Config) -> Result<(), LoadError> {
        for (part, shard) in self.shards.iter().enumerate() {
            for stored in shard.tensors() {
                let Some(name) = names::converted(&stored.name, config.ties_head()) else {
                    continue;
                };
                let info = described(stored, (&name, part))
                    .map_err(|fault| fault.in_file(shard.path()))?;
                let place = (self.tensors.len(), stored.name.clone());
                if self.by_name.insert(name, place).is_some() {
                    let (what, name) = ("tensor", stored.name.clone());
                    return Err(LoadFault::Duplicate { what, name }.in_file(shard.path()));
                }
                self.tensors.push(info);
            }
        }
        Ok(())
    }
}

/// A stored tensor under GGUF's name.
fn described(stored: &StoredTensor, (name, part): (&str, usize)) -> Result<TensorInfo, LoadFault> {
    let kind = match stored.kind {
        ElementType::F32 => TensorType::F32,
        ElementType::F16 => TensorType::F16,
        ElementType::BF16 => TensorType::Bf16,
        other => {
            return Err(LoadFault::Description {
                file: "its header".to_owned(),
                what: format!(
                    "tensor {} is stored as {other}, but F32, F16 and BF16 are computed with",
                    stored.name
                ),
            });
        }
    };
    Ok(TensorInfo {
        name: name.to_owned(),
        shape: stored.shape.clone(),
        kind,
        byte_range: stored.byte_range.clone(),
        part,
    })
}

/// The text of a file of the folder; `None` if there is no such file.
fn text_of(folder: &Path, file: &str) -> Result<Option<String>, LoadError> {
    let path = folder.join(file);
    let read = || match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LoadFault::Io(error)),
        Ok(found) if found.len() > TEXT_BYTES_MAX => Err(LoadFault::TooLarge {
            what: format!("the length of {file}"),
            found: found.len(),
            limit: TEXT_BYTES_MAX,
        }),
        Ok(_) => Ok(Some(std::fs::read_to_string(&path)?)),
    };
    read().map_err(|fault| fault.in_file(folder))
}

/// The object in a file of the folder; `None` if there is no such file.
fn object_of(
    folder: &Path,
    file: &str,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, LoadError> {
    let Some(text) = text_of(folder, file)? else {
        return Ok(None);
    };
    let object = serde_json::from_str(&text).map_err(|error| {
        let what = format!("it is no JSON object: {error}");
        broken(folder, file, what)
    })?;
    Ok(Some(object))
}

fn broken(folder: &Path, file: &str, what: impl Into<String>) -> LoadError {
    let (file, what) = (file.to_owned(), what.into());
    LoadFault::Description { file, what }.in_file(folder)
}

impl WeightsFile for ModelFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn family(&self) -> Result<&str, LoadError> {
        Ok(self.family)
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn row_order(&self) -> RowOrder {
        RowOrder::Original
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|(at, _)| &self.tensors[*at])
    }

    fn tensor_bytes(&self, name: &str) -> Result<TensorBytes, LoadError> {
        let file: &dyn WeightsFile = self;
        let info = file.tensor(name)?;
        let stored = self.by_name.get(name).map_or(name, |(_, own)| own);
        let mapped = self.shards[info.part].map_tensor(stored)?;
        Ok(TensorBytes::Mapped(mapped))
    }

    fn vocabulary(&self) -> Result<Vocabulary, LoadError> {
        let rows = crate::sizes::vocabulary_rows(self)?;
        tokenizer::vocabulary(&self.path, rows)
    }

    fn chat_template(&self) -> Result<Option<String>, LoadError> {
        tokenizer::chat_template(&self.path)
    }
}
