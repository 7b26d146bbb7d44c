//! A model in several files.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use expect_test::expect;
use tempfile::TempDir;

use super::line;
use crate::tiny::{TinyCheckpoint, TinyTensor, gguf_bytes};
use crate::{GgufFile, TensorType, spec_for};

const COUNT: usize = 3;

fn tiny() -> TinyCheckpoint {
    TinyCheckpoint::new("llama", TensorType::F32)
}

fn name(number: usize) -> String {
    format!("tiny-{:05}-of-{COUNT:05}.gguf", number + 1)
}

/// The keys of part `number`: the first has the model's.
fn keys(number: usize) -> Vec<(String, Value)> {
    let mut keys = if number == 0 {
        tiny().metadata()
    } else {
        Vec::new()
    };
    let tensors = tiny().spec.claims().len();
    for (name, value) in [
        ("split.no", Value::U16(number as u16)),
        ("split.count", Value::U16(COUNT as u16)),
        ("split.tensors.count", Value::I32(tensors as i32)),
    ] {
        keys.push((name.to_owned(), value));
    }
    keys
}

/// The tensors of part `number`. The first has none, as some tools make it.
fn tensors(number: usize) -> Vec<TinyTensor> {
    let all = tiny().tensors().unwrap();
    let half = all.len() / 2;
    match number {
        0 => Vec::new(),
        1 => all[..half].to_vec(),
        _ => all[half..].to_vec(),
    }
}

fn write(folder: &Path, number: usize, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name(number));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// All parts in a folder, and the first one's path.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..COUNT {
        write(
            folder.path(),
            number,
            &gguf_bytes(&keys(number), &tensors(number)),
        );
    }
    let first = folder.path().join(name(0));
    (folder, first)
}

#[test]
fn a_model_in_parts_is_the_model_in_one_file() {
    let (_folder, first) = folder();
    let file = GgufFile::open(first).unwrap();
    assert_eq!(spec_for(&file).unwrap(), tiny().spec);
    for tensor in tiny().tensors().unwrap() {
        assert_eq!(file.map_tensor(&tensor.name).unwrap().bytes(), tensor.bytes);
    }
    let bytes: usize = (0..COUNT)
        .map(|number| gguf_bytes(&keys(number), &tensors(number)).len())
        .sum();
    assert_eq!(file.file_bytes(), bytes as u64);
}

/// What is said when something is done to the folder before the named part is opened.
fn outcome(what: &str, named: usize, change: impl Fn(&Path)) -> String {
    let (folder, _) = folder();
    change(folder.path());
    let opened = GgufFile::open(folder.path().join(name(named)));
    let shown = line(what, opened);
    shown.replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let rewrite = |folder: &Path, number, keys: &[(String, Value)], tensors: &[TinyTensor]| {
        write(folder, number, &gguf_bytes(keys, tensors));
    };
    let outcomes = [
        outcome("the second is named", 1, |_| ()),
        outcome("the third is missing", 0, |folder| {
            std::fs::remove_file(folder.join(name(2))).unwrap();
        }),
        outcome("the third is the second again", 0, |folder| {
            rewrite(folder, 2, &keys(1), &tensors(1));
        }),
        outcome("the third says it is whole", 0, |folder| {
            rewrite(folder, 2, &[], &tensors(2));
        }),
        outcome("two have a tensor", 0, |folder| {
            let mut tensors = tensors(2);
            tensors.truncate(tensors.len() - 1);
            tensors.push(self::tensors(1)[0].clone());
            rewrite(folder, 2, &keys(2), &tensors);
        }),
        outcome("one tensor too few", 0, |folder| {
            rewrite(folder, 2, &keys(2), &tensors(2)[1..]);
        }),
        outcome("more parts than anybody makes", 0, |folder| {
            let mut keys = keys(0);
            keys.retain(|(name, _)| name != "split.count");
            keys.push(("split.count".to_owned(), Value::U32(1_000_000)));
            rewrite(folder, 0, &keys, &[]);
        }),
    ];
    expect![[r#"
        the second is named: the model is in several files, but it is part 2 of 3; name the first; keep all of them in one folder under the names they were made with
        the third is missing: cannot be read: No such file or directory (os error 2)
        the third is the second again: the model is in several files, but it is not part 3 of 3, as its name says; keep all of them in one folder under the names they were made with
        the third says it is whole: the model is in several files, but it is not part 3 of 3, as its name says; keep all of them in one folder under the names they were made with
        two have a tensor: the model is in several files, but two of them have tensor token_embd.weight; keep all of them in one folder under the names they were made with
        one tensor too few: the model is in several files, but they have 19 tensors together, not 20; keep all of them in one folder under the names they were made with
        more parts than anybody makes: key split.count is 1000000, wanted at most 1000; convert the model again with a current tool
    "#]].assert_eq(&outcomes.concat());
}

#[test]
fn a_first_part_of_another_name_is_refused() {
    let (folder, first) = folder();
    let other = folder.path().join("model.gguf");
    std::fs::rename(first, &other).unwrap();
    expect![[r#"
        renamed: the model is in several files, but its name does not end in -00001-of-00003.gguf; keep all of them in one folder under the names they were made with
    "#]].assert_eq(&line("renamed", GgufFile::open(other)));
}

#[test]
fn a_part_that_was_changed_since_it_was_opened_is_not_mapped() {
    let (folder, first) = folder();
    let file = GgufFile::open(first).unwrap();
    let last = tensors(2)[0].name.clone();
    let path = folder.path().join(name(2));
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100)
        .unwrap();
    assert_eq!(file.map_tensor(&last).unwrap_err().file, path);
}
