//! The names that published folders give to tensors, in GGUF's words.

/// What GGUF calls the tensor; `None` for one that no result depends on. A name that is not known stays
/// as it is, so that nothing claims it.
pub(super) fn converted(name: &str, ties_head: bool) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        // A copy of the embedding that some folders keep although they say that there is none.
        "lm_head.weight" if ties_head => return None,
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => {}
    }
    let in_layer = name.strip_prefix("model.layers.");
    let Some((index, part)) = in_layer.and_then(|it| it.split_once('.')) else {
        return Some(format!("{name} (as stored)"));
    };
    // Follows from the base that the description states; old folders keep it.
    if part == "self_attn.rotary_emb.inv_freq" {
        return None;
    }
    Some(match (layer_part(part), index.parse::<u32>()) {
        (Some(part), Ok(index)) => format!("blk.{index}.{part}"),
        _ => format!("{name} (as stored)"),
    })
}

fn layer_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "input_layernorm.weight" => "attn_norm.weight",
        "self_attn.q_proj.weight" => "attn_q.weight",
        "self_attn.q_proj.bias" => "attn_q.bias",
        "self_attn.k_proj.weight" => "attn_k.weight",
        "self_attn.k_proj.bias" => "attn_k.bias",
        "self_attn.v_proj.weight" => "attn_v.weight",
        "self_attn.v_proj.bias" => "attn_v.bias",
        "self_attn.q_norm.weight" => "attn_q_norm.weight",
        "self_attn.k_norm.weight" => "attn_k_norm.weight",
        "self_attn.o_proj.weight" => "attn_output.weight",
        "post_attention_layernorm.weight" => "ffn_norm.weight",
        "mlp.gate_proj.weight" => "ffn_gate.weight",
        "mlp.up_proj.weight" => "ffn_up.weight",
        "mlp.down_proj.weight" => "ffn_down.weight",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_s_tensor_gets_its_number_and_what_is_unknown_stays_unclaimed() {
        let name = |it| converted(it, false);
        let up = name("model.layers.12.mlp.up_proj.weight");
        assert_eq!(up.as_deref(), Some("blk.12.ffn_up.weight"));
        // A folder that used GGUF's own name for something else would be read wrongly.
        for other in ["token_embd.weight", "model.layers.x.mlp.up_proj.weight"] {
            assert_eq!(name(other), Some(format!("{other} (as stored)")));
        }
        assert_eq!(name("model.layers.0.self_attn.rotary_emb.inv_freq"), None);
        assert_eq!(name("lm_head.weight").as_deref(), Some("output.weight"));
        assert_eq!(converted("lm_head.weight", true), None);
    }
}
