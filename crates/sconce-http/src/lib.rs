//! OpenAI's, Anthropic's and Ollama's HTTP APIs over a [`Pipeline`](sconce_pipeline::Pipeline). The only crate that knows HTTP
//! and wire JSON; it decides nothing.

mod access;
mod anthropic;
mod asked;
mod body;
mod deliver;
mod dialect;
mod encoding;
mod error;
mod error_body;
mod hosts;
mod limits;
mod model_routes;
mod ollama;
mod openai;
mod rate_headers;
mod routes;
mod server;
mod stall;
mod tls;
mod wire;

pub use access::{Access, SharedKeys};
pub use hosts::HostNames;
pub use limits::HttpLimits;
pub use routes::{HttpState, OPEN_PATHS, paths, router};
pub use server::serve;
pub use tls::{Tls, TlsError};
