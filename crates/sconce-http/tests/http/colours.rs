//! A hand-made encoder: a vector counts a text's colours.

use std::sync::Arc;
use std::time::Duration;

use sconce_domain::{EncoderText, TokenCount};
use sconce_pipeline::{
    AdmissionLimits, DeclaredModel, Encode, EncoderKind, EncoderMetrics, EncoderThread,
    LoadFailure, LoadedModel, ModelContext, ModelLoader, ModelNeeds, Pipeline, ServedEncoder,
};
use sconce_text::EncoderTokenizer;
use serde_json::{Value, json};

/// Tokens 0 to 2 are markers; the encoder panics when it reads `panic`.
const WORDS: [&str; 7] = ["[CLS]", "[SEP]", "[UNK]", "red", "green", "blue", "panic"];
pub(crate) const CONTEXT: u32 = 8;
const TEXTS_MAX: u32 = 6;

/// Counts colours, or of two texts the tokens they have in common.
#[derive(Debug)]
struct Colours {
    kind: EncoderKind,
    pass: Duration,
}

impl Encode for Colours {
    fn encode(&mut self, texts: &[&EncoderText]) -> Vec<Vec<f32>> {
        std::thread::sleep(self.pass);
        let count = |tokens: &[sconce_domain::TokenId], id| {
            tokens.iter().filter(|it| it.0 == id).count() as f32
        };
        let result = |text: &&EncoderText| {
            assert_eq!(count(&text.tokens, 6), 0.0, "the encoder was told to panic");
            let (first, second) = text.tokens.split_at(text.second_starts);
            match self.kind {
                EncoderKind::Vectors { .. } => [3, 4, 5]
                    .iter()
                    .map(|it| count(&text.tokens, *it))
                    .collect(),
                EncoderKind::Scores => {
                    let common = |id| count(first, id).min(count(second, id));
                    vec![[3, 4, 5].iter().map(|it| common(*it)).sum::<f32>() - 1.0]
                }
            }
        };
        texts.iter().map(result).collect()
    }
}

fn tokenizer() -> EncoderTokenizer {
    let vocabulary: serde_json::Map<String, Value> = WORDS
        .iter()
        .zip(0..)
        .map(|(word, id)| ((*word).to_owned(), Value::from(id)))
        .collect();
    let marker =
        |name: &str, segment: u32| json!({"SpecialToken": {"id": name, "type_id": segment}});
    let text = |name: &str, segment: u32| json!({"Sequence": {"id": name, "type_id": segment}});
    let (begin, end) = (marker("[CLS]", 0), marker("[SEP]", 0));
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [begin, text("A", 0), end],
            "pair": [begin, text("A", 0), end, text("B", 1), marker("[SEP]", 1)],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [1], "tokens": ["[SEP]"]}}},
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary},
    });
    EncoderTokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

/// Brings the encoder in.
#[derive(Debug)]
pub(crate) struct ColoursLoader {
    pub(crate) kind: EncoderKind,
    pub(crate) pass: Duration,
    pub(crate) bytes: u64,
}

impl ModelLoader<ServedEncoder> for ColoursLoader {
    fn is_here(&self) -> bool {
        true
    }

    fn find(&self) -> Result<ModelNeeds, LoadFailure> {
        Ok(ModelNeeds {
            weight_bytes: self.bytes,
            kv_bytes: 0,
            context: TokenCount(CONTEXT),
            created_s: 1_700_000_001,
        })
    }

    fn load(
        &self,
        context: &ModelContext<EncoderMetrics>,
    ) -> Result<LoadedModel<ServedEncoder>, LoadFailure> {
        let colours = Colours {
            kind: self.kind,
            pass: self.pass,
        };
        let thread = EncoderThread::start(colours, 16, context).unwrap();
        Ok(LoadedModel {
            served: ServedEncoder {
                name: Arc::from("colours"),
                tokenizer: Arc::new(tokenizer()),
                kind: self.kind,
                context: TokenCount(CONTEXT),
                vocabulary: 7,
                encoder: thread.handle(),
                created_s: 1_700_000_001,
            },
            thread,
            bytes: self.bytes,
        })
    }
}

/// Makes an encoder called `colours` known.
pub(crate) fn declare(pipeline: &Pipeline, loader: ColoursLoader, idle_unload_ms: Option<u64>) {
    let declared = DeclaredModel {
        name: Arc::from("colours"),
        aliases: vec!["colors".to_owned()],
        limits: AdmissionLimits::of_texts(TEXTS_MAX, None),
        at_start: false,
        idle_unload: idle_unload_ms.map(Duration::from_millis),
        loader: Arc::new(loader),
    };
    pipeline.declare_encoder(declared).unwrap();
}
