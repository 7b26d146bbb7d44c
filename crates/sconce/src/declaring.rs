//! Which models a server has: from the command line to declared models.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use sconce_catalog::{Catalog, ModelReference};
use sconce_pipeline::{AdmissionLimits, DeclaredModel};
use tokio::runtime::Handle;

use crate::arguments::{FetchArguments, LimitArguments, ServeArguments};
use crate::loading::FileLoader;

/// A model that was asked for, before its file is looked at.
#[derive(Debug)]
struct Declaration {
    /// As it was written.
    source: String,
    reference: ModelReference,
    name: String,
    aliases: Vec<String>,
    limits: LimitArguments,
    idle_unload_s: u64,
}

/// The models of the command line, the default one first. Nothing is fetched or read yet.
pub(crate) fn declared(
    arguments: &ServeArguments,
    fetching: &FetchArguments,
    memory_bytes: Option<u64>,
) -> Result<Vec<DeclaredModel>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(processors, |it| it.get() as usize);
    let model = |declaration: Declaration| DeclaredModel {
        name: declaration.name.into(),
        aliases: declaration.aliases,
        limits: admission_limits(&declaration.limits),
        at_start: !arguments.sharing.load_on_demand,
        idle_unload: Some(Duration::from_secs(declaration.idle_unload_s))
            .filter(|it| !it.is_zero()),
        loader: Arc::new(FileLoader {
            reference: declaration.reference,
            fetching: fetching.clone(),
            limits: declaration.limits,
            encoding: arguments.quantize.map(Into::into),
            threads,
            memory_bytes,
            runtime: Handle::current(),
            found: Mutex::new(None),
        }),
    };
    let declarations = declarations(arguments)?;
    Ok(declarations.into_iter().map(model).collect())
}

/// How many answers a model runs and keeps waiting, and for how long.
pub(crate) fn admission_limits(arguments: &LimitArguments) -> AdmissionLimits {
    AdmissionLimits {
        running_max: arguments.running_max.get(),
        queue_max: arguments.queue_max,
        wait_max: Some(Duration::from_secs(arguments.queue_timeout_s)).filter(|it| !it.is_zero()),
    }
}

fn declarations(arguments: &ServeArguments) -> Result<Vec<Declaration>> {
    let catalog = Catalog::builtin();
    let mut sources: Vec<&str> = arguments.named.iter().map(String::as_str).collect();
    sources.extend(arguments.model.iter().map(String::as_str));
    if sources.is_empty() {
        sources.push("default");
    }
    let mut declarations = Vec::new();
    for source in sources {
        let reference = ModelReference::parse(source, &catalog)?;
        let card = match &reference {
            ModelReference::Card(name) => catalog.find(name),
            ModelReference::Path(_) | ModelReference::Hub(_) | ModelReference::HubFolder(_) => None,
        };
        declarations.push(Declaration {
            source: source.to_owned(),
            name: reference.served_name(),
            aliases: card.map_or_else(Vec::new, |it| it.aliases.clone()),
            reference,
            limits: arguments.limits.clone(),
            idle_unload_s: arguments.sharing.idle_unload_s,
        });
    }
    for alias in &arguments.sharing.alias {
        let declaration = meant(&mut declarations, "--alias", &alias.model)?;
        declaration.aliases.push(alias.name.clone());
    }
    for limit in &arguments.sharing.limit {
        let declaration = meant(&mut declarations, "--limit", &limit.model)?;
        limit.apply(&mut declaration.limits, &mut declaration.idle_unload_s);
    }
    Ok(declarations)
}

/// The model that `option` means by `word`: a name, an alias, or how it was written.
fn meant<'a>(
    declarations: &'a mut [Declaration],
    option: &str,
    word: &str,
) -> Result<&'a mut Declaration> {
    let is_meant = |it: &&mut Declaration| {
        it.name == word || it.source == word || it.aliases.iter().any(|alias| alias == word)
    };
    declarations.iter_mut().find(is_meant).with_context(|| {
        format!("{option} is for {word}, which is not served; serve it, too, or correct its name")
    })
}
