//! What a model takes is known before it is loaded, to the byte.

use super::file_of;
use super::references::cases;
use crate::{Decoder, DecoderSettings, GgufFile, Isa, KvType};

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
