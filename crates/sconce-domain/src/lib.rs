//! The words Sconce is told in: ids, units, requests, messages. No logic, no serde.

mod allowance;
mod caller;
mod encoder_text;
mod grammar;
mod ids;
mod kv_groups;
mod message;
mod outcome;
mod precedence;
mod record;
mod sampling;
mod token_mask;
mod tool;
mod units;

pub use allowance::{Allowance, Limits, Subject};
pub use caller::Caller;
pub use encoder_text::EncoderText;
pub use grammar::{CallForm, FreeCalls, FunctionForm, Grammar};
pub use ids::{BlockId, RequestId, SequenceId, TenantId, TokenId};
pub use kv_groups::{KvGroups, Reach};
pub use message::{Message, Role};
pub use outcome::{Draw, Failure, FinishReason, TokenLogprob, TokenLogprobs, Usage};
pub use precedence::{Priority, Weight};
pub use record::{ClosedRecord, OpenedRecord, RecordedAnswer, RecordedInput, RecordedOutput};
pub use sampling::{Penalties, Sampling, TokenBias, Truncation, Withheld};
pub use token_mask::TokenMask;
pub use tool::{Tool, ToolCall, ToolChoice, ToolUse};
pub use units::{BlockCount, BlockSize, TokenCount};
