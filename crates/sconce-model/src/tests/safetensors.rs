//! safetensors files as they should be, every way we know in which one lies, and changed bytes.

use expect_test::expect;
use proptest::prelude::*;

use super::{file_of, line};
use crate::{LoadError, SafetensorsFile};

/// A file of this header, whose length it states truly, and of so many bytes of data.
fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend((0..data_bytes).map(|it| it as u8));
    bytes
}

/// Two tensors and a note, not in the order of their bytes, and padded as the format's library does.
fn sound() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},
        "a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}   "#;
    file(header, 28)
}

/// All that loading looks at.
fn read(bytes: &[u8]) -> Result<(), LoadError> {
    let file = file_of(bytes);
    let opened = SafetensorsFile::open(file.path())?;
    for tensor in opened.tensors() {
        let mapped = opened.map_tensor(&tensor.name)?;
        let elements: usize = tensor.shape.iter().product();
        assert_eq!(
            mapped.bytes().len() as u64 * 8,
            elements as u64 * tensor.kind.bits()
        );
    }
    Ok(())
}

#[test]
fn tensors_are_where_the_header_says_in_the_order_of_their_bytes() {
    let bytes = sound();
    let file = file_of(&bytes);
    let opened = SafetensorsFile::open(file.path()).unwrap();
    let told: Vec<String> = opened
        .tensors()
        .map(|it| format!("{} {:?} {}", it.name, it.shape, it.kind))
        .collect();
    assert_eq!(told, ["a [2] BF16", "b [2, 3] F32"]);
    assert_eq!(opened.map_tensor("a").unwrap().bytes(), [0, 1, 2, 3]);
    assert_eq!(opened.map_tensor("b").unwrap().bytes()[..3], [4, 5, 6]);
    assert_eq!(opened.metadata()["format"], "pt");
    assert_eq!(opened.file_bytes(), bytes.len() as u64);
    let missing = opened.map_tensor("c").unwrap_err().to_string();
    assert!(missing.contains("has no tensor c"), "{missing}");
}

#[test]
fn a_file_that_changes_after_it_was_opened_is_not_read() {
    let file = file_of(&sound());
    let opened = SafetensorsFile::open(file.path()).unwrap();
    file.as_file().set_len(60).unwrap();
    let changed = opened.map_tensor("a").unwrap_err().to_string();
    assert!(changed.contains("was changed while"), "{changed}");
}

