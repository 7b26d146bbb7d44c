//! `sconce bench model`: a decoder alone on this machine.

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use sconce_bench::decoding::{DecodingFindings, Peaks, Plan, Subject, measure};
use sconce_catalog::{ModelCard, ModelKind};
use sconce_model::{
    ArchSpec, Decoder, DecoderSettings, Isa, KvType, WeightsFile, open_weights, spec_for,
};
use sconce_pipeline::DeviceTurns;

use super::arguments::BenchModelArguments;
use super::output::tell;
use crate::arguments::{FetchArguments, KvCacheType};
use crate::loading::decode_with_bar;
use crate::machine::Machine;
use crate::output::{bytes_text, complain};
use crate::{fetch, sizing};

/// Measures and tells.
pub(crate) async fn run(arguments: BenchModelArguments, fetching: &FetchArguments) -> Result<()> {
    let model = fetch::resolve(&arguments.model, fetching).await?;
    let is_encoder = |it: &ModelCard| it.kind == ModelKind::Encoder;
    ensure!(
        !model.card.as_ref().is_some_and(is_encoder),
        "{} is an encoder and decodes nothing: name a model that continues texts",
        model.name
    );
    let output = arguments.output.clone();
    let find = move || find(&arguments, &model.name, &model.path);
    let findings = tokio::task::spawn_blocking(find).await??;
    tell(&findings.report(), &findings.json(), &output)
}

fn find(
    arguments: &BenchModelArguments,
    name: &str,
    path: &std::path::Path,
) -> Result<DecodingFindings> {
    let file = open_weights(path, arguments.quantize.map(Into::into))?;
    let spec = spec_for(&*file)?;
    let plan = plan(arguments);
    plan.check(spec.context.0 as usize)?;
    let kv_type = KvType::from(arguments.kv_cache_type);
    let kv_blocks = plan.blocks() * Decoder::kv_groups(&spec).count();
    check_memory(
        &*file,
        &spec,
        kv_blocks * Decoder::kv_block_bytes(&spec, kv_type),
    )?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(processors, |it| it.get() as usize);
    complain("measuring what this machine gives");
    let peaks = Peaks::measure(threads, sizing::free_memory_bytes());
    let work = Decoder::step_work(&*file, &spec, kv_type)?;
    let settings = DecoderSettings {
        threads,
        isa: Isa::detect(),
        kv_blocks,
        kv_type,
    };
    let mut decoder = decode_with_bar(&*file, spec, settings, &DeviceTurns::default())?;
    let bar = ProgressBar::new(plan.tokens() as u64).with_style(bar_style());
    let measured = measure(&mut decoder, &work, &plan, &mut |done| {
        bar.set_position(done as u64)
    });
    bar.finish_and_clear();
    let subject = Subject {
        model: name.to_owned(),
        family: file.family()?.to_owned(),
        weight_bytes: decoder.memory_use().weight_bytes as u64,
        kv_cache_type: kv_name(arguments.kv_cache_type).to_owned(),
        processor: Machine::look().processor,
        isa: decoder.isa(),
        threads,
    };
    Ok(DecodingFindings {
        subject,
        peaks,
        measured,
    })
}

fn plan(arguments: &BenchModelArguments) -> Plan {
    let sizes = |list: &[u32]| list.iter().map(|it| *it as usize).collect();
    Plan {
        prompts: sizes(&arguments.prompt),
        batches: sizes(&arguments.decode),
        contexts: sizes(&arguments.context),
        decode_tokens: arguments.decode_tokens.get() as usize,
        step_tokens_max: arguments.step_tokens_max.get() as usize,
        repetitions: arguments.repetitions.get() as usize,
    }
}

/// Refuses what would not fit, rather than have the system end the process midway.
fn check_memory(file: &dyn WeightsFile, spec: &ArchSpec, kv_bytes: usize) -> Result<()> {
    let needed = Decoder::weight_bytes(file, spec)? + kv_bytes as u64;
    if let Some(free) = sizing::free_memory_bytes() {
        ensure!(
            needed <= free,
            "weights and a KV cache for the largest batch at the longest context take {}, and {} are \
             free: ask for a smaller --decode or --context",
            bytes_text(needed),
            bytes_text(free)
        );
    }
    Ok(())
}

fn kv_name(chosen: KvCacheType) -> &'static str {
    match chosen {
        KvCacheType::F16 => "f16",
        KvCacheType::Q8_0 => "q8_0",
    }
}

fn bar_style() -> ProgressStyle {
    let template = "measuring [{bar:40}] {human_pos} of {human_len} tokens, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
