//! Which models a server has: from the command line to declared models.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sconce_catalog::{Catalog, ModelCard, ModelKind, ModelReference};
use sconce_pipeline::{AdmissionLimits, DeclaredModel, ModelLoader, NameTaken, Pipeline, Served};
use tokio::runtime::Handle;

use crate::arguments::{FetchArguments, LimitArguments, ServeArguments};
use crate::encoder::EncoderLoader;
use crate::loading::FileLoader;
use crate::model_limit::{Change, ModelLimit};

/// A model that was asked for, before its file is looked at.
#[derive(Debug)]
struct Declaration {
    named: Named,
    takes: Takes,
}

/// How a model is called and kept, whatever it does.
#[derive(Debug)]
struct Named {
    /// As it was written.
    source: String,
    reference: ModelReference,
    name: String,
    aliases: Vec<String>,
    idle_unload_s: u64,
}

/// What a model takes on.
#[derive(Debug)]
enum Takes {
    /// It continues texts.
    Answers(LimitArguments),
    /// It reads texts, so many at once.
    Texts(NonZeroU32),
}

/// What the server has for all its models.
struct Shared<'a> {
    arguments: &'a ServeArguments,
    fetching: &'a FetchArguments,
    memory_bytes: Option<u64>,
    runtime: Handle,
}

/// Makes the models of the command line known, the default one first. Nothing is fetched or read yet.
pub(crate) fn declare(
    pipeline: &Pipeline,
    arguments: &ServeArguments,
    fetching: &FetchArguments,
    memory_bytes: Option<u64>,
) -> Result<()> {
    let shared = Shared {
        arguments,
        fetching,
        memory_bytes,
        runtime: Handle::current(),
    };
    for Declaration { named, takes } in declarations(arguments)? {
        match takes {
            Takes::Answers(limits) => shared.declare_generator(pipeline, named, limits)?,
            Takes::Texts(texts_max) => shared.declare_encoder(pipeline, named, texts_max)?,
        }
    }
    Ok(())
}

/// Whether there are such models, as far as it can be known without fetching or reading one.
pub(crate) fn check(arguments: &ServeArguments, fetching: &FetchArguments) -> Result<()> {
    let mut names = HashSet::new();
    for declaration in declarations(arguments)? {
        let Named { name, aliases, .. } = declaration.named;
        for name in std::iter::once(name).chain(aliases) {
            if names.contains(&name) {
                bail!("two models are called {name}; leave one of them or its alias out");
            }
            names.insert(name);
        }
    }
    if let Some(folder) = fetching.cache_dir.as_ref().filter(|it| it.is_file()) {
        bail!("cache_dir {} is a file and no folder", folder.display());
    }
    Ok(())
}

/// How many answers a model runs and keeps waiting, and for how long.
pub(crate) fn admission_limits(arguments: &LimitArguments) -> AdmissionLimits {
    AdmissionLimits {
        running_max: arguments.running_max.get(),
        queue_max: arguments.queue_max,
        wait_max: wait_max(arguments),
    }
}

fn wait_max(arguments: &LimitArguments) -> Option<Duration> {
    Some(Duration::from_secs(arguments.queue_timeout_s)).filter(|it| !it.is_zero())
}

impl Shared<'_> {
    fn declare_generator(
        &self,
        pipeline: &Pipeline,
        named: Named,
        limits: LimitArguments,
    ) -> Result<(), NameTaken> {
        let admission = admission_limits(&limits);
        let loader = FileLoader {
            reference: named.reference.clone(),
            fetching: self.fetching.clone(),
            limits,
            encoding: self.arguments.quantize.map(Into::into),
            threads: threads(self.arguments.threads),
            memory_bytes: self.memory_bytes,
            runtime: self.runtime.clone(),
            found: Mutex::new(None),
        };
        pipeline.declare(self.model(named, admission, Arc::new(loader)))
    }

    fn declare_encoder(
        &self,
        pipeline: &Pipeline,
        named: Named,
        texts_max: NonZeroU32,
    ) -> Result<(), NameTaken> {
        let admission =
            AdmissionLimits::of_texts(texts_max.get(), wait_max(&self.arguments.limits));
        let loader = EncoderLoader {
            reference: named.reference.clone(),
            fetching: self.fetching.clone(),
            threads: threads(self.arguments.encoder.encoder_threads),
            runtime: self.runtime.clone(),
            found: Mutex::new(None),
        };
        pipeline.declare_encoder(self.model(named, admission, Arc::new(loader)))
    }

    fn model<M: Served>(
        &self,
        named: Named,
        limits: AdmissionLimits,
        loader: Arc<dyn ModelLoader<M>>,
    ) -> DeclaredModel<M> {
        DeclaredModel {
            name: named.name.into(),
            aliases: named.aliases,
            limits,
            at_start: !self.arguments.sharing.load_on_demand,
            idle_unload: Some(Duration::from_secs(named.idle_unload_s)).filter(|it| !it.is_zero()),
            loader,
        }
    }
}

fn threads(wanted: Option<NonZeroU32>) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or(processors, |it| it.get() as usize)
}