/// Headers, and how many bytes of data follow.
const HEADERS: [(&str, &str, usize); 12] = [
    ("a file without tensors", "{}", 0),
    (
        "a single number",
        r#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#,
        1,
    ),
    ("no JSON", "model", 0),
    ("a byte order mark", "\u{feff}{}", 0),
    ("an array", "[]", 0),
    (
        "a tensor twice",
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
        2,
    ),
    ("notes twice", r#"{"__metadata__":{},"__metadata__":{}}"#, 0),
    ("a note twice", r#"{"__metadata__":{"a":"b","a":"c"}}"#, 0),
    ("a note that is no text", r#"{"__metadata__":{"a":1}}"#, 0),
    ("a deep nest", r#"{"a":{"shape":[[[[[[[[[[1]]]]]]]]]]}}"#, 0),
    (
        "two in the same bytes",
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
        2,
    ),
    (
        "a gap between",
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#,
        3,
    ),
];

/// Fields of the one tensor of a file with three bytes of data.
const FIELDS: [(&str, &str); 18] = [
    (
        "a type twice",
        r#""dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]"#,
    ),
    (
        "an unknown type",
        r#""dtype":"Q4_0","shape":[1],"data_offsets":[0,1]"#,
    ),
    (
        "an unknown field",
        r#""dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1"#,
    ),
    ("no type", r#""shape":[1],"data_offsets":[0,1]"#),
    (
        "three offsets",
        r#""dtype":"U8","shape":[1],"data_offsets":[0,1,1]"#,
    ),
    (
        "a negative offset",
        r#""dtype":"U8","shape":[1],"data_offsets":[-1,0]"#,
    ),
    (
        "a fraction",
        r#""dtype":"U8","shape":[1.5],"data_offsets":[0,1]"#,
    ),
    (
        "offsets the wrong way round",
        r#""dtype":"U8","shape":[1],"data_offsets":[1,0]"#,
    ),
    (
        "a shape of nothing",
        r#""dtype":"U8","shape":[0],"data_offsets":[0,0]"#,
    ),
    (
        "a shape that wraps",
        r#""dtype":"U8","shape":[9223372036854775808,2],"data_offsets":[0,0]"#,
    ),
    (
        "more bytes than the shape",
        r#""dtype":"U8","shape":[1],"data_offsets":[0,2]"#,
    ),
    (
        "fewer bytes than the shape",
        r#""dtype":"F32","shape":[1],"data_offsets":[0,1]"#,
    ),
    (
        "half a byte",
        r#""dtype":"F4","shape":[3],"data_offsets":[0,1]"#,
    ),
    (
        "an end past all numbers",
        r#""dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]"#,
    ),
    (
        "data cut short",
        r#""dtype":"U8","shape":[9],"data_offsets":[0,9]"#,
    ),
    (
        "a gap before",
        r#""dtype":"U8","shape":[1],"data_offsets":[1,2]"#,
    ),
    (
        "bytes behind",
        r#""dtype":"U8","shape":[1],"data_offsets":[0,1]"#,
    ),
    (
        "all as it should be",
        r#""dtype":"U8","shape":[3],"data_offsets":[0,3]"#,
    ),
];

#[test]
fn a_header_of_a_wrong_length_is_refused() {
    let stated = |(name, length): (&str, u64)| {
        let mut bytes = sound();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        line(name, read(&bytes))
    };
    let told: String = [
        ("no bytes", 0),
        ("2^64 - 1 bytes", u64::MAX),
        ("2^62 bytes", 1 << 62),
        ("longer than the file", 1000),
        ("cut short", 100),
        ("as long as it is", 163),
    ]
    .map(stated)
    .concat();
    expect![[r#"
        no bytes: has no safetensors header: EOF while parsing a value at line 1 column 0; the file is another or damaged: fetch it again
        2^64 - 1 bytes: the header's length is 18446744073709551615, but at most 100000000 is read; the file is damaged: fetch it again
        2^62 bytes: the header's length is 4611686018427387904, but at most 100000000 is read; the file is damaged: fetch it again
        longer than the file: the header at byte 8 needs 1000 bytes, but only 191 are left; the file is cut off or damaged: fetch it again
        cut short: has no safetensors header: EOF while parsing a value at line 3 column 2; the file is another or damaged: fetch it again
        as long as it is: accepted
    "#]].assert_eq(&told);
}

#[test]
fn a_header_that_lies_is_refused() {
    let headers = HEADERS.map(|(name, header, data)| line(name, read(&file(header, data))));
    let fields = FIELDS.map(|(name, fields)| line(name, read(&one(fields))));
    expect![[r#"
        a file without tensors: accepted
        a single number: accepted
        no JSON: has no safetensors header: expected value at line 1 column 1; the file is another or damaged: fetch it again
        a byte order mark: has no safetensors header: expected value at line 1 column 1; the file is another or damaged: fetch it again
        an array: has no safetensors header: invalid type: sequence, expected an object that names tensors at line 1 column 0; the file is another or damaged: fetch it again
        a tensor twice: tensor "a" occurs twice; the file is damaged or hostile: fetch it again
        notes twice: has no safetensors header: __metadata__ occurs twice at line 1 column 33; the file is another or damaged: fetch it again
        a note twice: has no safetensors header: the key "a" of __metadata__ occurs twice at line 1 column 33; the file is another or damaged: fetch it again
        a note that is no text: has no safetensors header: invalid type: integer `1`, expected a string at line 1 column 22; the file is another or damaged: fetch it again
        a deep nest: has no safetensors header: invalid type: sequence, expected u64 at line 1 column 15; the file is another or damaged: fetch it again
        two in the same bytes: tensors a and b overlap at byte 114; the file is damaged or hostile: fetch it again
        a gap between: bytes 114 to 115 belong to no tensor; the file is damaged or hostile: fetch it again
        a type twice: has no safetensors header: duplicate field `dtype` at line 1 column 26; the file is another or damaged: fetch it again
        an unknown type: tensor a is of type "Q4_0", which the format does not know; the file is damaged or hostile: fetch it again
        an unknown field: has no safetensors header: unknown field `x`, expected one of `dtype`, `shape`, `data_offsets` at line 1 column 55; the file is another or damaged: fetch it again
        no type: has no safetensors header: missing field `dtype` at line 1 column 39; the file is another or damaged: fetch it again
        three offsets: has no safetensors header: trailing characters at line 1 column 52; the file is another or damaged: fetch it again
        a negative offset: has no safetensors header: invalid value: integer `-1`, expected u64 at line 1 column 49; the file is another or damaged: fetch it again
        a fraction: has no safetensors header: invalid type: floating point `1.5`, expected u64 at line 1 column 31; the file is another or damaged: fetch it again
        offsets the wrong way round: tensor a is at offsets 1 to 0, but [1] of U8 are 1 bytes; the file is damaged or hostile: fetch it again
        a shape of nothing: tensor a has shape [0], which holds nothing; the file is damaged or hostile: fetch it again
        a shape that wraps: tensor a has shape [9223372036854775808, 2], more bytes than a machine can address; the file is damaged or hostile: fetch it again
        more bytes than the shape: tensor a is at offsets 0 to 2, but [1] of U8 are 1 bytes; the file is damaged or hostile: fetch it again
        fewer bytes than the shape: tensor a is at offsets 0 to 1, but [1] of F32 are 4 bytes; the file is damaged or hostile: fetch it again
        half a byte: tensor a has 12 bits, no whole number of bytes; the file is damaged or hostile: fetch it again
        an end past all numbers: tensor a ends at offset 18446744073709551615, past any file's end; the file is damaged or hostile: fetch it again
        data cut short: tensor a ends at byte 70, but the file has only 64: 6 bytes are missing; the file was cut off: fetch it again
        a gap before: bytes 61 to 62 belong to no tensor; the file is damaged or hostile: fetch it again
        bytes behind: bytes 62 to 64 belong to no tensor; the file is damaged or hostile: fetch it again
        all as it should be: accepted
    "#]].assert_eq(&(headers.concat() + &fields.concat()));
}

/// A file of one tensor of these fields and three bytes.
fn one(fields: &str) -> Vec<u8> {
    file(&format!("{{\"a\":{{{fields}}}}}"), 3)
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let sound = sound();
    for length in 0..sound.len() {
        assert!(read(&sound[..length]).is_err(), "{length} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = sound();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn extreme_numbers_never_panic(
        shape in prop::collection::vec(prop::sample::select(NUMBERS.to_vec()), 0..5),
        offsets in [prop::sample::select(NUMBERS.to_vec()), prop::sample::select(NUMBERS.to_vec())],
        kind in prop::sample::select(vec!["F4", "U8", "F16", "F64"]),
    ) {
        let fields = format!(r#""dtype":"{kind}","shape":{shape:?},"data_offsets":{offsets:?}"#);
        let _ = read(&one(&fields));
    }
}

const NUMBERS: [u64; 9] = [0, 1, 2, 3, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX];
