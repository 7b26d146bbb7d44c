//! `sconce doctor`: what this machine has, what each model needs, and what a running server holds.

mod models;
mod server;

use anyhow::Result;
use sconce_model::Isa;
use serde_json::{Value, json};

use self::models::ModelNeeds;
use self::server::{ServerFacts, of_model};
use crate::arguments::{DoctorArguments, FetchArguments};
use crate::fetch;
use crate::machine::Machine;
use crate::output::{bytes_text, say};

/// Says what there is to say.
pub(crate) async fn run(arguments: DoctorArguments, fetching: &FetchArguments) -> Result<()> {
    let report = Report {
        machine: Machine::look(),
        cache: fetch::cache(fetching)?.root().display().to_string(),
        models: models::of_catalog(&fetch::cache(fetching)?),
        server: match &arguments.url {
            Some(url) => Some(ServerFacts::ask(url, arguments.key.as_deref()).await?),
            None => None,
        },
    };
    if arguments.json {
        say(&format!("{:#}", report.json()));
    } else {
        report.lines().iter().for_each(|it| say(it));
    }
    Ok(())
}

/// Everything that the doctor knows.
struct Report {
    machine: Machine,
    cache: String,
    models: Vec<ModelNeeds>,
    server: Option<ServerFacts>,
}

impl Report {
    fn json(&self) -> Value {
        let affordable = self.machine.affordable_bytes();
        let models = self.models.iter().map(|it| it.json(affordable));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine_json(&self.machine),
            "cache_dir": self.cache,
            "models": models.collect::<Vec<_>>(),
            "server": self.server.as_ref().map(ServerFacts::json),
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["machine".to_owned()];
        lines.extend(machine_lines(&self.machine));
        lines.push(format!("models, kept in {}", self.cache));
        let affordable = self.machine.affordable_bytes();
        lines.extend(self.models.iter().flat_map(|it| it.lines(affordable)));
        if let Some(server) = &self.server {
            lines.push(format!("server at {}: {}", server.url, server.status));
            lines.extend(server.models.iter().flat_map(of_model));
        }
        lines
    }
}

fn machine_json(machine: &Machine) -> Value {
    let sets = Isa::available();
    let sets: Vec<_> = sets.iter().map(|it| it.name()).collect();
    json!({
        "processor": machine.processor,
        "processors": machine.processors,
        "processors_usable": machine.processors_usable,
        "instruction_sets": sets,
        "instruction_set_used": Isa::detect().name(),
        "memory_bytes": machine.memory_bytes,
        "memory_free_bytes": machine.memory_free_bytes,
        "memory_limit_bytes": machine.limit.map(|it| it.bytes),
        "memory_limit_left_bytes": machine.limit.map(|it| it.left_bytes()),
        "memory_affordable_bytes": machine.affordable_bytes(),
    })
}

fn machine_lines(machine: &Machine) -> Vec<String> {
    let bytes = |it: Option<u64>| it.map_or_else(|| "unknown".to_owned(), bytes_text);
    let name = machine.processor.as_deref().unwrap_or("unknown");
    let count = machine.processors.unwrap_or(machine.processors_usable);
    let sets = Isa::available();
    let others: Vec<_> = sets.iter().map(|it| it.name()).collect();
    let limit = machine.limit.map_or_else(
        || "no limit of a control group".to_owned(),
        |it| {
            let (all, left) = (bytes_text(it.bytes), bytes_text(it.left_bytes()));
            format!("the control group allows {all}, {left} left")
        },
    );
    vec![
        format!(
            "  processors        {} of {count} usable, {name}",
            machine.processors_usable
        ),
        format!(
            "  instruction sets  {}; {} is used",
            others.join(", "),
            Isa::detect().name()
        ),
        format!(
            "  memory            {}, {} free; {limit}",
            bytes(machine.memory_bytes),
            bytes(machine.memory_free_bytes)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_the_same_in_text_and_in_json() {
        let report = Report {
            machine: Machine {
                processor: Some("a processor".to_owned()),
                processors: Some(8),
                processors_usable: 2,
                memory_bytes: Some(16_000_000_000),
                memory_free_bytes: Some(9_000_000_000),
                limit: None,
            },
            cache: "/models".to_owned(),
            models: vec![models::tests::tiny()],
            server: Some(server::tests::busy()),
        };
        let text = report.lines().join("\n");
        for fact in [
            "2 of 8 usable, a processor",
            "16.00 GB, 9.00 GB free; no limit",
            "/models",
        ] {
            assert!(text.contains(fact), "{fact:?} is missing in\n{text}");
        }
        let json = report.json();
        assert_eq!(json["machine"]["processors"], 8);
        assert_eq!(
            json["machine"]["memory_affordable_bytes"],
            9_000_000_000_u64
        );
        assert_eq!(json["models"][0]["name"], "tiny");
        assert_eq!(json["server"]["models"][0]["kv_blocks_free"], 612);
        assert!(json["machine"]["instruction_sets"].is_array());
    }
}
