//! From a folder to an encoder that runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sconce_catalog::{ModelReference, ResolvedModel};
use sconce_domain::EncoderText;
use sconce_model::{Encoder, EncoderFolder, EncoderOutput, EncoderSpec, Isa, give_back_free_pages};
use sconce_pipeline::{
    Encode, EncoderKind, EncoderMetrics, EncoderThread, LoadFailure, LoadedModel, ModelContext,
    ModelLoader, ModelNeeds, ServedEncoder,
};
use sconce_text::EncoderTokenizer;
use tokio::runtime::Handle;

use crate::arguments::FetchArguments;
use crate::fetch;
use crate::loading::{created_s, failure};
use crate::output::{bytes_text, count_text, say};

/// Tokens of one pass, which is a turn at the processors. More would have answers wait longer for theirs,
/// and a matrix is read rarely enough: once for so many rows.
const BATCH_TOKENS_MAX: u32 = 256;

/// Loads one encoder of this machine or of a hub, as often as it is asked to.
#[derive(Debug)]
pub(crate) struct EncoderLoader {
    pub(crate) reference: ModelReference,
    pub(crate) fetching: FetchArguments,
    pub(crate) threads: usize,
    /// Fetching is done by the runtime's tasks, while a thread of our own waits.
    pub(crate) runtime: Handle,
    pub(crate) found: Mutex<Option<Found>>,
}

/// An encoder's files with the weights' header, read once.
#[derive(Debug)]
pub(crate) struct Found {
    model: ResolvedModel,
    folder: EncoderFolder,
}

/// The model's encoder behind the pipeline's port.
#[derive(Debug)]
struct Reader(Encoder);

impl Encode for Reader {
    fn encode(&mut self, texts: &[&EncoderText]) -> Vec<Vec<f32>> {
        self.0.encode(texts)
    }
}

impl ModelLoader<ServedEncoder> for EncoderLoader {
    fn is_here(&self) -> bool {
        fetch::is_here(&self.reference, &self.fetching)
    }

    fn find(&self) -> Result<ModelNeeds, LoadFailure> {
        self.look().map_err(|error| failure(&error))
    }

    fn load(
        &self,
        context: &ModelContext<EncoderMetrics>,
    ) -> Result<LoadedModel<ServedEncoder>, LoadFailure> {
        let loaded = self.bring_in(context).map_err(|error| failure(&error));
        give_back_free_pages();
        loaded
    }

    fn unloaded(&self) {
        give_back_free_pages();
    }
}

impl EncoderLoader {
    fn look(&self) -> Result<ModelNeeds> {
        let resolving = fetch::resolve_reference(&self.reference, &self.fetching);
        let model = self.runtime.block_on(resolving)?;
        let folder = EncoderFolder::open(&model.path)?;
        let needs = ModelNeeds {
            weight_bytes: folder.weight_bytes()?,
            kv_bytes: 0,
            context: folder.spec().context,
            created_s: created_s(&model.path),
        };
        let found = Found { model, folder };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(needs)
    }

    fn bring_in(
        &self,
        context: &ModelContext<EncoderMetrics>,
    ) -> Result<LoadedModel<ServedEncoder>> {
        let begun = Instant::now();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Found { model, folder } = found
            .take()
            .context("the encoder was not looked for before")?;
        drop(found);
        let tokenizer = tokenizer(&folder)?;
        let turn = context.turns.take();
        let encoder = folder.load(self.threads, Isa::detect())?;
        drop(turn);
        let bytes = encoder.weight_bytes() as u64;
        let description = describe(&encoder, self.threads);
        let spec = encoder.spec().clone();
        let thread = EncoderThread::start(Reader(encoder), BATCH_TOKENS_MAX, context)
            .context("the encoder's thread did not start")?;
        say(&format!(
            "{} is ready after {:.1} s: {description}",
            model.name,
            begun.elapsed().as_secs_f32()
        ));
        Ok(LoadedModel {
            served: ServedEncoder {
                name: Arc::from(model.name.as_str()),
                tokenizer: Arc::new(tokenizer),
                kind: kind(&spec),
                context: spec.context,
                vocabulary: u32::try_from(spec.vocabulary)?,
                encoder: thread.handle(),
                created_s: created_s(&model.path),
            },
            thread,
            bytes,
        })
    }
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
