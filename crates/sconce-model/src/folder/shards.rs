//! The files that a folder's weights are in: one, or those that an index names.

use std::collections::BTreeSet;
use std::path::Path;

use super::{broken, object_of};
use crate::load_error::{LoadError, LoadFault};
use crate::safetensors::SafetensorsFile;

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// More files than anybody makes.
const SHARDS_MAX: usize = 1000;

/// Opens the files with the folder's weights.
pub(super) fn open(folder: &Path) -> Result<Vec<SafetensorsFile>, LoadError> {
    if let Some(index) = object_of(folder, INDEX)? {
        return open_indexed(folder, &index);
    }
    let path = folder.join(WHOLE);
    if path.is_file() {
        return Ok(vec![SafetensorsFile::open(path)?]);
    }
    Err(broken(
        folder,
        WHOLE,
        format!("there is no such file, nor {INDEX}"),
    ))
}

fn open_indexed(
    folder: &Path,
    index: &serde_json::Map<String, serde_json::Value>,
) -> Result<Vec<SafetensorsFile>, LoadError> {
    let bad = |what: String| broken(folder, INDEX, what);
    let map = index.get("weight_map").and_then(|it| it.as_object());
    let map = map.ok_or_else(|| bad("it has no object weight_map".to_owned()))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let file = file.as_str().filter(|it| is_plain(it));
        files.insert(file.ok_or_else(|| bad(format!("tensor {tensor} is in no file's name")))?);
    }
    if files.is_empty() || files.len() > SHARDS_MAX {
        return Err(bad(format!("it names {} files", files.len())));
    }
    let mut shards = Vec::new();
    for file in files {
        let shard = SafetensorsFile::open(folder.join(file))?;
        let in_here = map.iter().filter(|(_, it)| it.as_str() == Some(file));
        for (tensor, _) in in_here {
            if shard.find_tensor(tensor).is_none() {
                let fault = LoadFault::TensorMissing {
                    tensor: tensor.clone(),
                    shape: None,
                };
                return Err(fault.in_file(shard.path()));
            }
        }
        shards.push(shard);
    }
    Ok(shards)
}

/// Whether a name stays in its folder.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}
