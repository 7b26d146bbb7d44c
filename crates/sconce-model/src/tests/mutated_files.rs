//! A sound file with bytes changed or cut off: loaded or refused, never a panic.

use std::sync::LazyLock;

use candle_core::quantized::gguf_file::Value;
use proptest::prelude::*;
use sconce_domain::TokenId;

use super::{file_of, groups, tables};
use crate::tiny::{TinyCheckpoint, TinyTensor, gguf_bytes};
use crate::{
    ArchSpec, Batch, BatchChunk, BlockFormat, Decoder, DecoderSettings, GgufFile, Isa, KvType,
    LoadError, LogitRows, TensorType, chat_template_of, spec_for, vocabulary_of,
};

const FAMILIES: [&str; 5] = ["llama", "qwen3", "granite", "gemma2", "qwen2moe"];

/// Files of families that differ in what they read and compute.
static SOUND: LazyLock<[Vec<u8>; 5]> = LazyLock::new(|| {
    let small = TensorType::Blocks(BlockFormat::Q8_0);
    let yarn = vec![
        ("rope.scaling.type", Value::String("yarn".to_owned())),
        ("rope.scaling.factor", Value::F32(4.0)),
        ("rope.scaling.original_context_length", Value::U32(128)),
    ];
    let scales = vec![
        ("embedding_scale", Value::F32(6.0)),
        ("residual_scale", Value::F32(0.4)),
        ("attention.scale", Value::F32(0.1)),
        ("logit_scale", Value::F32(2.0)),
    ];
    let shared_expert = vec![("expert_shared_feed_forward_length", Value::U32(32))];
    let windows = vec![("attention.sliding_window", Value::U32(16))];
    [
        TinyCheckpoint::new("llama", small),
        TinyCheckpoint::with_extras("qwen3", small, 1, yarn),
        TinyCheckpoint::with_extras("granite", small, 1, scales),
        TinyCheckpoint::with_extras("gemma2", small, 2, windows),
        TinyCheckpoint::with_extras("qwen2moe", small, 1, shared_expert),
    ]
    .map(|it| it.to_bytes().unwrap())
});

/// Bytes before the first tensor's.
fn header_bytes(sound: &[u8]) -> usize {
    let file = file_of(sound);
    let gguf = GgufFile::open(file.path()).unwrap();
    let starts = gguf.tensors().map(|it| it.byte_range.start as usize);
    starts.min().unwrap()
}

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
    vocabulary_of(&gguf)?;
    compute(&gguf, spec)
}

/// Whatever numbers the file has, they can be computed with.
fn compute(gguf: &GgufFile, spec: ArchSpec) -> Result<(), LoadError> {
    let settings = DecoderSettings {
        threads: 1,
        isa: Isa::detect(),
        kv_blocks: 2 * groups(&spec),
        kv_type: KvType::F16,
    };
    let vocabulary = spec.vocabulary;
    let mut decoder = Decoder::load(gguf, spec, settings, &mut |_| ())?;
    let tokens = [TokenId(0); 20];
    let chunk = BatchChunk {
        tokens: &tokens,
        start: 0,
        blocks: &tables(decoder.spec(), &[1, 0], 2),
        logits: LogitRows::Last,
    };
    assert_eq!(decoder.forward(&Batch::new(&[chunk])).len(), vocabulary);
    Ok(())
}

#[test]
fn the_sound_files_load() {
    for sound in SOUND.iter() {
        load(sound).unwrap();
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let sound = &SOUND[0];
    let header_bytes = header_bytes(sound);
    let cuts = (0..header_bytes)
        .step_by(7)
        .chain((header_bytes..sound.len() - 32).step_by(997));
    for length in cuts {
        let error = load(&sound[..length]).unwrap_err().to_string();
        assert!(error.contains("fetch it again"), "{length}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        which in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = SOUND[which].clone();
        let header_bytes = header_bytes(&bytes);
        for (place, value) in changes {
            bytes[place.index(header_bytes)] = value;
        }
        // The outcome is free: a changed letter of a token is a sound file.
        let _ = load(&bytes);
    }

    #[test]
    fn extreme_numbers_never_panic(
        which in 0..5_usize,
        place in any::<prop::sample::Index>(),
        number in prop::sample::select(vec![0, 1, 1 << 30, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX]),
    ) {
        let mut bytes = SOUND[which].clone();
        let place = place.index(header_bytes(&bytes) - 8);
        bytes[place..place + 8].copy_from_slice(&u64::to_le_bytes(number));
        let _ = load(&bytes);
    }
}

/// Numbers that are no sizes may be anything above zero, and must still compute.
#[test]
fn extreme_scales_and_ropes_never_panic() {
    let names = [
        "rope.freq_base",
        "rope.scaling.factor",
        "rope.scaling.attn_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "attention.layer_norm_rms_epsilon",
        "attention.scale",
        "embedding_scale",
        "residual_scale",
        "logit_scale",
        "attn_logit_softcapping",
        "final_logit_softcapping",
    ];
    for (sound, family) in SOUND.iter().zip(FAMILIES) {
        let file = file_of(sound);
        let gguf = GgufFile::open(file.path()).unwrap();
        let tensors: Vec<TinyTensor> = gguf
            .tensors()
            .map(|it| TinyTensor {
                name: it.name.clone(),
                shape: it.shape.clone(),
                kind: it.kind,
                bytes: gguf.map_tensor(&it.name).unwrap().bytes().to_vec(),
            })
            .collect();
        for name in names {
            for value in [f32::MIN_POSITIVE, 1.0, f32::MAX] {
                let mut metadata = gguf.metadata().entries();
                let key = format!("{family}.{name}");
                metadata.retain(|(it, _)| *it != key);
                metadata.push((key, Value::F32(value)));
                // The outcome is free: some families refuse some keys.
                let _ = load(&gguf_bytes(&metadata, &tensors));
            }
        }
    }
}
