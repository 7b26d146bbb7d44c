//! Fields of Anthropic's API that this server cannot honour.

use serde_json::Value;

use crate::wire::foreign::{Foreign, foreign, is_empty, is_false, never};

/// What a request may carry.
pub(super) const REQUEST: &[Foreign] = &[
    foreign("service_tier", is_any_tier),
    foreign("thinking", never),
    foreign("container", never),
    foreign("context_management", is_empty),
    foreign("mcp_servers", is_empty),
    foreign("inference_geo", never),
    foreign("speed", never),
    foreign("betas", is_empty),
];

/// What a function may carry.
pub(super) const TOOL: &[Foreign] = &[
    foreign("defer_loading", is_false),
    foreign("eager_input_streaming", is_false),
    foreign("input_examples", is_empty),
    foreign("allowed_callers", is_direct),
];

/// What a block of text may carry.
pub(super) const TEXT: &[Foreign] = &[foreign("citations", is_empty)];

/// What the form of an answer may carry.
pub(super) const OUTPUT: &[Foreign] = &[foreign("effort", never), foreign("task_budget", never)];

/// There is one tier, so that either wish is granted.
fn is_any_tier(value: &Value) -> bool {
    matches!(value.as_str(), Some("auto" | "standard_only"))
}

fn is_direct(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|it| it.iter().all(|caller| caller == "direct"))
}
