//! What a model takes is known before it is loaded, to the byte.

use super::file_of;
use super::references::cases;
use crate::{Decoder, DecoderSettings, GgufFile, Head, Isa, KvType};

#[test]
fn the_header_tells_what_the_weights_will_take() {
    for case in cases() {
        for kv_type in [KvType::F16, KvType::Q8_0] {
            let file = file_of(&case.checkpoint.to_bytes().unwrap());
            let gguf = GgufFile::open(file.path()).unwrap();
            let spec = case.checkpoint.spec.clone();
            let told = Decoder::weight_bytes(&gguf, &spec).unwrap();
            let kv_bytes = 4 * Decoder::kv_block_bytes(&spec, kv_type);
            let settings = DecoderSettings {
                threads: 1,
                isa: Isa::detect(),
                kv_blocks: 4,
                kv_type,
            };
            let loaded = Decoder::load(&gguf, spec, settings, &mut |_| ()).unwrap();
            let taken = loaded.memory_use();
            assert!(told > 0, "{}", case.name);
            assert_eq!(told, taken.weight_bytes as u64, "{}", case.name);
            assert_eq!(kv_bytes, taken.kv_bytes, "{}", case.name);
        }
    }
}

#[test]
fn a_step_reads_all_weights_but_a_lonely_embedding_and_experts_as_rows_choose_them() {
    for case in cases() {
        let file = file_of(&case.checkpoint.to_bytes().unwrap());
        let gguf = GgufFile::open(file.path()).unwrap();
        let spec = case.checkpoint.spec.clone();
        let work = Decoder::step_work(&gguf, &spec, KvType::F16).unwrap();
        let all = Decoder::weight_bytes(&gguf, &spec).unwrap() as f64;
        let (one, crowd) = (work.weight_bytes(1), work.weight_bytes(100_000));
        match spec.head {
            Head::TiedToEmbedding => assert!((crowd - all).abs() < 1.0, "{}", case.name),
            Head::Own => assert!(crowd < all && crowd > all / 2.0, "{}", case.name),
        }
        let has_experts = work.expert_bytes > 0.0;
        assert_eq!(has_experts, one < crowd, "{}", case.name);
        let expected = work.matrix_bytes + work.expert_bytes * work.expert_share;
        assert!((one - expected).abs() < 1.0, "{}", case.name);
        let block = Decoder::kv_block_bytes(&spec, KvType::F16) as f64;
        let whole = block * Decoder::kv_groups(&spec).count() as f64;
        // Groups of fewer layers than the others leave a part of their blocks empty.
        let taken = work.cache_bytes(1) * 16.0;
        assert!(taken > whole / 2.0 && taken < whole + 1.0, "{}", case.name);
        assert!(work.cache_bytes(1_000) <= work.cache_bytes(1) * 1_000.0 + 1.0);
        let head = (spec.hidden * spec.vocabulary) as f64;
        assert_eq!(work.products_per_logit_row, head, "{}", case.name);
    }
}
