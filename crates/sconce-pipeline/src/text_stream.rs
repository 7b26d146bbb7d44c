//! The text of one answer, made from its tokens: whole characters, ended by stop strings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use sconce_domain::{
    Draw, Failure, FinishReason, Sampling, TokenCount, TokenId, TokenLogprob, TokenLogprobs,
};
use sconce_text::{Detokenizer, Scanned, SpeechFormat, StopScanner, StopStrings, Tokenizer};

use crate::echo::Echo;
use crate::token_stream::{TokenEvent, TokenStream, Turn};

/// A token of an answer and how likely it and its rivals were.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenReport {
    /// The token that was drawn, or stands in the prompt.
    pub chosen: TokenChance,
    /// The likeliest tokens at its place, the likeliest first.
    pub top: Vec<TokenChance>,
    /// Characters of the answer before it.
    pub offset_chars: u32,
}

/// A token and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenChance {
    /// Its text; half a character shows as U+FFFD, and `bytes` tell which half.
    pub text: String,
    /// Its bytes; none for a token that is structure and not text.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability; none for the first token of a prompt, as nothing tells
    /// it.
    pub logprob: Option<f32>,
}

/// What happened to an answer's text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TextEvent {
    Piece {
        text: String,
        tokens: Vec<TokenReport>,
    },
    Ended(FinishReason),
}

/// The text of one sequence.
#[derive(Debug)]
#[must_use = "dropping this cancels the sequence"]
pub(crate) struct TextStream {
    /// Gone as soon as a stop string was reached: the engine need not go on.
    tokens: Option<TokenStream>,
    tokenizer: Arc<Tokenizer>,
    detokenizer: Detokenizer,
    stop: StopStrings,
    scanner: StopScanner,
    /// What came of it, to be said again when it is taken back.
    draws: Vec<Draw>,
    /// Stop strings that end within so many tokens do not count.
    generated_min: u32,
    reports: Reports,
    echo: Option<Echo>,
    /// Control tokens that are its markers count as text.
    format: Option<&'static SpeechFormat>,
    ending: FinishReason,
    progress: Progress,
}

/// What the answer has cost so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) cached: Option<TokenCount>,
    pub(crate) generated: u32,
    pub(crate) first_token: Option<Instant>,
    /// The stop string that ended it, by its place in the list.
    pub(crate) stopped_by: Option<u32>,
    /// The sum of its tokens' log-probabilities, where they are told.
    logprob_sum: f64,
}

impl Progress {
    /// The mean log-probability of a token; not a number without tokens.
    pub(crate) fn mean_logprob(&self) -> f64 {
        self.logprob_sum / f64::from(self.generated)
    }
}

/// Reports of tokens whose text has not been sent yet, and where the text stands.
#[derive(Debug, Default)]
struct Reports {
    held: VecDeque<HeldReport>,
    produced_bytes: usize,
    produced_chars: u32,
    sent_bytes: usize,
}

#[derive(Debug)]
struct HeldReport {
    start_bytes: usize,
    report: TokenReport,
}

impl TextStream {
    pub(crate) fn new(
        tokens: TokenStream,
        tokenizer: Arc<Tokenizer>,
        stop: &StopStrings,
        generated_min: TokenCount,
        echo: Option<Echo>,
    ) -> Self {
        let reports = Reports {
            produced_chars: echo.as_ref().map_or(0, Echo::chars),
            ..Reports::default()
        };
        Self {
            tokens: Some(tokens),
            tokenizer,
            detokenizer: Detokenizer::after_prompt(),
            stop: stop.clone(),
            scanner: stop.scanner(),
            draws: Vec::new(),
            generated_min: generated_min.0,
            reports,
            echo,
            format: None,
            ending: FinishReason::Stop,
            progress: Progress::default(),
        }
    }

    /// Gives out the markers of `format` as text, for a parser to read.
    pub(crate) fn with_markers_of(self, format: Option<&'static SpeechFormat>) -> Self {
        Self { format, ..self }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Gives the sequence up if it has not started.
    pub(crate) fn expire(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.expire();
        }
    }

