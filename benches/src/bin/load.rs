//! A closed-loop load of streaming completions against any OpenAI-compatible server.
//!
//! Usage: `load URL CLIENTS [REQUESTS_PER_CLIENT] [MAX_TOKENS] [MODEL]`, for example
//! `load http://127.0.0.1:8080 32`. Every client sends its requests one after the other, at
//! temperature zero. Prompts have about 120 tokens and are distinct from their first word on, so that
//! no prefix cache helps within a run. A second run sends the same ones, so a server that has seen the
//! first finds them in its cache: start it anew to measure prompts as well. Prints tokens a second over
//! all clients, the time to the first token and the time between tokens.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

const USAGE: &str = "usage: load URL CLIENTS [REQUESTS_PER_CLIENT] [MAX_TOKENS] [MODEL]";

/// What is asked of the server.
#[derive(Debug, Clone)]
struct Load {
    /// `HOST:PORT`.
    address: String,
    clients: u64,
    requests: u64,
    tokens_max: u64,
    model: Option<String>,
}

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    tokens: u64,
    prompt_tokens: u64,
    /// Requests for which the server did not count tokens, so that events stand for them.
    uncounted: u64,
    first_token_ms: Vec<f64>,
    between_tokens_ms: Vec<f64>,
}

fn main() -> Result<()> {
    let load = Load::parse(std::env::args().skip(1))?;
    let begun = Instant::now();
    let clients = (0..load.clients).map(|client| {
        let load = load.clone();
        std::thread::spawn(move || run_client(&load, client))
    });
    let mut all = Seen::default();
    for client in clients.collect::<Vec<_>>() {
        match client.join() {
            Ok(seen) => all.add(seen?),
            Err(_) => bail!("a client panicked"),
        }
    }
    let told = report(&mut std::io::stdout().lock(), &load, all, begun.elapsed());
    Ok(unless_the_reader_left(told)?)
}

