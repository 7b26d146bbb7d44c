//! Chat templates of published models against renderings by Jinja2.

mod shared_data;

use std::collections::HashMap;

use expect_test::expect;
use sconce_text::{ChatTemplate, CivilTime, SpeechFormat, TextError};
use serde_json::Value;

/// 2024-07-26 12:00:00, the moment of the renderings.
const NOW_UNIX_SECONDS: i64 = 1_721_995_200;

#[test]
fn every_template_renders_every_case_as_jinja_does() {
    let Some(folder) = shared_data::folder("data/text") else {
        return;
    };
    let cases = std::fs::read_to_string(folder.join("chat_cases.json")).expect("it is readable");
    let cases: Value = serde_json::from_str(&cases).expect("the cases are JSON");
    let mut templates: HashMap<String, Result<ChatTemplate, TextError>> = HashMap::new();
    let mut failures = Vec::new();
    let expected = shared_data::json_lines(folder.join("chat_expected.jsonl"));
    for row in &expected {
        let (name, case) = (row["template"].as_str().expect("a name"), &row["case"]);
        let template = templates.entry(name.to_owned()).or_insert_with(|| {
            let path = folder.join("chat_templates").join(name);
            let source = std::fs::read_to_string(path).expect("the template is readable");
            ChatTemplate::new(&source, "", "")
        });
        let case_name = case.as_str().expect("a case");
        let now = CivilTime::from_unix_seconds(NOW_UNIX_SECONDS);
        let rendered = template
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|it| it.render_value(&cases[case_name], now));
        let is_right = match (&rendered, row["text"].as_str(), row["raises"].as_str()) {
            (Ok(have), Some(want), _) => have == want,
            (Err(TextError::TemplateRefused { reason }), None, Some("raise_exception")) => {
                row["message"] == reason.as_str()
            }
            (Err(_), None, Some(raised)) => raised != "raise_exception",
            // Python refuses to loop over nothing. Here that is a list without items, and the text
            // is the one that Python gives where the variable is missing instead.
            (Ok(have), None, Some("TypeError")) => {
                row["if_null_left_undefined"]["text"] == have.as_str()
            }
            _ => false,
        };
        if !is_right {
            failures.push(format!("{name} {case}\n  want {row}\n  have {rendered:?}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(expected.len(), 350);
}

#[test]
fn the_way_a_model_calls_is_read_off_its_template_or_not_guessed() {
    let Some(folder) = shared_data::folder("data/text/chat_templates") else {
        return;
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("its entries are readable").path();
        let source = std::fs::read_to_string(&path).expect("the template is readable");
        let name = path.file_stem().expect("it has a name").to_string_lossy();
        let tells = if source.contains("tools") {
            "tells"
        } else {
            "teach"
        };
        let format = SpeechFormat::of_template(&source).map_or("unknown", |it| it.name);
        found.push(format!("{tells} {format} {name}"));
    }
    found.sort();
    expect![[r#"
        teach tagged deepseek-ai-DeepSeek-R1-Distill-Qwen-32B
        teach tagged google-gemma-2-2b-it
        teach tagged llama-cpp-rwkv-world
        teach tagged microsoft-Phi-3.5-mini-instruct
        tells bare meta-llama-Llama-3.2-3B-Instruct
        tells elements Qwen3-Coder
        tells elements StepFun3.5-Flash
        tells invoked deepseek-ai-DeepSeek-V3.2
        tells invoked deepseek-ai-DeepSeek-V4
        tells keyed GLM-4.7-Flash
        tells keyed inclusionai-ling-3.0-flash
        tells keyed poolside-Laguna-XS-2.1
        tells listed mistralai-Mistral-Nemo-Instruct-2407
        tells named Mistral-Small-3.2-24B-Instruct-2506
        tells named unsloth-mistral-Devstral-Small-2507
        tells notation google-gemma-4-31B-it
        tells numbered Kimi-K2-Instruct
        tells opened Kimi-K3
        tells tagged Bielik-11B-v3.0-Instruct
        tells tagged MiMo-VL
        tells tagged NousResearch-Hermes-3-Llama-3.1-8B-tool_use
        tells tagged Qwen-Qwen2.5-7B-Instruct
        tells tagged Reka-Edge
        tells tagged ibm-granite-granite-4.0
        tells unknown Apertus-8B-Instruct
        tells unknown Cohere2MoE
        tells unknown CohereForAI-c4ai-command-r7b-12-2024-tool_use
        tells unknown GigaChat3.1-10B-A1.8B
        tells unknown LFM2.5-8B-A1B
        tells unknown MiniMax-M2
        tells unknown NVIDIA-Nemotron-Nano-v2
        tells unknown meetkai-functionary-medium-v3.2
        tells unknown muse-glimmer
        tells unknown openbmb-MiniCPM5-1B
        tells unknown tencent-Hy3"#]]
    .assert_eq(&found.join("\n"));
}