    /// Waits until the sequence has started, or will not.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let tokens = self.tokens.as_mut();
        tokens.map_or(Poll::Ready(Turn::Came), |it| it.poll_turn(context))
    }

    /// The next event. `Ended` is the last.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<TextEvent> {
        while let Some(tokens) = &mut self.tokens {
            if let Some(echo) = self
                .echo
                .as_mut()
                .filter(|_| self.progress.cached.is_some())
            {
                let told = ready!(echo.poll_shared(&self.tokenizer));
                if let Some(piece) = piece(String::new(), told) {
                    return Poll::Ready(piece);
                }
            }
            let piece = match ready!(tokens.poll_event(context)) {
                TokenEvent::Started { cached } => self.begin(cached),
                TokenEvent::Scored { scores } => self.tell_scores(&scores),
                TokenEvent::Token { draw, at } => {
                    self.progress.first_token.get_or_insert(at);
                    let piece = self.take(&draw);
                    self.draws.push(draw);
                    piece
                }
                TokenEvent::Unsaid { draw } => {
                    self.report(&draw, "");
                    None
                }
                TokenEvent::Rewound => None,
                TokenEvent::Expired => self.end(FinishReason::Failed(Failure::Deadline)),
                TokenEvent::Ended { reason } => self.end(reason),
            };
            if let Some(piece) = piece {
                return Poll::Ready(piece);
            }
        }
        Poll::Ready(TextEvent::Ended(self.ending))
    }

    /// Takes the answer back to its first `kept` tokens; see [`TokenStream::rewind`]. What stands is
    /// said again, from its beginning. None if the answer has ended, has not come so far, or begins
    /// with its prompt.
    pub(crate) fn rewind(
        &mut self,
        kept: TokenCount,
        change: impl FnOnce(&mut Sampling),
    ) -> Option<Vec<TextEvent>> {
        let tokens = self.tokens.as_mut()?;
        if kept.0 > self.progress.generated || self.echo.is_some() {
            return None;
        }
        tokens.rewind(kept, change);
        self.draws.truncate(kept.0 as usize);
        self.detokenizer = Detokenizer::after_prompt();
        self.scanner = self.stop.scanner();
        self.reports = Reports::default();
        self.progress = Progress {
            generated: 0,
            logprob_sum: 0.0,
            stopped_by: None,
            ..self.progress
        };
        let draws = std::mem::take(&mut self.draws);
        let pieces = draws.iter().filter_map(|it| self.take(it)).collect();
        self.draws = draws;
        Some(pieces)
    }

    /// What a preempted sequence finds on its return is its own work, so only its first start counts.
    fn begin(&mut self, cached: TokenCount) -> Option<TextEvent> {
        if self.progress.cached.is_some() {
            return None;
        }
        self.progress.cached = Some(cached);
        let (text, tokens) = self.echo.as_mut()?.begin(&self.tokenizer);
        piece(text, tokens)
    }

    fn tell_scores(&mut self, scores: &[TokenLogprobs]) -> Option<TextEvent> {
        let tokens = self.echo.as_mut()?.score(&self.tokenizer, scores);
        piece(String::new(), tokens)
    }

    /// Notes a token and the text that it completed.
    fn report(&mut self, draw: &Draw, text: &str) {
        let report = draw.logprobs.as_ref().map(|it| report(&self.tokenizer, it));
        self.reports.produce(text, report);
    }

    fn take(&mut self, draw: &Draw) -> Option<TextEvent> {
        self.progress.generated += 1;
        let logprob = draw.logprobs.as_ref().map(|it| it.chosen.logprob);
        self.progress.logprob_sum += f64::from(logprob.unwrap_or_default());
        let bytes = self.tokenizer.token_bytes(draw.token);
        let text = match self.format {
            Some(format) if bytes.is_empty() => {
                let text = self.tokenizer.token_text(draw.token);
                let marker = if format.is_marker(&text) { &*text } else { "" };
                self.detokenizer.push(marker.as_bytes())
            }
            _ => self.detokenizer.push(bytes),
        };
        self.report(draw, &text);
        let scanned = self.scan(&text);
        if let Some(index) = scanned.stopped_by {
            self.stop_at(index);
        }
        let tokens = self.reports.send(&scanned.text);
        piece(scanned.text, tokens)
    }

    /// The stop string at `index` was said: the engine need not go on.
    fn stop_at(&mut self, index: usize) {
        self.tokens = None;
        self.progress.stopped_by = u32::try_from(index).ok();
    }

    fn scan(&mut self, text: &str) -> Scanned {
        if self.progress.generated > self.generated_min {
            return self.scanner.push(text);
        }
        Scanned {
            text: self.scanner.pass(text),
            stopped_by: None,
        }
    }

    /// Gives out what was held back, now that nothing can come after it.
    fn end(&mut self, reason: FinishReason) -> Option<TextEvent> {
        self.tokens = None;
        self.ending = reason;
        let rest = self.detokenizer.finish();
        let scanned = self.scan(&rest);
        let mut text = scanned.text;
        if let Some(index) = scanned.stopped_by {
            self.ending = FinishReason::Stop;
            self.stop_at(index);
        } else {
            text.push_str(&self.scanner.finish());
        }
        let tokens = self.reports.send_all();
        piece(text, tokens)
    }
}

fn piece(text: String, tokens: Vec<TokenReport>) -> Option<TextEvent> {
    let says_something = !text.is_empty() || !tokens.is_empty();
    says_something.then_some(TextEvent::Piece { text, tokens })
}

pub(crate) fn report(tokenizer: &Tokenizer, logprobs: &TokenLogprobs) -> TokenReport {
    TokenReport {
        chosen: chance(tokenizer, logprobs.chosen),
        top: logprobs
            .top
            .iter()
            .map(|it| chance(tokenizer, *it))
            .collect(),
        offset_chars: 0,
    }
}

fn chance(tokenizer: &Tokenizer, entry: TokenLogprob) -> TokenChance {
    token_chance(tokenizer, entry.token, entry.logprob)
}

pub(crate) fn token_chance(tokenizer: &Tokenizer, token: TokenId, logprob: f32) -> TokenChance {
    TokenChance {
        text: tokenizer.token_text(token).into_owned(),
        bytes: tokenizer.token_bytes(token).to_vec(),
        logprob: Some(logprob),
    }
}

impl Reports {
    /// Notes text that a token completed; the token's own text begins where the text stood.
    fn produce(&mut self, text: &str, report: Option<TokenReport>) {
        if let Some(report) = report {
            let report = TokenReport {
                offset_chars: self.produced_chars,
                ..report
            };
            self.held.push_back(HeldReport {
                start_bytes: self.produced_bytes,
                report,
            });
        }
        self.produced_bytes += text.len();
        self.produced_chars += u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    }

    /// The reports of tokens whose text has begun to be sent. A token that a stop string cuts in
    /// two is reported; one that lies behind the cut never is.
    fn send(&mut self, text: &str) -> Vec<TokenReport> {
        self.sent_bytes += text.len();
        let begun = self
            .held
            .partition_point(|it| it.start_bytes < self.sent_bytes);
        self.held.drain(..begun).map(|it| it.report).collect()
    }

    fn send_all(&mut self) -> Vec<TokenReport> {
        self.held.drain(..).map(|it| it.report).collect()
    }
}
