//! Every way we know in which a header lies, and what is said about it.

use expect_test::{Expect, expect};

use super::draft::{
    ARRAY, BOOLEAN, Draft, F32_TENSOR, Q8_0_TENSOR, STRING, U8, U32, U64, array, string,
};
use super::{file_of, line};
use crate::GgufFile;

type Case = (&'static str, fn(&mut Draft));

fn check(cases: &[Case], expected: &Expect) {
    let outcome = |(name, spoil): &Case| {
        let mut draft = Draft::sound();
        spoil(&mut draft);
        line(name, GgufFile::open(file_of(&draft.bytes()).path()))
    };
    expected.assert_eq(&cases.iter().map(outcome).collect::<String>());
}

#[test]
fn a_header_that_is_none_is_refused() {
    check(
        &[
            ("sound", |_| ()),
            ("another magic", |draft| draft.magic = *b"PK\x03\x04"),
            ("version 1", |draft| draft.version = 1),
            ("version 2", |draft| draft.version = 2),
            ("version 4", |draft| draft.version = 4),
            ("big-endian", |draft| draft.version = 3_u32.swap_bytes()),
            ("2^63 tensors", |draft| draft.tensor_count = Some(1 << 63)),
            ("2^63 keys", |draft| draft.key_count = Some(1 << 63)),
            ("99,999 tensors", |draft| draft.tensor_count = Some(99_999)),
            ("a key more than there are", |draft| {
                draft.key_count = Some(2)
            }),
            ("a tensor more than there are", |draft| {
                draft.tensor_count = Some(3)
            }),
        ],
        &expect![[r#"
            sound: accepted
            another magic: begins with [50, 4b, 03, 04] instead of "GGUF"; name a GGUF file
            version 1: is GGUF version 1, but versions 2 and 3 are read; convert it with a current tool
            version 2: accepted
            version 4: is GGUF version 4, but versions 2 and 3 are read; convert it with a current tool
            big-endian: is big-endian GGUF; convert it to little-endian
            2^63 tensors: the tensor count is 9223372036854775808, but at most 100000 is read; the file is damaged: fetch it again
            2^63 keys: the metadata count is 9223372036854775808, but at most 10000 is read; the file is damaged: fetch it again
            99,999 tensors: the header at byte 24 needs 3299981 bytes, but only 392 are left; the file is cut off or damaged: fetch it again
            a key more than there are: a tensor's name at byte 94 needs 562949953421312 bytes, but only 322 are left; the file is cut off or damaged: fetch it again
            a tensor more than there are: a tensor's name at byte 150 is empty; the file is damaged or hostile: fetch it again
        "#]],
    );
}

#[test]
fn a_key_or_value_that_lies_is_refused() {
    check(
        &[
            ("empty key", |draft| draft.key(b"", U8, &[1])),
            ("key of other bytes", |draft| {
                draft.key(b"\xff\xfe", U8, &[1])
            }),
            ("key with a NUL", |draft| {
                draft.key(b"general.name\0", U8, &[1])
            }),
            ("key twice", |draft| {
                draft.key(b"general.architecture", STRING, &string(b"another"));
            }),
            ("unknown value type", |draft| draft.key(b"k", 13, &[1])),
            ("string of other bytes", |draft| {
                draft.key(b"k", STRING, &string(b"\xc3("))
            }),
            ("string of a gibibyte", |draft| {
                draft.key(b"k", STRING, &(1_u64 << 30).to_le_bytes());
            }),
            ("string of 2^64 - 1 bytes", |draft| {
                draft.key(b"k", STRING, &u64::MAX.to_le_bytes());
            }),
            ("boolean of 2", |draft| draft.key(b"k", BOOLEAN, &[2])),
        ],
        &expect![[r#"
            empty key: a metadata key at byte 67 is empty; the file is damaged or hostile: fetch it again
            key of other bytes: a metadata key at byte 75 is not valid UTF-8; the file is damaged or hostile: fetch it again
            key with a NUL: a metadata key at byte 67 is a text with a NUL in it; the file is damaged or hostile: fetch it again
            key twice: metadata key "general.architecture" occurs twice; the file is damaged or hostile: fetch it again
            unknown value type: key k has the unknown value type 13; the file is damaged: fetch it again
            string of other bytes: a string value at byte 88 is not valid UTF-8; the file is damaged or hostile: fetch it again
            string of a gibibyte: a string value at byte 88 needs 1073741824 bytes, but only 360 are left; the file is cut off or damaged: fetch it again
            string of 2^64 - 1 bytes: a string value at byte 88 needs 18446744073709551615 bytes, but only 360 are left; the file is cut off or damaged: fetch it again
            boolean of 2: key k has the boolean 2; the file is damaged: fetch it again
        "#]],
    );
}

#[test]
fn an_array_that_lies_is_refused() {
    check(
        &[
            ("array of 2^63", |draft| {
                draft.key(b"k", ARRAY, &array(U8, 1 << 63, &[]))
            }),
            ("array whose size wraps", |draft| {
                draft.key(b"k", ARRAY, &array(U64, 1 << 61, &[]));
            }),
            ("array longer than the file", |draft| {
                draft.key(b"k", ARRAY, &array(U64, 1 << 20, &[]));
            }),
            ("array of an unknown type", |draft| {
                draft.key(b"k", ARRAY, &array(99, 1, &[1]))
            }),
            ("array with a boolean of 3", |draft| {
                draft.key(b"k", ARRAY, &array(BOOLEAN, 2, &[1, 3]));
            }),
            ("array in an array", |draft| {
                draft.key(b"k", ARRAY, &array(ARRAY, 1, &array(U8, 1, &[1])));
            }),
            ("arrays a hundred deep", |draft| {
                let nested = (0..100).fold(vec![], |inner, _| array(ARRAY, 1, &inner));
                draft.key(b"k", ARRAY, &nested);
            }),
            ("arrays with too many elements together", |draft| {
                let many = array(U8, 1 << 22, &vec![0; 1 << 22]);
                draft.key(b"k", ARRAY, &many);
                draft.key(b"l", ARRAY, &array(U8, 1, &[0]));
            }),
        ],
        &expect![[r#"
            array of 2^63: the array length of key k is 9223372036854775808, but at most 4194304 is read; the file is damaged: fetch it again
            array whose size wraps: the array length of key k is 2305843009213693952, but at most 4194304 is read; the file is damaged: fetch it again
            array longer than the file: an array at byte 92 needs 8388608 bytes, but only 356 are left; the file is cut off or damaged: fetch it again
            array of an unknown type: key k has the unknown value type 99; the file is damaged: fetch it again
            array with a boolean of 3: key k has the boolean 3; the file is damaged: fetch it again
            array in an array: accepted
            arrays a hundred deep: key k has arrays nested deeper than four, at least 5; the file is damaged: fetch it again
            arrays with too many elements together: the array length of key l is 1, but at most 0 is read; the file is damaged: fetch it again
        "#]],
    );
}

#[test]
fn an_alignment_that_is_none_is_refused() {
    check(
        &[
            ("0", |draft| {
                draft.key(b"general.alignment", U32, &0_u32.to_le_bytes())
            }),
            ("3", |draft| {
                draft.key(b"general.alignment", U32, &3_u32.to_le_bytes())
            }),
            ("4", |draft| {
                draft.key(b"general.alignment", U32, &4_u32.to_le_bytes())
            }),
            ("8", |draft| {
                draft.key(b"general.alignment", U32, &8_u32.to_le_bytes())
            }),
            ("2^30", |draft| {
                draft.key(b"general.alignment", U32, &(1_u32 << 30).to_le_bytes())
            }),
            ("u64", |draft| {
                draft.key(b"general.alignment", U64, &32_u64.to_le_bytes())
            }),
            ("string", |draft| {
                draft.key(b"general.alignment", STRING, &string(b"32"))
            }),
        ],
        &expect![[r#"
            0: general.alignment is 0, wanted a u32 power of two from 8 to 65536; convert the model again
            3: general.alignment is 3, wanted a u32 power of two from 8 to 65536; convert the model again
            4: general.alignment is 4, wanted a u32 power of two from 8 to 65536; convert the model again
            8: accepted
            2^30: general.alignment is 1073741824, wanted a u32 power of two from 8 to 65536; convert the model again
            u64: general.alignment is of value type 10, wanted a u32 power of two from 8 to 65536; convert the model again
            string: general.alignment is of value type 8, wanted a u32 power of two from 8 to 65536; convert the model again
        "#]],
    );
}

#[test]
fn a_tensor_that_cannot_be_is_refused() {
    check(
        &[
            ("empty name", |draft| {
                draft.tensor(b"", &[1], F32_TENSOR, 256)
            }),
            ("name of other bytes", |draft| {
                draft.tensor(b"\xff", &[1], F32_TENSOR, 256)
            }),
            ("name with a NUL", |draft| {
                draft.tensor(b"first\0", &[1], F32_TENSOR, 256)
            }),
            ("name twice", |draft| {
                draft.tensor(b"first", &[32], F32_TENSOR, 256)
            }),
            ("no dimension", |draft| {
                draft.tensor(b"t", &[], F32_TENSOR, 256)
            }),
            ("five dimensions", |draft| {
                draft.tensor(b"t", &[1; 5], F32_TENSOR, 256)
            }),
            ("dimension of zero", |draft| {
                draft.tensor(b"t", &[0, 4], F32_TENSOR, 256)
            }),
            ("[2^63, 2]", |draft| {
                draft.tensor(b"t", &[1 << 63, 2], F32_TENSOR, 256)
            }),
            ("[2^32, 2^32]", |draft| {
                draft.tensor(b"t", &[1 << 32, 1 << 32], F32_TENSOR, 256)
            }),
            ("[2^62]", |draft| {
                draft.tensor(b"t", &[1 << 62], F32_TENSOR, 256)
            }),
            ("[2^61]", |draft| {
                draft.tensor(b"t", &[1 << 61], F32_TENSOR, 256)
            }),
            ("half a block", |draft| {
                draft.tensor(b"t", &[16, 2], Q8_0_TENSOR, 256)
            }),
            ("unknown type", |draft| draft.tensor(b"t", &[32], 99, 256)),
            ("type IQ2_XS", |draft| draft.tensor(b"t", &[256], 17, 256)),
            ("type Q8_K", |draft| draft.tensor(b"t", &[256], 15, 256)),
        ],
        &expect![[r#"
            empty name: a tensor's name at byte 150 is empty; the file is damaged or hostile: fetch it again
            name of other bytes: a tensor's name at byte 158 is not valid UTF-8; the file is damaged or hostile: fetch it again
            name with a NUL: a tensor's name at byte 150 is a text with a NUL in it; the file is damaged or hostile: fetch it again
            name twice: tensor "first" occurs twice; the file is damaged or hostile: fetch it again
            no dimension: tensor t has 0 dimensions, wanted 1 to 4; the file is damaged or hostile: fetch it again
            five dimensions: tensor t has 5 dimensions, wanted 1 to 4; the file is damaged or hostile: fetch it again
            dimension of zero: tensor t has a dimension of 0; the file is damaged or hostile: fetch it again
            [2^63, 2]: tensor t has shape [2, 9223372036854775808], more bytes than a machine can address; the file is damaged or hostile: fetch it again
            [2^32, 2^32]: tensor t has shape [4294967296, 4294967296], more bytes than a machine can address; the file is damaged or hostile: fetch it again
            [2^62]: tensor t has shape [4611686018427387904], more bytes than a machine can address; the file is damaged or hostile: fetch it again
            [2^61]: tensor t has shape [2305843009213693952], more bytes than a machine can address; the file is damaged or hostile: fetch it again
            half a block: tensor t has rows of 16 elements, not whole blocks of 32 (Q8_0); the file is damaged or hostile: fetch it again
            unknown type: tensor t is stored as an unknown type (type 99), which is not supported; choose a file of the types F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16, MXFP4
            type IQ2_XS: tensor t is stored as IQ2_XS (type 17), which is not supported; choose a file of the types F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16, MXFP4
            type Q8_K: tensor t is stored as Q8_K (type 15), which is not supported; choose a file of the types F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16, MXFP4
        "#]],
    );
}

#[test]
fn a_tensor_where_it_cannot_be_is_refused() {
    check(
        &[
            ("misaligned", |draft| {
                draft.tensor(b"t", &[8], F32_TENSOR, 260)
            }),
            ("at 2^64 - 32", |draft| {
                draft.tensor(b"t", &[8], F32_TENSOR, u64::MAX - 31)
            }),
            ("at 2^63", |draft| {
                draft.tensor(b"t", &[8], F32_TENSOR, 1 << 63)
            }),
            ("on top of another", |draft| {
                draft.tensor(b"t", &[32], F32_TENSOR, 128)
            }),
            ("inside another", |draft| {
                draft.tensor(b"t", &[8], F32_TENSOR, 32)
            }),
            ("past the end", |draft| {
                draft.tensor(b"t", &[8], F32_TENSOR, 256)
            }),
            ("a byte too few", |draft| draft.data.truncate(255)),
            ("no data", |draft| draft.data.clear()),
        ],
        &expect![[r#"
            misaligned: tensor t begins at offset 260, not a multiple of 32; the file is damaged or hostile: fetch it again
            at 2^64 - 32: tensor t begins at offset 18446744073709551584, past any file's end; the file is damaged or hostile: fetch it again
            at 2^63: tensor t ends at byte 9223372036854776032, but the file has only 448: 9223372036854775584 bytes are missing; the file was cut off: fetch it again
            on top of another: tensors second and t overlap at byte 320; the file is damaged or hostile: fetch it again
            inside another: tensors first and t overlap at byte 224; the file is damaged or hostile: fetch it again
            past the end: tensor t ends at byte 480, but the file has only 448: 32 bytes are missing; the file was cut off: fetch it again
            a byte too few: tensor second ends at byte 416, but the file has only 415: 1 bytes are missing; the file was cut off: fetch it again
            no data: tensor second ends at byte 416, but the file has only 160: 256 bytes are missing; the file was cut off: fetch it again
        "#]],
    );
}

#[test]
fn a_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        line("empty", GgufFile::open(file_of(b"").path())),
        line("two bytes", GgufFile::open(file_of(b"GG").path())),
        line("magic only", GgufFile::open(file_of(b"GGUF").path())),
        line("absent", GgufFile::open(folder.path().join("absent.gguf"))),
        line("folder", GgufFile::open(folder.path())),
    ];
    expect![[r#"
        empty: the magic number at byte 0 needs 4 bytes, but only 0 are left; the file is cut off or damaged: fetch it again
        two bytes: the magic number at byte 0 needs 4 bytes, but only 2 are left; the file is cut off or damaged: fetch it again
        magic only: the version at byte 4 needs 4 bytes, but only 0 are left; the file is cut off or damaged: fetch it again
        absent: cannot be read: No such file or directory (os error 2)
        folder: cannot be read: Is a directory (os error 21)
    "#]].assert_eq(&cases.concat());
}

#[test]
fn an_error_names_the_file() {
    let file = file_of(b"PK\x03\x04PK\x03\x04");
    let error = GgufFile::open(file.path()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: begins with", file.path().display())),
        "{error}"
    );
}
