//! A model in several files, as llama.cpp's gguf-split writes them: all have tensors, the first has
//! the model's keys, and their names say which is which.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::layout::TensorInfo;
use super::metadata::Metadata;
use super::{Checked, TENSORS_MAX};
use crate::load_error::{LoadError, LoadFault};
use crate::watched_file::WatchedFile;

/// More parts than anybody makes; keeps a damaged number from opening file after file.
const PARTS_MAX: u32 = 1000;

/// Opens one file of a model and checks its header.
pub(super) fn open_part(
    path: &Path,
) -> Result<(WatchedFile, Metadata, Vec<TensorInfo>), LoadError> {
    let open = || {
        let file = WatchedFile::open(path)?;
        let checked = Checked::read(BufReader::new(file.handle()), file.file_bytes())?;
        Ok((file, checked))
    };
    let (file, checked) = open().map_err(|fault: LoadFault| fault.in_file(path))?;
    let metadata = Metadata {
        file: path.to_owned(),
        values: checked.metadata,
    };
    Ok((file, metadata, checked.tensors))
}

/// Opens the parts behind the first, whose keys are `metadata`, and adds their tensors.
pub(super) fn open_others(
    metadata: &Metadata,
    parts: &mut Vec<WatchedFile>,
    tensors: &mut Vec<TensorInfo>,
) -> Result<(), LoadError> {
    let Some((number, count)) = place(metadata)? else {
        return Ok(());
    };
    if number != 0 {
        let what = format!("it is part {} of {count}; name the first", number + 1);
        return Err(LoadFault::Parts(what).in_file(metadata.file()));
    }
    for number in 1..count {
        let path = sibling(metadata.file(), number, count)?;
        let (part, keys, others) = open_part(&path)?;
        if place(&keys)? != Some((number, count)) {
            let what = format!("it is not part {} of {count}, as its name says", number + 1);
            return Err(LoadFault::Parts(what).in_file(&path));
        }
        let of_part = |it| TensorInfo {
            part: parts.len(),
            ..it
        };
        tensors.extend(others.into_iter().map(of_part));
        parts.push(part);
    }
    check_count(metadata, tensors.len())
}

/// Which part a file is, counted from zero, and of how many; `None` for a model in one file.
fn place(metadata: &Metadata) -> Result<Option<(u32, u32)>, LoadError> {
    let count: Option<u32> = metadata.find("split.count")?;
    match count {
        None | Some(0 | 1) => Ok(None),
        Some(count) if count <= PARTS_MAX => Ok(Some((metadata.get("split.no")?, count))),
        Some(count) => {
            let wanted = format!("at most {PARTS_MAX}");
            Err(metadata.bad_value("split.count", wanted, count))
        }
    }
}

/// The path of part `number` beside the first.
fn sibling(first: &Path, number: u32, count: u32) -> Result<PathBuf, LoadError> {
    let ending = |number: u32| format!("-{:05}-of-{count:05}.gguf", number + 1);
    let name = first.file_name().and_then(|it| it.to_str());
    match name.and_then(|it| it.strip_suffix(&ending(0))) {
        Some(stem) => Ok(first.with_file_name(format!("{stem}{}", ending(number)))),
        None => {
            let what = format!("its name does not end in {}", ending(0));
            Err(LoadFault::Parts(what).in_file(first))
        }
    }
}

fn check_count(metadata: &Metadata, found: usize) -> Result<(), LoadError> {
    if found as u64 > TENSORS_MAX {
        let what = "the tensor count of all parts".to_owned();
        let (found, limit) = (found as u64, TENSORS_MAX);
        return Err(LoadFault::TooLarge { what, found, limit }.in_file(metadata.file()));
    }
    let stated: Option<u32> = metadata.find("split.tensors.count")?;
    match stated {
        Some(stated) if stated as usize != found => {
            let what = format!("they have {found} tensors together, not {stated}");
            Err(LoadFault::Parts(what).in_file(metadata.file()))
        }
        _ => Ok(()),
    }
}
