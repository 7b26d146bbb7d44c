//! From a file to an engine that runs: everything that happens between finding a model and serving it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use sconce_catalog::ResolvedModel;
use sconce_domain::{BlockCount, TokenCount};
use sconce_engine::EngineLimits;
use sconce_model::{
    ArchSpec, Decoder, DecoderExecutor, DecoderSettings, GgufFile, Isa, MemoryUse,
    chat_template_of, spec_for, vocabulary_of,
};
use sconce_pipeline::{EngineThread, Metrics, ServedModel};
use sconce_text::{ChatTemplate, SpeechFormat, Tokenizer};

use crate::arguments::ServeArguments;
use crate::grammars;
use crate::sizing;

/// A model that is ready to be served, and what to tell about it.
pub(crate) struct Loaded {
    pub(crate) served: ServedModel,
    /// Dropping it stops the engine.
    pub(crate) engine: EngineThread,
    pub(crate) memory: MemoryUse,
    pub(crate) kv_tokens: u64,
    /// What the model is and runs on, in a line.
    pub(crate) description: String,
    pub(crate) seconds: f32,
}

/// Loads a model and starts its engine. Blocks for as long as that takes.
pub(crate) fn load(
    model: &ResolvedModel,
    arguments: &ServeArguments,
    metrics: &Metrics,
) -> Result<Loaded> {
    let begun = Instant::now();
    let file = GgufFile::open(&model.path)?;
    let spec = spec_for(&file)?;
    let tokenizer = Tokenizer::new(vocabulary_of(&file)?)
        .with_context(|| format!("the vocabulary of {} cannot be used", model.path.display()))?;
    check_end_tokens(model, &tokenizer)?;
    let template = template(&file, &tokenizer)?;
    let template = template.map(|it| speak(it, model)).transpose()?;
    let tokenizer = Arc::new(tokenizer);
    let grammars = grammars::of(&tokenizer);
    let threads = threads(arguments);
    let settings = DecoderSettings {
        threads,
        isa: Isa::detect(),
        kv_blocks: kv_blocks(&spec, arguments),
    };
    let decoder = decode_with_bar(&file, spec, settings)?;
    let (memory, context) = (decoder.memory_use(), decoder.spec().context);
    let description = describe(&file, &decoder, threads)?;
    let engine = start_engine(decoder, settings.kv_blocks, arguments, metrics, &model.name)?;
    Ok(Loaded {
        served: ServedModel {
            name: Arc::from(model.name.as_str()),
            aliases: model
                .card
                .as_ref()
                .map_or_else(Vec::new, |card| card.aliases.clone()),
            grammars,
            tokenizer,
            template,
            context,
            engine: engine.handle(),
            created_s: created_s(&model.path),
        },
        engine,
        memory,
        kv_tokens: (settings.kv_blocks * Decoder::BLOCK_TOKENS) as u64,
        description,
        seconds: begun.elapsed().as_secs_f32(),
    })
}

/// A card promises which tokens end an answer; a file for which that is not so is another file.
fn check_end_tokens(model: &ResolvedModel, tokenizer: &Tokenizer) -> Result<()> {
    let ends: Vec<_> = tokenizer
        .end_tokens()
        .iter()
        .map(|it| tokenizer.token_text(*it))
        .collect();
    for promised in model.card.iter().flat_map(|card| &card.chat.end_tokens) {
        ensure!(
            ends.iter().any(|it| it == promised),
            "the card of {} says that {promised} ends an answer, but the file's vocabulary has {}",
            model.name,
            ends.join(", ")
        );
    }
    Ok(())
}

fn template(file: &GgufFile, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
    let Some(source) = chat_template_of(file)? else {
        tracing::warn!("the file has no chat template: only /v1/completions can be used");
        return Ok(None);
    };
    let template = ChatTemplate::new(source, &tokenizer.bos_text(), &tokenizer.eos_text());
    Ok(Some(template.with_context(|| {
        format!(
            "the chat template of {} cannot be used",
            file.path().display()
        )
    })?))
}

/// How the model calls functions is told by its card, if by anything but the template.
fn speak(template: ChatTemplate, model: &ResolvedModel) -> Result<ChatTemplate> {
    let Some(name) = model.card.as_ref().and_then(|it| it.chat.tools.as_deref()) else {
        return Ok(template);
    };
    let format = SpeechFormat::named(name).with_context(|| {
        let names: Vec<&str> = SpeechFormat::names().collect();
        format!(
            "the card of {} says that it calls in the format {name}, and there are {}",
            model.name,
            names.join(", ")
        )
    })?;
    Ok(template.with_speech(format))
}

fn threads(arguments: &ServeArguments) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.threads.map_or(processors, |it| it.get() as usize)
}

fn kv_blocks(spec: &ArchSpec, arguments: &ServeArguments) -> usize {
    let bytes_per_token = (Decoder::kv_block_bytes(spec) / Decoder::BLOCK_TOKENS) as u64;
    let chosen = || sizing::kv_tokens(spec.context.0, bytes_per_token, sizing::free_memory_bytes());
    let tokens = arguments.limits.kv_tokens.map_or_else(chosen, u32::from);
    (tokens as usize).div_ceil(Decoder::BLOCK_TOKENS)
}

fn decode_with_bar(file: &GgufFile, spec: ArchSpec, settings: DecoderSettings) -> Result<Decoder> {
    let bar = ProgressBar::new(100).with_message("loading");
    let decoder = Decoder::load(file, spec, settings, &mut |share| {
        bar.set_position((share * 100.0) as u64);
    });
    bar.finish_and_clear();
    Ok(decoder?)
}

fn describe(file: &GgufFile, decoder: &Decoder, threads: usize) -> Result<String> {
    Ok(format!(
        "{}, {} layers, {} on {threads} threads",
        file.architecture()?,
        decoder.spec().layers.len(),
        decoder.isa().name(),
    ))
}

fn start_engine(
    decoder: Decoder,
    kv_blocks: usize,
    arguments: &ServeArguments,
    metrics: &Metrics,
    name: &str,
) -> Result<EngineThread> {
    let (running_max, step_tokens_max) = (
        arguments.limits.running_max.get(),
        arguments.limits.step_tokens_max.get(),
    );
    ensure!(
        step_tokens_max >= running_max,
        "--step-tokens-max {step_tokens_max} is below --running-max {running_max}: each running \
         sequence needs one token a step; raise the first or lower the second"
    );
    let limits = EngineLimits {
        block_size: DecoderExecutor::block_size(),
        blocks: BlockCount(u32::try_from(kv_blocks)?),
        step_tokens_max: TokenCount(step_tokens_max),
        tokens_beside_streams: TokenCount(arguments.limits.tokens_beside_streams),
        running_max,
    };
    let build = move || DecoderExecutor::new(decoder);
    EngineThread::start(build, limits, metrics.of_model(name))
        .context("the engine's thread did not start")
}

fn created_s(path: &Path) -> u64 {
    let modified = path
        .metadata()
        .and_then(|it| it.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH);
    modified
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| it.as_secs())
}
