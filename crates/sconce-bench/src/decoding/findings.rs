//! What was found of a decoder, as JSON and as a report.

use serde_json::{Value, json};

use super::peaks::Peaks;
use super::running::Measured;
use super::workload::Workload;
use crate::report::{Axis, Line, Plot, Report, Scale, Table, number, percent, schema};

/// What was measured, on what.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The model's name.
    pub model: String,
    /// Its file's architecture.
    pub family: String,
    /// Its weights as they lie in memory.
    pub weight_bytes: u64,
    /// How keys and values are stored.
    pub kv_cache_type: String,
    /// The processor's own name, if the system tells it.
    pub processor: Option<String>,
    /// The instruction set of the kernels.
    pub isa: sconce_model::Isa,
    /// Threads that computed.
    pub threads: usize,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodingFindings {
    /// Of what.
    pub subject: Subject,
    /// What the machine gives at most.
    pub peaks: Peaks,
    /// What was measured.
    pub measured: Vec<Measured>,
}

impl DecodingFindings {
    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let results = self.measured.iter().map(|it| self.measured_json(it));
        json!({
            "schema": schema("sconce.bench.model"),
            "model": {
                "name": self.subject.model,
                "family": self.subject.family,
                "weight_bytes": self.subject.weight_bytes,
                "kv_cache_type": self.subject.kv_cache_type,
            },
            "machine": {
                "processor": self.subject.processor,
                "threads": self.subject.threads,
                "instruction_set": self.subject.isa.name(),
                "peaks": self.peaks.json(),
            },
            "results": results.collect::<Vec<_>>(),
        })
    }

    fn measured_json(&self, measured: &Measured) -> Value {
        let kind = match measured.workload {
            Workload::Prefill { .. } => "prefill",
            Workload::Decode { .. } => "decode",
        };
        json!({
            "kind": kind,
            "sequences": measured.workload.sequences(),
            "context": measured.workload.context(),
            "tokens": measured.tokens,
            "tokens_per_s": measured.tokens_per_s.spread_json(),
            "bytes_per_token": measured.bytes_per_token,
            "operations_per_token": measured.operations_per_token,
            "share_of_read_bandwidth": self.bandwidth_share(measured),
            "share_of_int8_peak": self.multiply_share(measured),
        })
    }

    fn bandwidth_share(&self, measured: &Measured) -> Option<f64> {
        let rate = measured.tokens_per_s.median()?;
        Some(rate * measured.bytes_per_token / self.peaks.read_bytes_per_s)
    }

    fn multiply_share(&self, measured: &Measured) -> Option<f64> {
        let rate = measured.tokens_per_s.median()?;
        Some(rate * measured.operations_per_token / self.peaks.of(self.subject.isa)?)
    }

    /// For people.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            title: format!("Decoding {}", self.subject.model),
            facts: self.facts(),
            tables: vec![self.table()],
            plots: self.plots(),
            notes: vec![
                "Rates are medians of the repetitions after one that is not counted, with the lowest and \
                 the highest in brackets."
                    .to_owned(),
                "Bandwidth: the weights, keys and values that the steps must read, beside what this \
                 machine reads from memory; a small model lies partly in the processor's cache and can \
                 exceed it. Int8 peak: the operations of the matrix products, attention apart, beside \
                 the fastest multiplication of bytes that these instructions have."
                    .to_owned(),
            ],
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let subject = &self.subject;
        let weights = subject.weight_bytes as f64 / 1e6;
        let processor = subject.processor.as_deref().unwrap_or("unknown processor");
        let read = self.peaks.read_bytes_per_s / 1e9;
        let buffer = self.peaks.read_buffer_bytes as f64 / 1e6;
        let peaks = self.peaks.multiply.iter().map(|it| {
            let rate = it.operations_per_s / 1e9;
            format!("{} {} Gop/s", it.isa.name(), number(rate))
        });
        let peaks = peaks.collect::<Vec<_>>().join(", ");
        let (threads, isa) = (subject.threads, subject.isa.name());
        let facts = [
            (
                "model",
                format!(
                    "{}, {}, {} MB of weights",
                    subject.model,
                    subject.family,
                    number(weights)
                ),
            ),
            ("KV cache", subject.kv_cache_type.clone()),
            ("machine", format!("{processor}; {threads} threads, {isa}")),
            (
                "memory",
                format!(
                    "read at {} GB/s (test over {} MB)",
                    number(read),
                    number(buffer)
                ),
            ),
            ("int8 peak", peaks),
        ];
        facts.map(|(name, fact)| (name.to_owned(), fact)).into()
    }

    fn table(&self) -> Table {
        let row = |it: &Measured| {
            let rate = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
            let samples = &it.tokens_per_s;
            let (what, size) = match it.workload {
                Workload::Prefill { tokens, .. } => ("prefill", tokens),
                Workload::Decode { sequences, .. } => ("decode", sequences),
            };
            vec![
                format!("{what} {size}"),
                it.workload.context().to_string(),
                rate(samples.median()),
                format!("({} to {})", rate(samples.low()), rate(samples.high())),
                percent(self.bandwidth_share(it)),
                percent(self.multiply_share(it)),
            ]
        };
        let head = [
            "workload",
            "context",
            "tok/s",
            "spread",
            "of bandwidth",
            "of int8 peak",
        ];
        Table {
            title: "Speed: prompts of so many tokens, and so many sequences decoded together"
                .to_owned(),
            head: head.map(str::to_owned).into(),
            rows: self.measured.iter().map(row).collect(),
        }
    }

    fn plots(&self) -> Vec<Plot> {
        let decode = |it: Workload| match it {
            Workload::Decode { sequences, .. } => Some(sequences as f64),
            Workload::Prefill { .. } => None,
        };
        let prefill = |it: Workload| match it {
            Workload::Prefill { tokens, .. } => Some(tokens as f64),
            Workload::Decode { .. } => None,
        };
        let rate = |it: &Measured| it.tokens_per_s.median();
        let share = |it: &Measured| Some(self.bandwidth_share(it)? * 100.0);
        let ops = |it: &Measured| Some(self.multiply_share(it)? * 100.0);
        let sequences = Axis::new("sequences in the batch", Scale::Sizes);
        let tokens = Axis::new("tokens of the prompt", Scale::Sizes);
        let speed = Axis::new("tokens a second", Scale::Linear);
        let of_bandwidth = Axis::new("% of the bandwidth", Scale::Linear);
        let of_peak = Axis::new("% of the int8 peak", Scale::Linear);
        let plot = |title: &str, axes: [&Axis; 2], lines| Plot {
            title: title.to_owned(),
            x: axes[0].clone(),
            y: axes[1].clone(),
            lines,
        };
        let plots = vec![
            plot(
                "Throughput over batch",
                [&sequences, &speed],
                self.lines(&decode, &rate),
            ),
            plot(
                "Memory bandwidth used in decoding",
                [&sequences, &of_bandwidth],
                self.lines(&decode, &share),
            ),
            plot(
                "Prefill over length",
                [&tokens, &speed],
                self.lines(&prefill, &rate),
            ),
            plot(
                "Multiplication used in prefill",
                [&tokens, &of_peak],
                self.lines(&prefill, &ops),
            ),
        ];
        let has_points = |it: &Plot| it.lines.iter().any(|line| line.points.len() > 1);
        plots.into_iter().filter(has_points).collect()
    }

    /// A line for each context.
    fn lines(
        &self,
        x: &dyn Fn(Workload) -> Option<f64>,
        y: &dyn Fn(&Measured) -> Option<f64>,
    ) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for measured in &self.measured {
            let (Some(x), Some(y)) = (x(measured.workload), y(measured)) else {
                continue;
            };
            let name = format!("context {}", measured.workload.context());
            match lines.iter_mut().find(|it| it.name == name) {
                Some(line) => line.points.push((x, y)),
                None => lines.push(Line {
                    name,
                    points: vec![(x, y)],
                }),
            }
        }
        for line in &mut lines {
            line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use sconce_model::Isa;

    use super::super::peaks::IsaPeak;
    use super::*;
    use crate::Samples;

    fn findings() -> DecodingFindings {
        let measured = |workload, rates: [f64; 3]| Measured {
            workload,
            tokens: 32,
            tokens_per_s: Samples::new(rates.to_vec()),
            bytes_per_token: 1e8,
            operations_per_token: 2e8,
        };
        let decode = |sequences| Workload::Decode {
            sequences,
            context: 7,
        };
        DecodingFindings {
            subject: Subject {
                model: "a <b> model".to_owned(),
                family: "kin".to_owned(),
                weight_bytes: 96_000_000,
                kv_cache_type: "f16".to_owned(),
                processor: None,
                isa: Isa::Portable,
                threads: 2,
            },
            peaks: Peaks {
                threads: 2,
                read_buffer_bytes: 1 << 28,
                read_bytes_per_s: 4e10,
                multiply: vec![IsaPeak {
                    isa: Isa::Portable,
                    operations_per_s: 1e11,
                }],
            },
            measured: vec![
                measured(decode(1), [200.0, 210.0, 190.0]),
                measured(decode(8), [900.0, 800.0, 850.0]),
            ],
        }
    }

    #[test]
    fn shares_are_of_what_the_machine_gives() {
        let json = findings().json();
        assert_eq!(json["schema"]["name"], "sconce.bench.model");
        let first = &json["results"][0];
        assert_eq!(first["kind"], "decode");
        assert_eq!(first["tokens_per_s"]["median"], 200.0);
        assert_eq!(
            first["tokens_per_s"]["samples"].as_array().unwrap().len(),
            3
        );
        // 200 tok/s of 100 MB each are 20 of 40 GB/s, and of 0.2 Gop each 40 of 100 Gop/s.
        assert_eq!(first["share_of_read_bandwidth"], 0.5);
        assert_eq!(first["share_of_int8_peak"], 0.4);
    }

    #[test]
    fn the_report_has_a_row_for_each_workload_and_plots_of_what_has_several_points() {
        let report = findings().report();
        assert_eq!(report.tables[0].rows.len(), 2);
        assert_eq!(report.plots.len(), 2);
        let text = report.text();
        assert!(
            text.contains("decode 8") && text.contains("(190 to 210)"),
            "{text}"
        );
        assert!(text.contains("50 %"), "{text}");
    }
}
