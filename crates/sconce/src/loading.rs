//! From a file to an engine that runs: everything that happens between finding a model and serving it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use sconce_catalog::{ModelReference, ResolvedModel};
use sconce_domain::{BlockCount, TokenCount};
use sconce_engine::EngineLimits;
use sconce_model::{
    ArchSpec, Decoder, DecoderExecutor, DecoderSettings, Encoding, Isa, KvType, MemoryUse,
    WeightsFile, give_back_free_pages, open_weights, spec_for,
};
use sconce_pipeline::{
    DeviceTurns, EngineThread, LoadFailure, LoadedModel, ModelContext, ModelLoader, ModelNeeds,
    ServedModel,
};
use sconce_text::{ChatTemplate, SpeechFormat, Tokenizer};
use tokio::runtime::Handle;

use crate::arguments::{FetchArguments, LimitArguments};
use crate::output::{bytes_text, count_text, say};
use crate::sizing::{self, KvShape};
use crate::{fetch, grammars};

/// Loads one model of this machine or of a hub, as often as it is asked to.
#[derive(Debug)]
pub(crate) struct FileLoader {
    pub(crate) reference: ModelReference,
    pub(crate) fetching: FetchArguments,
    pub(crate) limits: LimitArguments,
    /// What float matrices become while they are loaded.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) threads: usize,
    /// Memory that there is for models, if that is known.
    pub(crate) memory_bytes: Option<u64>,
    /// Fetching is done by the runtime's tasks, while a thread of our own waits.
    pub(crate) runtime: Handle,
    pub(crate) found: Mutex<Option<Found>>,
}

/// A model's file with its header, read once, and how it will be loaded.
#[derive(Debug)]
pub(crate) struct Found {
    model: ResolvedModel,
    file: Box<dyn WeightsFile>,
    spec: ArchSpec,
    kv_blocks: usize,
}

impl ModelLoader for FileLoader {
    fn is_here(&self) -> bool {
        fetch::is_here(&self.reference, &self.fetching)
    }

    fn find(&self) -> Result<ModelNeeds, LoadFailure> {
        self.look().map_err(|error| failure(&error))
    }

    fn load(&self, context: &ModelContext) -> Result<LoadedModel, LoadFailure> {
        let loaded = self.bring_in(context).map_err(|error| failure(&error));
        // The header and all that was needed on the way are gone by now.
        give_back_free_pages();
        loaded
    }

    fn unloaded(&self) {
        give_back_free_pages();
    }
}

pub(crate) fn failure(error: &anyhow::Error) -> LoadFailure {
    LoadFailure {
        fact: format!("{error:#}"),
    }
}

