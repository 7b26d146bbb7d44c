//! From a folder to an encoder that runs.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sconce_catalog::{ModelKind, ResolvedModel};
use sconce_domain::EncoderText;
use sconce_model::{Encoder, EncoderFolder, EncoderOutput, EncoderSpec, Isa};
use sconce_pipeline::{Encode, EncoderKind, EncoderLimits, EncoderThread, Pipeline, ServedEncoder};
use sconce_text::EncoderTokenizer;

use crate::arguments::EncoderArguments;
use crate::loading::created_s;
use crate::output::{bytes_text, count_text};

/// Tokens of one pass, which is a turn at the processors. More would have answers wait longer for theirs,
/// and a matrix is read rarely enough: once for so many rows.
const BATCH_TOKENS_MAX: u32 = 256;

/// An encoder that is ready to be served, and what to tell about it.
pub(crate) struct LoadedEncoder {
    pub(crate) served: ServedEncoder,
    /// Dropping it stops the encoder.
    pub(crate) thread: EncoderThread,
    pub(crate) description: String,
    pub(crate) seconds: f32,
}

/// The model's encoder behind the pipeline's port.
#[derive(Debug)]
struct Reader(Encoder);

impl Encode for Reader {
    fn encode(&mut self, texts: &[&EncoderText]) -> Vec<Vec<f32>> {
        self.0.encode(texts)
    }
}

/// Loads an encoder and starts its thread. Blocks for as long as that takes.
pub(crate) fn load(
    model: &ResolvedModel,
    arguments: &EncoderArguments,
    pipeline: &Pipeline,
) -> Result<LoadedEncoder> {
    let begun = Instant::now();
    let is_encoder = |it: &ModelKind| *it == ModelKind::Encoder;
    ensure!(
        model.card.as_ref().is_none_or(|it| is_encoder(&it.kind)),
        "{} is a generator and no encoder; give it with --model",
        model.name
    );
    let folder = EncoderFolder::open(&model.path)?;
    let tokenizer = tokenizer(&folder)?;
    let threads = threads(arguments);
    let encoder = folder.load(threads, Isa::detect())?;
    let description = describe(&encoder, threads);
    let spec = encoder.spec().clone();
    let limits = EncoderLimits {
        batch_tokens_max: BATCH_TOKENS_MAX,
        texts_max: arguments.texts_max.get(),
    };
    let thread = EncoderThread::start(
        Reader(encoder),
        limits,
        pipeline.encoder_context(&model.name),
    )
    .context("the encoder's thread did not start")?;
    let card = model.card.as_ref();
    Ok(LoadedEncoder {
        served: ServedEncoder {
            name: Arc::from(model.name.as_str()),
            aliases: card.map_or_else(Vec::new, |card| card.aliases.clone()),
            tokenizer: Arc::new(tokenizer),
            kind: kind(&spec),
            context: spec.context,
            vocabulary: u32::try_from(spec.vocabulary)?,
            encoder: thread.handle(),
            created_s: created_s(&model.path),
        },
        thread,
        description,
        seconds: begun.elapsed().as_secs_f32(),
    })
}

fn tokenizer(folder: &EncoderFolder) -> Result<EncoderTokenizer> {
    let path = folder.tokenizer_path();
    let cannot = || format!("the tokenizer {} cannot be used", path.display());
    let json = std::fs::read(path).with_context(cannot)?;
    let tokenizer = EncoderTokenizer::from_json(&json).with_context(cannot)?;
    let (known, rows) = (tokenizer.vocabulary_size(), folder.spec().vocabulary);
    ensure!(
        known <= rows,
        "{} knows {known} tokens, but the weights have rows for {rows}; the files are of two models",
        path.display()
    );
    Ok(tokenizer)
}

fn threads(arguments: &EncoderArguments) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    arguments
        .encoder_threads
        .map_or(processors, |it| it.get() as usize)
}

fn kind(spec: &EncoderSpec) -> EncoderKind {
    match spec.output {
        EncoderOutput::Vector(_) => EncoderKind::Vectors {
            dimensions: spec.hidden,
        },
        EncoderOutput::Score => EncoderKind::Scores,
    }
}

fn describe(encoder: &Encoder, threads: usize) -> String {
    let spec = encoder.spec();
    let what = match spec.output {
        EncoderOutput::Vector(_) => format!("vectors of {} numbers", spec.hidden),
        EncoderOutput::Score => "scores of pairs".to_owned(),
    };
    format!(
        "{what}, {} layers, {} on {threads} threads, texts of {} tokens, {} of weights",
        spec.layers,
        encoder.isa().name(),
        count_text(u64::from(spec.context.0)),
        bytes_text(encoder.weight_bytes() as u64),
    )
}
