//! A row's bits are its own: neither chunks nor company nor threads nor instruction sets change them,
//! in any family.

use sconce_domain::TokenId;

use super::references::{families, prompt};
use super::{file_of, groups, tables};
use crate::tiny::TinyCheckpoint;
use crate::{
    Batch, BatchChunk, Decoder, DecoderSettings, GgufFile, Isa, KvType, LogitRows, spec_for,
};

fn decoder(checkpoint: &TinyCheckpoint, (threads, isa): (usize, Isa), kv_type: KvType) -> Decoder {
    let file = file_of(&checkpoint.to_bytes().unwrap());
    let gguf = GgufFile::open(file.path()).unwrap();
    let spec = spec_for(&gguf).unwrap();
    let settings = DecoderSettings {
        threads,
        isa,
        kv_blocks: 8 * groups(&spec),
        kv_type,
    };
    Decoder::load(&gguf, spec, settings, &mut |_| ()).unwrap()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|it| it.to_bits()).collect()
}

/// The logits of the whole prompt in one chunk.
fn whole(decoder: &mut Decoder, tokens: &[TokenId]) -> Vec<u32> {
    let chunk = BatchChunk {
        tokens,
        start: 0,
        blocks: &tables(decoder.spec(), &[5, 1, 6], 8),
        logits: LogitRows::All,
    };
    bits(decoder.forward(&Batch::new(&[chunk])))
}

/// The same in chunks of `length`, each beside one of another sequence.
fn in_company(decoder: &mut Decoder, tokens: &[TokenId], length: usize) -> Vec<u32> {
    let other: Vec<TokenId> = tokens.iter().rev().copied().collect();
    let [others, own] = [&[0, 7, 2], &[3, 4, 5]].map(|it| tables(decoder.spec(), it, 8));
    let mut found = Vec::new();
    for start in (0..tokens.len()).step_by(length) {
        let end = tokens.len().min(start + length);
        let chunk = |tokens, blocks, logits| BatchChunk {
            tokens,
            start,
            blocks,
            logits,
        };
        let chunks = [
            chunk(&other[start..end], &others, LogitRows::None),
            chunk(&tokens[start..end], &own, LogitRows::All),
        ];
        found.extend(bits(decoder.forward(&Batch::new(&chunks))));
    }
    found
}

#[test]
fn every_family_gives_each_row_its_own_bits() {
    for (case, kv_type) in families()
        .iter()
        .flat_map(|case| [KvType::F16, KvType::Q8_0].map(|kv_type| (case, kv_type)))
    {
        let what = format!("{} with {kv_type:?}", case.name);
        check(&case.checkpoint, kv_type, &what);
    }
}

fn check(checkpoint: &TinyCheckpoint, kv_type: KvType, what: &str) {
    let tokens = prompt();
    let mut decoder_alone = decoder(checkpoint, (1, Isa::Portable), kv_type);
    let alone = whole(&mut decoder_alone, &tokens);
    for isa in Isa::available() {
        let mut decoder = decoder(checkpoint, (2, isa), kv_type);
        assert_eq!(whole(&mut decoder, &tokens), alone, "{what} {isa:?}");
        for length in [1, 7, 17] {
            let found = in_company(&mut decoder, &tokens, length);
            assert_eq!(found, alone, "{what} {isa:?} by {length}");
        }
    }
}
