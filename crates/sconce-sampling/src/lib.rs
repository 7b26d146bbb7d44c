//! Logits to token: mask, bias, penalties, temperature, truncation, a seeded draw, log-probabilities.
//!
//! The order, which decides what the parameters mean together:
//!
//! 1. Log-probabilities are read off the model's own distribution, before anything changes it.
//! 2. A mask takes away what may not be drawn: those logits become minus infinity.
//! 3. The client's bias is added to the logits.
//! 4. Penalties change the logits: repetition, then presence and frequency.
//! 5. What is withheld, since the answer is too short to end, becomes impossible. If nothing else
//!    is possible it is not withheld.
//! 6. A temperature of zero takes the largest logit, the lowest id among equals, and ends here.
//! 7. Temperature divides the logits.
//! 8. Top-k keeps the most likely tokens, the lowest ids among equals.
//! 9. Top-p keeps the fewest of *those* whose share of their sum reaches it.
//! 10. Min-p drops what is too unlikely beside the most likely token.
//! 11. Typical-p keeps the fewest of *those* whose share of their sum reaches it, those first whose
//!     surprise is nearest to the entropy of what is left.
//! 12. A number made from the seed and the position picks one of what is left.
//!
//! vLLM differs in one place: it applies min-p before top-k and top-p, so that there top-p's sum
//! is over what min-p left. Each of the three keeps a front part of the ranking, so the order
//! matters for that sum alone. Typical-p keeps no front part: it may drop the most likely token. So
//! it comes last, as in Transformers; llama.cpp has it between top-k and top-p, before temperature.
//!
//! A logit that is not a number counts as minus infinity, and minus infinity is never drawn. If
//! nothing else is there, the draw is token 0: the caller's device is broken then, and says so.
//!
//! *Why no sort:* a vocabulary has up to 152 thousand entries and a step draws for every sequence.
//! Each cut is a threshold found by selection, so the cost is a few passes over the logits.

mod exponential;
mod generator;
mod logprobs;
mod masking;
mod overlay;
mod penalties;
mod rank;
mod sampler;
mod truncation;
mod typical;

pub use generator::{random_bits, random_unit};
pub use sampler::{DrawContext, Sampler};
