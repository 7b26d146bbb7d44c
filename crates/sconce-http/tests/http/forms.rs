//! The ways to ask for a form, and the ways to get that wrong.

use expect_test::expect;
use serde_json::{Value, json};

use crate::bad_requests::refusals;
use crate::server::Server;
use crate::stage::Stage;
use sconce_http::HttpLimits;

const COMPLETIONS: &str = "/v1/completions";

fn with(field: &str) -> Vec<u8> {
    format!(r#"{{"prompt":"abc",{field}}}"#).into_bytes()
}

#[tokio::test]
async fn a_form_that_is_asked_for_wrongly_is_named() {
    let fields = [
        r#""response_format":"json""#,
        r#""response_format":{}"#,
        r#""response_format":{"type":"yaml"}"#,
        r#""response_format":{"type":"text","schema":{}}"#,
        r#""response_format":{"type":"json_schema"}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"name":"a"}}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"schema":{},"strict":1}}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"schema":{},"mood":1}}"#,
        r#""structured_outputs":{"choice":[]}"#,
        r#""structured_outputs":{"choice":["a",1]}"#,
        r#""structured_outputs":{"regex":5}"#,
        r#""structured_outputs":{"json":[]}"#,
        r#""structured_outputs":{"structural_tag":"a"}"#,
        r#""structured_outputs":{"regex":"a","choice":["b"]}"#,
        r#""structured_outputs":{"regex":"a"},"response_format":{"type":"json_object"}"#,
        // These are asked for rightly, and this compiler refuses them.
        r#""response_format":{"type":"json_object"}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"schema":true,"strict":true}}"#,
        r#""structured_outputs":{"json":"{}"}"#,
        r#""structured_outputs":{"grammar":"start: \"a\""}"#,
        r#""grammar":"root ::= \"a\"""#,
        r#""grammar":7"#,
        r#""grammar":"start: \"a\"","response_format":{"type":"json_object"}"#,
    ];
    let bodies: Vec<Vec<u8>> = fields.iter().map(|it| with(it)).collect();
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let told = refusals(COMPLETIONS, &bodies).await;
    expect![[r#"
        400 "response_format" "invalid_value": response_format must be an object, not a string
        400 "response_format.type" "invalid_value": `response_format.type` is missing; it must be text, json_object or json_schema
        400 "response_format.type" "invalid_value": `response_format.type` is `yaml`; this server knows text, json_object or json_schema
        400 "response_format.schema" "unknown_parameter": `response_format.schema` is no field this server knows; remove it or correct its name
        400 "response_format.json_schema" "invalid_value": `response_format.json_schema` is missing; it must be an object with a `schema`
        400 "response_format.json_schema.schema" "invalid_value": `response_format.json_schema.schema` is missing; it must be a JSON Schema
        400 "response_format.json_schema.strict" "invalid_value": `response_format.json_schema.strict` must be true or false, not 1
        400 "response_format.json_schema.mood" "unknown_parameter": `response_format.json_schema.mood` is no field this server knows; remove it or correct its name
        400 "structured_outputs.choice" "invalid_value": `structured_outputs.choice` has 0 strings, it must have 1 to 4096
        400 "structured_outputs.choice" "invalid_value": `structured_outputs.choice` must hold strings only, not 1
        400 "structured_outputs.regex" "invalid_value": `structured_outputs.regex` must be a string, not 5
        400 "structured_outputs.json" "invalid_value": `structured_outputs.json` must be a JSON Schema, not a list
        400 "structured_outputs.structural_tag" "unknown_parameter": `structured_outputs.structural_tag` is no field this server knows; remove it or correct its name
        400 "structured_outputs" "invalid_value": `structured_outputs` asks for several forms; give one
        400 "structured_outputs" "invalid_value": `response_format` and `structured_outputs` both ask for a form; give one
        400 "response_format" "grammar": the grammar of `response_format` cannot be used: 0 grammars were compiled
        400 "response_format" "grammar": the grammar of `response_format` cannot be used: 0 grammars were compiled
        400 "structured_outputs" "grammar": the grammar of `structured_outputs` cannot be used: 0 grammars were compiled
        400 "structured_outputs" "grammar": the grammar of `structured_outputs` cannot be used: 0 grammars were compiled
        400 "grammar" "grammar": the grammar of `grammar` cannot be used: 0 grammars were compiled
        400 "grammar" "invalid_value": `grammar` must be a string, not 7
        400 "grammar" "invalid_value": `response_format` and `grammar` both ask for a form; give one
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn a_form_is_kept_and_what_asks_for_none_is_let_pass() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let answer = async |field: &str| {
        let reply = server.post(COMPLETIONS, &with(field)).await;
        reply.json()["choices"][0]["text"].clone()
    };
    let choice = r#""structured_outputs":{"choice":["yes"],"regex":null}"#;
    assert_eq!(answer(choice).await, json!("yes"));
    for nothing in [
        r#""structured_outputs":{"json_object":false}"#,
        r#""response_format":{"type":"text"},"structured_outputs":null"#,
    ] {
        assert_eq!(answer(nothing).await, json!("abc"), "{nothing}");
    }
}

#[tokio::test]
async fn a_form_that_fails_midway_is_told_as_such() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let broken = r#""structured_outputs":{"choice":["broken"]}"#;
    let reply = server.post(COMPLETIONS, &with(broken)).await;
    assert_eq!(reply.status, 500);
    assert_eq!(reply.json()["error"]["code"], "grammar_failed");
    let streamed = format!(r#"{broken},"stream":true"#);
    let reply = server.post(COMPLETIONS, &with(&streamed)).await;
    let last: Value = serde_json::from_str(reply.events().last().unwrap()).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(last["error"]["code"], "grammar_failed");
}
