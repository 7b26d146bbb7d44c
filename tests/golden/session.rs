//! A loaded default model, shared by the tests of one binary.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use sconce_domain::TokenId;
use sconce_kernels::Isa;
use sconce_model::{
    ArchSpec, Batch, BatchChunk, BlockTable, Decoder, DecoderSettings, GgufFile, KvType, LogitRows,
    chat_template_of, spec_for, vocabulary_of,
};
use sconce_tests::{Golden, model_file};
use sconce_text::{ChatTemplate, Tokenizer};

/// One of the two models the golden facts are about.
pub(crate) struct Session {
    name: &'static str,
    pub(crate) golden: Golden,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    decoder: Mutex<Decoder>,
}

pub(crate) static SMOLLM2: LazyLock<Session> =
    LazyLock::new(|| Session::load("smollm2-135m-instruct", Golden::smollm2_135m().unwrap()));

pub(crate) static QWEN: LazyLock<Session> = LazyLock::new(|| {
    Session::load(
        "qwen2.5-coder-0.5b-instruct",
        Golden::qwen2_5_coder_0_5b().unwrap(),
    )
});

impl Session {
    fn load(name: &'static str, golden: Golden) -> Self {
        let file = GgufFile::open(model_file(name).unwrap()).unwrap();
        let spec = spec_for(&file).unwrap();
        let decoder = decoder(&file, spec, KvType::F16);
        let tokenizer = Tokenizer::new(vocabulary_of(&file).unwrap()).unwrap();
        let source = chat_template_of(&file).unwrap().unwrap();
        let template =
            ChatTemplate::new(source, &tokenizer.bos_text(), &tokenizer.eos_text()).unwrap();
        Self {
            name,
            golden,
            tokenizer,
            template,
            decoder: Mutex::new(decoder),
        }
    }

    pub(crate) fn decoder(&self) -> MutexGuard<'_, Decoder> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another decoder of the same weights, which stores keys and values in another way.
pub(crate) fn decoder_with(session: &Session, kv_type: KvType) -> Decoder {
    let file = GgufFile::open(model_file(session.name).unwrap()).unwrap();
    let spec = spec_for(&file).unwrap();
    decoder(&file, spec, kv_type)
}

fn decoder(file: &GgufFile, spec: ArchSpec, kv_type: KvType) -> Decoder {
    let settings = DecoderSettings {
        threads: 2,
        isa: Isa::detect(),
        kv_blocks: 256,
        kv_type,
    };
    Decoder::load(file, spec, settings, &mut |_| {}).unwrap()
}

pub(crate) fn token_ids(ids: &[u32]) -> Vec<TokenId> {
    ids.iter().copied().map(TokenId).collect()
}

/// The blocks of sequence number `index`: sixteen blocks, 256 positions.
pub(crate) fn blocks(index: usize) -> [BlockTable; 1] {
    let blocks = (0..16).map(|block| (index * 16 + block) as u32);
    [BlockTable::whole(blocks.collect())]
}

/// The logits of every row of one sequence, computed in one step from position zero.
pub(crate) fn all_logits(decoder: &mut Decoder, tokens: &[TokenId]) -> Vec<Vec<f32>> {
    let blocks = blocks(0);
    let chunk = BatchChunk {
        tokens,
        start: 0,
        blocks: &blocks,
        logits: LogitRows::All,
    };
    let vocabulary = decoder.spec().vocabulary;
    let logits = decoder.forward(&Batch::new(&[chunk]));
    logits
        .chunks_exact(vocabulary)
        .map(<[f32]>::to_vec)
        .collect()
}