fn declarations(arguments: &ServeArguments) -> Result<Vec<Declaration>> {
    let mut sources: Vec<&str> = arguments.named.iter().map(String::as_str).collect();
    sources.extend(arguments.model.iter().map(String::as_str));
    if sources.is_empty() {
        sources.push("default");
    }
    let mut declarations = Vec::new();
    for source in sources {
        declarations.push(declaration(arguments, source, None)?);
    }
    for source in &arguments.encoder.embeddings {
        declarations.push(declaration(arguments, source, Some(ModelKind::Encoder))?);
    }
    for alias in &arguments.sharing.alias {
        let declaration = meant(&mut declarations, "--alias", &alias.model)?;
        declaration.named.aliases.push(alias.name.clone());
    }
    for limit in &arguments.sharing.limit {
        meant(&mut declarations, "--limit", &limit.model)?.limit(limit)?;
    }
    Ok(declarations)
}

/// The model that is written `source`. Where the option does not say what it does its card does, and what
/// has no card continues texts.
fn declaration(
    arguments: &ServeArguments,
    source: &str,
    wanted: Option<ModelKind>,
) -> Result<Declaration> {
    let catalog = Catalog::builtin();
    let reference = ModelReference::parse(source, &catalog)?;
    let card: Option<&ModelCard> = match &reference {
        ModelReference::Card(name) => catalog.find(name),
        ModelReference::Path(_) | ModelReference::Hub(_) | ModelReference::HubFolder(_) => None,
    };
    let told = card.map(|it| it.kind);
    ensure!(
        told.is_none() || wanted.is_none() || told == wanted,
        "{source} is a generator and no encoder; give it with --model"
    );
    let takes = match wanted.or(told) {
        Some(ModelKind::Encoder) => Takes::Texts(arguments.encoder.texts_max),
        Some(ModelKind::Generator) | None => Takes::Answers(arguments.limits.clone()),
    };
    let named = Named {
        source: source.to_owned(),
        name: reference.served_name(),
        aliases: card.map_or_else(Vec::new, |it| it.aliases.clone()),
        reference,
        idle_unload_s: arguments.sharing.idle_unload_s,
    };
    Ok(Declaration { named, takes })
}

impl Declaration {
    /// Changes what the model would take on like the others.
    fn limit(&mut self, limit: &ModelLimit) -> Result<()> {
        match (limit.change, &mut self.takes) {
            (Change::IdleUnloadS(seconds), _) => self.named.idle_unload_s = seconds,
            (Change::KvTokens(tokens), Takes::Answers(it)) => it.kv_tokens = Some(tokens),
            (Change::RunningMax(sequences), Takes::Answers(it)) => it.running_max = sequences,
            (Change::QueueMax(requests), Takes::Answers(it)) => it.queue_max = requests,
            (Change::TextsMax(texts), Takes::Texts(texts_max)) => *texts_max = texts,
            (_, takes) => {
                let (kind, limits) = match takes {
                    Takes::Answers(_) => ("a generator", "kv-tokens, running-max, queue-max"),
                    Takes::Texts(_) => ("an encoder", "texts-max"),
                };
                bail!(
                    "{} is {kind} and has no {}; its limits are {limits} and idle-unload-s",
                    self.named.name,
                    limit.field()
                );
            }
        }
        Ok(())
    }
}

/// The model that `option` means by `word`: a name, an alias, or how it was written.
fn meant<'a>(
    declarations: &'a mut [Declaration],
    option: &str,
    word: &str,
) -> Result<&'a mut Declaration> {
    let is_meant = |it: &&mut Declaration| {
        let it = &it.named;
        it.name == word || it.source == word || it.aliases.iter().any(|alias| alias == word)
    };
    declarations.iter_mut().find(is_meant).with_context(|| {
        format!("{option} is for {word}, which is not served; serve it, too, or correct its name")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn declared(words: &[&str]) -> Result<Vec<Declaration>> {
        let words = ["sconce", "serve"].iter().chain(words);
        match Arguments::parse_from(words).command {
            Command::Serve(arguments) => declarations(&arguments),
            other => panic!("{other:?}"),
        }
    }

    fn what_is_wrong(words: &[&str]) -> String {
        format!("{:#}", declared(words).unwrap_err())
    }

    #[test]
    fn encoders_are_models_with_aliases_and_limits_of_their_own() {
        let models = declared(&[
            "smollm2",
            "minilm",
            "--embeddings",
            "org/vectors",
            "--limit",
            "minilm:texts-max=7",
            "--limit",
            "vectors:idle-unload-s=60",
            "--alias",
            "vectors=org/vectors",
        ])
        .unwrap();
        let [answers, card, folder] = &models[..] else {
            panic!("{models:?}");
        };
        assert!(matches!(answers.takes, Takes::Answers(_)));
        assert!(matches!(card.takes, Takes::Texts(it) if it.get() == 7));
        assert!(matches!(folder.takes, Takes::Texts(it) if it.get() == 4096));
        assert_eq!(folder.named.aliases, ["vectors"]);
        assert_eq!(folder.named.idle_unload_s, 60);
    }

    #[test]
    fn a_limit_of_the_other_kind_of_model_is_refused_with_those_it_has() {
        assert_eq!(
            what_is_wrong(&["minilm", "--limit", "minilm:kv-tokens=64"]),
            "all-minilm-l6-v2 is an encoder and has no kv-tokens; its limits are texts-max and \
             idle-unload-s"
        );
        assert!(
            what_is_wrong(&["smollm2", "--limit", "smollm2:texts-max=64"])
                .contains("is a generator and has no texts-max; its limits are kv-tokens,")
        );
        let generator = what_is_wrong(&["--embeddings", "smollm2"]);
        assert!(generator.contains("give it with --model"), "{generator}");
    }
}
