//! Chat templates of published models against renderings by Jinja2.

mod shared_data;

use std::collections::HashMap;

use sconce_text::{ChatTemplate, CivilTime, TextError};
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