/// Whoever reads the report may stop early, as `head` does.
fn unless_the_reader_left(told: std::io::Result<()>) -> std::io::Result<()> {
    told.or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

impl Load {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = arguments;
        let url = arguments.next().context(USAGE)?;
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        ensure!(
            !address.contains('/'),
            "{url} is not of the form http://HOST:PORT; only plain HTTP is spoken"
        );
        let mut number = |default: u64| {
            let next = arguments.next();
            next.map_or(Ok(default), |it| {
                it.parse()
                    .with_context(|| format!("{it:?} is no count; {USAGE}"))
            })
        };
        Ok(Self {
            address: address.to_owned(),
            clients: number(1)?,
            requests: number(4)?,
            tokens_max: number(128)?,
            model: arguments.next(),
        })
    }

    /// The request's body. Streams end with the usage where a server knows that option.
    fn body(&self, client: u64, request: u64) -> String {
        let mut body = json!({
            "prompt": prompt(client, request),
            "max_tokens": self.tokens_max,
            "temperature": 0,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if let Some(model) = &self.model {
            body["model"] = json!(model);
        }
        body.to_string()
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.prompt_tokens += other.prompt_tokens;
        self.uncounted += other.uncounted;
        self.first_token_ms.extend(other.first_token_ms);
        self.between_tokens_ms.extend(other.between_tokens_ms);
    }

    /// Notes that text came just now, after the request's begin or after the text before.
    fn note(&mut self, begun: Instant, before: Option<Instant>) {
        let since = before.unwrap_or(begun).elapsed().as_secs_f64() * 1e3;
        let times = match before {
            None => &mut self.first_token_ms,
            Some(_) => &mut self.between_tokens_ms,
        };
        times.push(since);
    }
}

fn report(
    out: &mut impl Write,
    load: &Load,
    mut all: Seen,
    elapsed: Duration,
) -> std::io::Result<()> {
    let rate = all.tokens as f64 / elapsed.as_secs_f64();
    let requests = load.clients * load.requests;
    writeln!(
        out,
        "{} clients: {rate:.1} tok/s ({} tokens of {requests} answers in {:.1} s; {:.0} tokens a prompt)",
        load.clients,
        all.tokens,
        elapsed.as_secs_f64(),
        all.prompt_tokens as f64 / requests as f64
    )?;
    if all.uncounted > 0 {
        writeln!(
            out,
            "the server told no usage for {} answers: their events are counted instead",
            all.uncounted
        )?;
    }
    writeln!(
        out,
        "{}",
        line("time to first token", &mut all.first_token_ms)
    )?;
    writeln!(
        out,
        "{}",
        line("time between tokens", &mut all.between_tokens_ms)
    )
}

fn line(what: &str, values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = |share: f64| values.get((last as f64 * share).round() as usize);
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| at(share).copied().unwrap_or(f64::NAN));
    format!("{what}: p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms")
}

fn run_client(load: &Load, client: u64) -> Result<Seen> {
    let mut seen = Seen::default();
    for request in 0..load.requests {
        stream(&load.address, &load.body(client, request), &mut seen)?;
    }
    Ok(seen)
}

/// A text that no other request begins with.
fn prompt(client: u64, request: u64) -> String {
    const WORDS: [&str; 10] = [
        "river", "stone", "cloud", "market", "silver", "engine", "garden", "window", "paper",
        "bridge",
    ];
    let mut text = format!("{client}-{request}: a story in which the following things are found:");
    for index in 0..100 {
        text.push(' ');
        text.push_str(WORDS[((client * 7 + request * 3 + index * index) % 10) as usize]);
    }
    text.push_str(". It begins like this:");
    text
}

/// Sends one request and times its events.
fn stream(address: &str, body: &str, seen: &mut Seen) -> Result<()> {
    let mut socket =
        TcpStream::connect(address).with_context(|| format!("no server at {address}"))?;
    socket.set_nodelay(true)?;
    let length = body.len();
    let begun = Instant::now();
    write!(
        socket,
        "POST /v1/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut lines = BufReader::new(socket).lines();
    let status = lines.next().context("the server closed the connection")??;
    let is_ok = status.contains(" 200 ");
    let (mut last, mut texts, mut usage, mut is_done) = (None, 0, None, false);
    for line in lines {
        let line = line?;
        ensure!(
            is_ok || !line.starts_with('{'),
            "the server answers {status}: {line}"
        );
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        if data == "[DONE]" {
            is_done = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).context("the server sent a broken event")?;
        if event["choices"][0]["text"]
            .as_str()
            .is_some_and(|it| !it.is_empty())
        {
            texts += 1;
            seen.note(begun, last.replace(Instant::now()));
        }
        usage = event["usage"].as_object().cloned().or(usage);
    }
    ensure!(
        is_done,
        "the answer broke off after {texts} events (status {status})"
    );
    let counted = |name: &str| usage.as_ref().and_then(|it| it.get(name)?.as_u64());
    seen.uncounted += u64::from(counted("completion_tokens").is_none());
    seen.tokens += counted("completion_tokens").unwrap_or(texts);
    seen.prompt_tokens += counted("prompt_tokens").unwrap_or(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one line and then fails.
    struct Reader(ErrorKind, bool);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.1 {
                return Err(self.0.into());
            }
            self.1 = bytes.ends_with(b"\n");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_leaves_early_is_no_fault_and_a_full_disk_is() {
        let load = Load::parse(["http://127.0.0.1:1", "1"].map(str::to_owned).into_iter());
        let load = load.expect("these are fine arguments");
        let told_to = |kind| {
            let out = &mut Reader(kind, false);
            unless_the_reader_left(report(out, &load, Seen::default(), Duration::ZERO))
        };
        assert!(told_to(ErrorKind::BrokenPipe).is_ok());
        assert!(told_to(ErrorKind::StorageFull).is_err());
    }
}
