//! `sconce bench`: measures a model on this machine, or a server.

mod arguments;
mod model;
mod output;

use anyhow::Result;

pub(crate) use arguments::BenchAction;

use crate::arguments::FetchArguments;

/// Measures what was asked for.
pub(crate) async fn run(action: BenchAction, fetching: &FetchArguments) -> Result<()> {
    match action {
        BenchAction::Model(arguments) => model::run(arguments, fetching).await,
    }
}
