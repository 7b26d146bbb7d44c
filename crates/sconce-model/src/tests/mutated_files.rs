//! A sound file with bytes changed or cut off: loaded or refused, never a panic.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::file_of;
use crate::tiny::TinyCheckpoint;
use crate::{
    BlockFormat, GgufFile, LoadError, TensorType, chat_template_of, spec_for, vocabulary_of,
};

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    TinyCheckpoint::new("llama", TensorType::Blocks(BlockFormat::Q8_0))
        .to_bytes()
        .unwrap()
});

/// Bytes before the first tensor's.
static HEADER_BYTES: LazyLock<usize> = LazyLock::new(|| {
    let file = file_of(&SOUND);
    let gguf = GgufFile::open(file.path()).unwrap();
    gguf.tensors()
        .map(|it| it.byte_range.start as usize)
        .min()
        .unwrap()
});

/// All that loading looks at.
fn load(bytes: &[u8]) -> Result<(), LoadError> {
    let file = file_of(bytes);
    let gguf = GgufFile::open(file.path())?;
    let spec = spec_for(&gguf)?;
    for claim in spec.claims() {
        let mapped = gguf.map_tensor(&claim.role.name())?;
        assert!(!mapped.bytes().is_empty());
    }
    chat_template_of(&gguf)?;
    vocabulary_of(&gguf).map(drop)
}

#[test]
fn the_sound_file_loads() {
    load(&SOUND).unwrap();
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let cuts = (0..*HEADER_BYTES)
        .step_by(7)
        .chain((*HEADER_BYTES..SOUND.len() - 32).step_by(997));
    for length in cuts {
        let error = load(&SOUND[..length]).unwrap_err().to_string();
        assert!(error.contains("fetch it again"), "{length}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = SOUND.clone();
        for (place, value) in changes {
            bytes[place.index(*HEADER_BYTES)] = value;
        }
        // The outcome is free: a changed letter of a token is a sound file.
        let _ = load(&bytes);
    }

    #[test]
    fn extreme_numbers_never_panic(
        place in any::<prop::sample::Index>(),
        number in prop::sample::select(vec![0, 1, 1 << 30, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX]),
    ) {
        let mut bytes = SOUND.clone();
        let place = place.index(*HEADER_BYTES - 8);
        bytes[place..place + 8].copy_from_slice(&u64::to_le_bytes(number));
        let _ = load(&bytes);
    }
}
