//! What a running server holds, by its own metrics.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use crate::output::{bytes_text, count_text};

/// The metrics that are asked for, and what they are called in the report.
const ASKED: [(&str, &str); 12] = [
    ("vllm:num_requests_running", "sequences_running"),
    ("vllm:num_requests_waiting", "sequences_waiting"),
    ("sconce_kv_blocks_total", "kv_blocks_total"),
    ("sconce_kv_blocks_referenced", "kv_blocks_used"),
    ("sconce_kv_blocks_cached", "kv_blocks_cached"),
    ("sconce_kv_blocks_free", "kv_blocks_free"),
    ("sconce_kv_block_bytes", "kv_block_bytes"),
    ("sconce_kv_evictions_total", "kv_evictions"),
    ("vllm:prefix_cache_queries_total", "prefix_tokens_queried"),
    ("vllm:prefix_cache_hits_total", "prefix_tokens_found"),
    ("vllm:num_preemptions_total", "preemptions"),
    ("sconce_displacements_total", "displacements"),
];

/// A server that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerFacts {
    pub(super) url: String,
    /// What it says of itself.
    pub(super) status: String,
    pub(super) models: Vec<ModelFacts>,
}

/// The numbers of one of its models, by their names in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelFacts {
    name: String,
    counts: BTreeMap<&'static str, u64>,
}

impl ServerFacts {
    /// Asks the server at `url`.
    pub(super) async fn ask(url: &str, key: Option<&str>) -> Result<Self> {
        let url = url.trim_end_matches('/');
        let client = Client::new();
        let get = async |path: &str| {
            let mut request = client.get(format!("{url}{path}"));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            request
                .send()
                .await
                .with_context(|| format!("no server answers at {url}{path}"))
        };
        let ready: Value = get("/ready").await?.json().await.unwrap_or_default();
        let metrics = get("/metrics").await?;
        let status = metrics.status();
        ensure!(
            status.is_success(),
            "{url}/metrics answers {status}; a server with keys shows them to an admin's --key alone"
        );
        Ok(Self {
            url: url.to_owned(),
            status: ready["status"].as_str().unwrap_or("unknown").to_owned(),
            models: models_in(&metrics.text().await?),
        })
    }

    pub(super) fn json(&self) -> Value {
        let model = |it: &ModelFacts| {
            let mut object = json!({"name": it.name, "adds_up": it.adds_up()});
            for (_, name) in ASKED {
                object[name] = json!(it.counts.get(name));
            }
            object
        };
        json!({
            "url": self.url,
            "status": self.status,
            "models": self.models.iter().map(model).collect::<Vec<_>>(),
        })
    }
}

/// The models that the metrics tell of, and their numbers.
fn models_in(text: &str) -> Vec<ModelFacts> {
    let mut models: BTreeMap<String, ModelFacts> = BTreeMap::new();
    for (metric, name, value) in text.lines().filter_map(sample) {
        let Some((_, asked)) = ASKED.iter().find(|it| it.0 == metric) else {
            continue;
        };
        let facts = models.entry(name.clone()).or_insert_with(|| ModelFacts {
            name,
            counts: BTreeMap::new(),
        });
        facts.counts.insert(asked, value);
    }
    models.into_values().collect()
}

/// The metric, the model and the count of a line such as `name{engine="0",model_name="tiny"} 3`.
fn sample(line: &str) -> Option<(&str, String, u64)> {
    let (metric, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let (_, model) = labels.split_once("model_name=\"")?;
    let value: f64 = value.trim().parse().ok()?;
    Some((metric, unescaped(model), value as u64))
}

/// A label's value up to its closing quote.
fn unescaped(text: &str) -> String {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => break,
            '\\' => value.extend(chars.next().map(|it| if it == 'n' { '\n' } else { it })),
            other => value.push(other),
        }
    }
    value
}

impl ModelFacts {
    fn count(&self, name: &str) -> Option<u64> {
        self.counts.get(name).copied()
    }

