//! Writes whole safetensors files.

use serde_json::{Map, json};

/// A safetensors file of these tensors, each with its name, its type's name, its shape and its bytes.
#[must_use]
pub fn safetensors_bytes(tensors: &[(String, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut header = Map::new();
    let mut end = 0;
    for (name, kind, shape, bytes) in tensors {
        let start = end;
        end += bytes.len();
        let entry = json!({"dtype": kind, "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    for (_, _, _, bytes) in tensors {
        file.extend(bytes);
    }
    file
}
