//! What the black-box tests stand on: golden facts, and how far two distributions are apart.

mod divergence;
mod golden;
mod models;
mod python;

pub use divergence::{Divergence, divergence, divergence_from, summary};
pub use golden::{
    Chat, ChatTurn, Completion, Golden, GoldenError, LikelyToken, ModelName, Position, Tokenization,
};
pub use models::model_file;
pub use python::python_with;