    /// Whether each block is told of once; `None` where the server does not tell all.
    fn adds_up(&self) -> Option<bool> {
        let [total, used, cached, free] = [
            "kv_blocks_total",
            "kv_blocks_used",
            "kv_blocks_cached",
            "kv_blocks_free",
        ]
        .map(|it| self.count(it));
        Some(total? == used? + cached? + free?)
    }
}

/// A model of a server, for people.
pub(super) fn of_model(facts: &ModelFacts) -> Vec<String> {
    let text = |name| facts.count(name).map_or_else(|| "?".to_owned(), count_text);
    let bytes = facts
        .count("kv_blocks_total")
        .zip(facts.count("kv_block_bytes"));
    let bytes = bytes.map_or_else(String::new, |(blocks, each)| {
        format!(", {}", bytes_text(blocks.saturating_mul(each)))
    });
    let warning = match facts.adds_up() {
        Some(false) => "; THESE DO NOT ADD UP",
        Some(true) | None => "",
    };
    vec![
        format!(
            "  {}: {} sequences run, {} wait; {} preemptions, {} displacements",
            facts.name,
            text("sequences_running"),
            text("sequences_waiting"),
            text("preemptions"),
            text("displacements"),
        ),
        format!(
            "    {} KV blocks{bytes}: {} used, {} cached, {} free{warning}",
            text("kv_blocks_total"),
            text("kv_blocks_used"),
            text("kv_blocks_cached"),
            text("kv_blocks_free"),
        ),
        format!(
            "    {} of {} prompt tokens found in the cache, {} evictions",
            text("prefix_tokens_found"),
            text("prefix_tokens_queried"),
            text("kv_evictions"),
        ),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const METRICS: &str = "# TYPE sconce_kv_blocks_total gauge\n\
        sconce_kv_blocks_total{engine=\"0\",model_name=\"tiny\"} 1024\n\
        sconce_kv_blocks_referenced{engine=\"0\",model_name=\"tiny\"} 12\n\
        sconce_kv_blocks_cached{engine=\"0\",model_name=\"tiny\"} 400\n\
        sconce_kv_blocks_free{engine=\"0\",model_name=\"tiny\"} 612\n\
        sconce_kv_block_bytes{engine=\"0\",model_name=\"tiny\"} 368640\n\
        vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 3\n\
        vllm:num_requests_running{engine=\"0\",model_name=\"a \\\"b\\\"\"} 1\n\
        process_resident_memory_bytes 5\n";

    pub(crate) fn busy() -> ServerFacts {
        let models = models_in(METRICS);
        ServerFacts {
            url: "http://localhost".to_owned(),
            status: "ready".to_owned(),
            models: models.into_iter().filter(|it| it.name == "tiny").collect(),
        }
    }

    #[test]
    fn every_block_is_accounted_for() {
        let facts = &busy().models[0];
        assert_eq!(facts.adds_up(), Some(true));
        let told = of_model(facts);
        assert_eq!(
            told[1],
            "    1,024 KV blocks, 377 MB: 12 used, 400 cached, 612 free"
        );
        assert!(told[0].contains("3 sequences run, ? wait"), "{told:?}");
    }

    #[test]
    fn a_block_that_is_lost_is_told() {
        let lossy = METRICS.replace("} 612", "} 611");
        let facts = models_in(&lossy).into_iter().find(|it| it.name == "tiny");
        let facts = facts.expect("the model is there");
        assert_eq!(facts.adds_up(), Some(false));
        assert!(of_model(&facts)[1].ends_with("DO NOT ADD UP"));
    }

    #[test]
    fn a_server_that_tells_less_is_read_all_the_same() {
        let models = models_in(METRICS);
        assert_eq!(models[0].name, "a \"b\"");
        assert_eq!(models[0].adds_up(), None);
        assert!(of_model(&models[0])[1].starts_with("    ? KV blocks: ? used"));
        assert!(models_in("no metrics { at \" all").is_empty());
    }
}
