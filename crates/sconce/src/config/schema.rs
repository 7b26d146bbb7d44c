//! The JSON Schema of a file, made from the options themselves.

use clap::Arg;
use serde_json::{Map, Value, json};

use super::options::{Kind, key, kind, options};

/// The schema, as editors and validators of TOML take it.
pub(crate) fn schema() -> Value {
    let properties = options().into_iter().map(|it| (key(&it), property(&it)));
    let properties: Map<String, Value> = properties.collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The config file of `sconce serve --config FILE`",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(option: &Arg) -> Value {
    let text = json!({"type": "string"});
    let kind = kind(option);
    let mut property = match &kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Bytes => json!({"type": ["integer", "string"]}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Text => text,
        Kind::Texts => json!({"anyOf": [text, {"type": "array", "items": text}]}),
        Kind::Pairs => {
            let plain = json!({"type": ["string", "integer"]});
            let table = json!({"type": "object", "additionalProperties": plain});
            json!({"type": "object", "additionalProperties": {"anyOf": [plain, table]}})
        }
    };
    if let Some(help) = option.get_help() {
        let line: Vec<String> = help
            .to_string()
            .lines()
            .map(|it| it.trim().to_owned())
            .collect();
        property["description"] = line.join(" ").into();
    }
    let default = option
        .get_default_values()
        .first()
        .and_then(|it| it.to_str());
    property["default"] = match (&kind, default) {
        (_, None) => return property,
        (Kind::Flag, Some(word)) => (word == "true").into(),
        (Kind::Integer, Some(word)) => word.parse::<i64>().map_or(word.into(), Value::from),
        (_, Some(word)) => word.into(),
    };
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_type_of_its_own_and_a_description() {
        let schema = schema();
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.len() > 25, "{}", properties.len());
        assert!(properties.values().all(|it| it["description"].is_string()));
        for (key, part) in [
            ("running_max", json!({"type": "integer"})),
            ("load_on_demand", json!({"type": "boolean"})),
            ("memory_max", json!({"type": ["integer", "string"]})),
            ("kv_cache_type", json!({"enum": ["f16", "q8_0"]})),
            (
                "listen",
                json!({"type": "string", "default": "127.0.0.1:8080"}),
            ),
            ("drain_timeout_s", json!({"default": 30})),
        ] {
            for (name, value) in part.as_object().unwrap() {
                assert_eq!(&properties[key][name], value, "{key}");
            }
        }
        for absent in ["config", "help", "version", "named"] {
            assert!(!properties.contains_key(absent), "{absent}");
        }
    }
}
