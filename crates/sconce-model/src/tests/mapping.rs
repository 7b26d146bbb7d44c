//! Tensors as bytes of the file.

use std::io::{Seek, SeekFrom, Write};

use super::draft::{Draft, F32_TENSOR};
use super::file_of;
use crate::{GgufFile, LoadFault, TensorType};

fn numbered() -> Draft {
    let mut draft = Draft::sound();
    draft.data = (0..=255).collect();
    draft
}

#[test]
fn a_mapped_tensor_is_exactly_its_bytes() {
    let bytes = numbered().bytes();
    let file = file_of(&bytes);
    let gguf = GgufFile::open(file.path()).unwrap();
    assert_eq!(gguf.tensors().len(), 2);
    for tensor in gguf.tensors() {
        let range = tensor.byte_range.start as usize..tensor.byte_range.end as usize;
        let mapped = gguf.map_tensor(&tensor.name).unwrap();
        assert_eq!(mapped.bytes(), &bytes[range]);
        assert_eq!(mapped.bytes().as_ptr() as usize % 8, 0);
    }
    let first = gguf.tensor("first").unwrap();
    assert_eq!(
        (&first.shape[..], first.kind),
        (&[2, 16][..], TensorType::F32)
    );
    assert_eq!(first.element_count(), 32);
}

#[test]
fn a_tensor_across_many_pages_is_mapped_whole() {
    let mut draft = numbered();
    draft.tensor(b"large", &[64, 1000], F32_TENSOR, 256);
    draft.data.extend((0..256_000_u32).map(|it| it as u8));
    let bytes = draft.bytes();
    let gguf = GgufFile::open(file_of(&bytes).path()).unwrap();
    assert_eq!(
        gguf.map_tensor("large").unwrap().bytes(),
        &bytes[bytes.len() - 256_000..]
    );
}

#[test]
fn a_file_that_was_cut_since_it_was_opened_is_not_mapped() {
    let mut file = file_of(&numbered().bytes());
    let gguf = GgufFile::open(file.path()).unwrap();
    file.as_file_mut().set_len(100).unwrap();
    let error = gguf.map_tensor("first").unwrap_err();
    assert!(matches!(error.fault, LoadFault::Changed), "{error}");
}

#[test]
fn a_file_that_was_written_to_since_it_was_opened_is_not_mapped() {
    let mut file = file_of(&numbered().bytes());
    file.as_file().set_modified(std::time::UNIX_EPOCH).unwrap();
    let gguf = GgufFile::open(file.path()).unwrap();
    file.seek(SeekFrom::End(-1)).unwrap();
    file.write_all(&[0]).unwrap();
    file.flush().unwrap();
    let error = gguf.map_tensor("first").unwrap_err();
    assert!(matches!(error.fault, LoadFault::Changed), "{error}");
}

#[test]
fn a_file_that_was_replaced_since_it_was_opened_is_still_read() {
    let bytes = numbered().bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, &bytes).unwrap();
    let gguf = GgufFile::open(&path).unwrap();
    let newer = folder.path().join("newer.gguf");
    std::fs::write(&newer, b"not the same").unwrap();
    std::fs::rename(&newer, &path).unwrap();
    assert_eq!(
        gguf.map_tensor("second").unwrap().bytes(),
        &bytes[bytes.len() - 128..]
    );
}
