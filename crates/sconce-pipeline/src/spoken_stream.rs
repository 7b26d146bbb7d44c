//! One answer, split into what is said, what is thought and what is called.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use sconce_domain::{FinishReason, Sampling, TokenCount};
use sconce_text::{CallIds, Listening, Reach, SpeechFormat, SpeechParser, Spoken};

use crate::answer::CallPart;
use crate::seed::Numbers;
use crate::text_stream::{Progress, TextEvent, TextStream, TokenReport};
use crate::token_stream::Turn;

/// What to listen for in the answers to a request, and in what format.
#[derive(Debug, Clone)]
pub(crate) struct Speech {
    pub(crate) format: &'static SpeechFormat,
    pub(crate) listening: Listening,
    /// An answer ends behind so many calls.
    pub(crate) calls_max: Option<u32>,
}

/// What happened to an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SpokenEvent {
    Piece {
        text: String,
        tokens: Vec<TokenReport>,
    },
    Thought(String),
    Call {
        index: u32,
        part: CallPart,
    },
    Ended(FinishReason),
}

/// The parts of one sequence's text.
#[derive(Debug)]
#[must_use = "dropping this cancels the sequence"]
pub(crate) struct SpokenStream {
    /// Gone once nothing of it is wanted any more.
    text: Option<TextStream>,
    progress: Progress,
    /// None where all text is simply said.
    listener: Option<Listener>,
    ready: VecDeque<SpokenEvent>,
    ending: FinishReason,
}

#[derive(Debug)]
struct Listener {
    speech: Speech,
    parser: SpeechParser,
    /// What its calls are called, those among them that were taken back.
    ids: Vec<String>,
    /// Calls that began, and those that ended.
    begun: u32,
    ended: u32,
    numbers: Numbers,
}

impl SpokenStream {
    pub(crate) fn new(text: TextStream, speech: Option<&Speech>) -> Self {
        let listener = speech.map(|it| Listener {
            parser: it.parser(),
            speech: it.clone(),
            ids: Vec::new(),
            begun: 0,
            ended: 0,
            numbers: Numbers::new(),
        });
        Self {
            progress: text.progress(),
            text: Some(text.with_markers_of(speech.map(|it| it.format))),
            listener,
            ready: VecDeque::new(),
            ending: FinishReason::Stop,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.text
            .as_ref()
            .map_or(self.progress, TextStream::progress)
    }

    /// Gives the sequence up if it has not started.
    pub(crate) fn expire(&self) {
        if let Some(text) = &self.text {
            text.expire();
        }
    }

    /// Waits until the sequence has started, or will not.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let text = self.text.as_mut();
        text.map_or(Poll::Ready(Turn::Came), |it| it.poll_turn(context))
    }

    /// Takes the answer back to its first `kept` tokens, and tells anew what stands of it. None as
    /// with [`TextStream::rewind`].
    pub(crate) fn rewind(
        &mut self,
        kept: TokenCount,
        change: impl FnOnce(&mut Sampling),
    ) -> Option<Vec<SpokenEvent>> {
        let text = self.text.as_mut()?;
        let pieces = text.rewind(kept, change)?;
        self.progress = text.progress();
        self.ready.clear();
        if let Some(listener) = &mut self.listener {
            listener.begin_anew();
        }
        for piece in pieces {
            if let TextEvent::Piece { text, tokens } = piece {
                self.hear(text, tokens);
            }
        }
        Some(self.ready.drain(..).collect())
    }

    /// The next event. `Ended` is the last.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<SpokenEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(event);
            }
            let Some(text) = &mut self.text else {
                return Poll::Ready(SpokenEvent::Ended(self.ending));
            };
            let event = ready!(text.poll_event(context));
            self.progress = text.progress();
            match event {
                TextEvent::Piece { text, tokens } => self.hear(text, tokens),
                TextEvent::Ended(reason) => self.end(reason),
            }
        }
    }

    fn hear(&mut self, text: String, tokens: Vec<TokenReport>) {
        let Some(listener) = &mut self.listener else {
            self.ready.push_back(SpokenEvent::Piece { text, tokens });
            return;
        };
        let parts = listener.parser.push(&text);
        if !tokens.is_empty() {
            let text = String::new();
            self.ready.push_back(SpokenEvent::Piece { text, tokens });
        }
        self.tell(parts);
    }

    fn end(&mut self, reason: FinishReason) {
        self.text = None;
        self.ending = reason;
        if let Some(listener) = &mut self.listener {
            let reach = match reason {
                FinishReason::Stop => Reach::Whole,
                _ => Reach::Cut,
            };
            let parts = listener.parser.finish(reach);
            self.tell(parts);
        }
    }

    /// Nothing that follows the last call allowed is told, or generated.
    fn tell(&mut self, parts: Vec<Spoken>) {
        for part in parts {
            let Some(listener) = &mut self.listener else {
                return;
            };
            if listener.is_full() {
                self.text = None;
                return;
            }
            let event = listener.event(part);
            self.ready.push_back(event);
            if listener.is_full() {
                self.text = None;
            }
        }
    }
}

impl Speech {
    fn parser(&self) -> SpeechParser {
        SpeechParser::new(self.format, self.listening.clone())
    }
}

impl Listener {
    /// Forgets all but what its calls are called: what is said again is called the same.
    fn begin_anew(&mut self) {
        self.parser = self.speech.parser();
        (self.begun, self.ended) = (0, 0);
    }

    fn is_full(&self) -> bool {
        self.speech.calls_max.is_some_and(|it| self.ended >= it)
    }

    fn event(&mut self, part: Spoken) -> SpokenEvent {
        match part {
            Spoken::Content(text) => SpokenEvent::Piece {
                text,
                tokens: Vec::new(),
            },
            Spoken::Thought(text) => SpokenEvent::Thought(text),
            Spoken::CallBegins { name } => {
                self.begun += 1;
                let id = self.id_of(self.begun as usize - 1);
                self.call(CallPart::Begins { id, name })
            }
            Spoken::Arguments(text) => self.call(CallPart::Arguments(text)),
            Spoken::CallEnds => {
                self.ended += 1;
                self.call(CallPart::Ends)
            }
            Spoken::CallBreaks => self.call(CallPart::Breaks),
        }
    }

    /// A part of the call that began last.
    fn call(&self, part: CallPart) -> SpokenEvent {
        let index = self.begun.saturating_sub(1);
        SpokenEvent::Call { index, part }
    }

    fn id_of(&mut self, index: usize) -> String {
        while self.ids.len() <= index {
            self.ids.push(self.new_id());
        }
        self.ids[index].clone()
    }

    fn new_id(&self) -> String {
        let number = self.numbers.next();
        match self.speech.format.ids {
            CallIds::Prefixed => format!("call_{number:016x}"),
            CallIds::NineLetters => nine_letters(number),
        }
    }
}

/// `number`, as far as it goes into nine letters and digits.
fn nine_letters(number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = number;
    let digit = |_| {
        let digit = DIGITS[(rest % 36) as usize];
        rest /= 36;
        char::from(digit)
    };
    (0..9).map(digit).collect()
}
