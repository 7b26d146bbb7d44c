//! OpenAI's HTTP API over a [`Pipeline`](sconce_pipeline::Pipeline). The only crate that knows HTTP
//! and wire JSON; it decides nothing.

mod body;
mod deliver;
mod dialect;
mod error;
mod limits;
mod routes;
mod server;
mod stall;
mod wire;

pub use limits::HttpLimits;
pub use routes::{HttpState, router};
pub use server::serve;