impl FileLoader {
    fn look(&self) -> Result<ModelNeeds> {
        let resolving = fetch::resolve_reference(&self.reference, &self.fetching);
        let model = self.runtime.block_on(resolving)?;
        let file = open_weights(&model.path, self.encoding)?;
        let spec = spec_for(&*file)?;
        let shape = self.kv_shape(&spec);
        let kv_blocks = self.kv_blocks(&shape);
        let needs = ModelNeeds {
            weight_bytes: Decoder::weight_bytes(&*file, &spec)?,
            kv_bytes: (kv_blocks * shape.block_bytes()) as u64,
            context: spec.context.min(shape.sequence_tokens_max(kv_blocks)),
            created_s: created_s(&model.path),
        };
        let found = Found {
            model,
            file,
            spec,
            kv_blocks,
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(needs)
    }

    fn bring_in(&self, context: &ModelContext) -> Result<LoadedModel> {
        let begun = Instant::now();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Found {
            model,
            file,
            spec,
            kv_blocks,
        } = found
            .take()
            .context("the model was not looked for before")?;
        drop(found);
        let tokenizer = Tokenizer::new(file.vocabulary()?).with_context(|| {
            format!("the vocabulary of {} cannot be used", model.path.display())
        })?;
        check_end_tokens(&model, &tokenizer)?;
        let template = template(&*file, &tokenizer)?;
        let template = template.map(|it| speak(it, &model)).transpose()?;
        let tokenizer = Arc::new(tokenizer);
        let grammars = grammars::of(&tokenizer);
        let settings = DecoderSettings {
            threads: self.threads,
            isa: Isa::detect(),
            kv_blocks,
            kv_type: self.kv_type(),
        };
        let kv_tokens = self.kv_shape(&spec).tokens(kv_blocks);
        let decoder = decode_with_bar(&*file, spec, settings, &context.turns)?;
        let (memory, tokens_max) = (decoder.memory_use(), decoder.spec().context);
        let description = describe(&*file, &decoder, self.threads)?;
        let thread = start_engine(decoder, kv_blocks, &self.limits, context)?;
        let loaded = LoadedModel {
            served: ServedModel {
                name: Arc::from(model.name.as_str()),
                grammars,
                tokenizer,
                template,
                context: tokens_max,
                engine: thread.handle(),
                created_s: created_s(&model.path),
            },
            thread,
            bytes: (memory.weight_bytes + memory.kv_bytes) as u64,
        };
        announce(&loaded.served, &description, begun);
        announce_memory(&memory, kv_tokens);
        Ok(loaded)
    }

    fn kv_type(&self) -> KvType {
        self.limits.kv_cache_type.into()
    }

    fn kv_shape(&self, spec: &ArchSpec) -> KvShape {
        KvShape::of(spec, self.kv_type(), self.limits.step_tokens_max.get())
    }

    fn kv_blocks(&self, shape: &KvShape) -> usize {
        let (context, bytes_per_token) = (shape.tokens_for_context(), shape.bytes_per_token());
        let chosen = || sizing::kv_tokens(context, bytes_per_token, self.memory_bytes);
        let tokens = self.limits.kv_tokens.map_or_else(chosen, u32::from);
        shape.blocks(tokens)
    }
}

fn announce(served: &ServedModel, description: &str, begun: Instant) {
    let tokens = served.context.0.min(served.engine.sequence_tokens_max().0);
    say(&format!(
        "{} is ready after {:.1} s: {description}, context of {} tokens",
        served.name,
        begun.elapsed().as_secs_f32(),
        count_text(u64::from(tokens)),
    ));
}

fn announce_memory(memory: &MemoryUse, kv_tokens: usize) {
    let resident = sizing::resident_memory_bytes().map_or_else(String::new, |bytes| {
        format!("; {} resident now", bytes_text(bytes))
    });
    say(&format!(
        "memory: {} of weights, a KV cache of {} tokens ({} when full){resident}",
        bytes_text(memory.weight_bytes as u64),
        count_text(kv_tokens as u64),
        bytes_text(memory.kv_bytes as u64),
    ));
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

fn template(file: &dyn WeightsFile, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
    let Some(source) = file.chat_template()? else {
        tracing::warn!("the file has no chat template: only /v1/completions can be used");
        return Ok(None);
    };
    let template = ChatTemplate::new(&source, &tokenizer.bos_text(), &tokenizer.eos_text());
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

/// Packs the weights, in turns with the steps of other models: one for each layer.
pub(crate) fn decode_with_bar(
    file: &dyn WeightsFile,
    spec: ArchSpec,
    settings: DecoderSettings,
    turns: &DeviceTurns,
) -> Result<Decoder> {
    let bar = ProgressBar::new(100).with_message("loading");
    let mut turn = Some(turns.take());
    let decoder = Decoder::load(file, spec, settings, &mut |share| {
        turn = None;
        bar.set_position((share * 100.0) as u64);
        turn = Some(turns.take());
    });
    drop(turn);
    bar.finish_and_clear();
    Ok(decoder?)
}

fn describe(file: &dyn WeightsFile, decoder: &Decoder, threads: usize) -> Result<String> {
    Ok(format!(
        "{}, {} layers, {} on {threads} threads",
        file.family()?,
        decoder.spec().layers.len(),
        decoder.isa().name(),
    ))
}

fn start_engine(
    decoder: Decoder,
    kv_blocks: usize,
    limits: &LimitArguments,
    context: &ModelContext,
) -> Result<EngineThread> {
    let (running_max, step_tokens_max) = (limits.running_max.get(), limits.step_tokens_max.get());
    ensure!(
        step_tokens_max >= running_max,
        "--step-tokens-max {step_tokens_max} is below --running-max {running_max}: each running \
         sequence needs one token a step; raise the first or lower the second"
    );
    let engine_limits = EngineLimits {
        block_size: DecoderExecutor::block_size(),
        blocks: BlockCount(u32::try_from(kv_blocks)?),
        groups: Decoder::kv_groups(decoder.spec()),
        step_tokens_max: TokenCount(step_tokens_max),
        tokens_beside_streams: TokenCount(limits.tokens_beside_streams),
        running_max,
    };
    let block_bytes = decoder.memory_use().kv_bytes / kv_blocks.max(1);
    context.metrics.kv_block_bytes(block_bytes);
    let build = move || DecoderExecutor::new(decoder);
    EngineThread::start(build, engine_limits, context).context("the engine's thread did not start")
}

pub(crate) fn created_s(path: &Path) -> u64 {
    let modified = path
        .metadata()
        .and_then(|it| it.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH);
    modified
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| it.as_secs())
}
