//! What was asked and answered, noted for the record where it keeps that.

use sconce_domain::{RecordedAnswer, RecordedInput, RecordedOutput, ToolCall};

use crate::metrics::Ending;
use crate::{AnswerEvent, AnswerRequest, Ask, CallPart, Prompt};

/// What was answered, as it was told.
#[derive(Debug, Default)]
pub(crate) struct Hearing(RecordedOutput);

impl Hearing {
    /// What the model reads.
    pub(crate) fn prompted(&mut self, prompts: Vec<String>) {
        self.0.prompts = prompts;
    }

    pub(crate) fn hear(&mut self, event: &AnswerEvent) {
        match event {
            AnswerEvent::Piece { choice, text, .. } => self.answer(*choice).text.push_str(text),
            AnswerEvent::Thought { choice, text } => self.answer(*choice).thought.push_str(text),
            AnswerEvent::Call { choice, part, .. } => self.call(*choice, part),
            AnswerEvent::Finished { choice, reason, .. } => {
                self.answer(*choice).end = Some(Ending::Finished(*reason).as_str());
            }
            AnswerEvent::Done(_) => {}
        }
    }

    /// What was told of an answer is told anew.
    pub(crate) fn forget(&mut self, choice: u32) {
        *self.answer(choice) = RecordedAnswer::default();
    }

    pub(crate) fn into_output(self) -> RecordedOutput {
        self.0
    }

    fn call(&mut self, choice: u32, part: &CallPart) {
        let calls = &mut self.answer(choice).calls;
        match part {
            CallPart::Begins { id, name } => calls.push(ToolCall {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
            }),
            CallPart::Arguments(text) => {
                if let Some(call) = calls.last_mut() {
                    call.arguments.push_str(text);
                }
            }
            CallPart::Ends => {}
            CallPart::Breaks => {
                calls.pop();
            }
        }
    }

    fn answer(&mut self, choice: u32) -> &mut RecordedAnswer {
        let index = choice as usize;
        if self.0.answers.len() <= index {
            self.0
                .answers
                .resize_with(index + 1, RecordedAnswer::default);
        }
        &mut self.0.answers[index]
    }
}

/// What a request asks, for its record.
pub(crate) fn asked(request: &AnswerRequest) -> RecordedInput {
    let mut input = RecordedInput {
        user: request.options.user.clone(),
        ..RecordedInput::default()
    };
    match &request.ask {
        Ask::Chat(messages) => input.messages.clone_from(messages),
        Ask::Completion(prompts) => prompts.iter().for_each(|it| note(&mut input, it)),
    }
    input
}

/// What texts are to be read, for the record.
pub(crate) fn read(user: Option<&String>, texts: &[Prompt]) -> RecordedInput {
    let mut input = RecordedInput {
        user: user.cloned(),
        ..RecordedInput::default()
    };
    texts.iter().for_each(|it| note(&mut input, it));
    input
}

fn note(input: &mut RecordedInput, prompt: &Prompt) {
    match prompt {
        Prompt::Text(text) => input.texts.push(text.clone()),
        Prompt::Tokens(tokens) => input.tokens.push(tokens.iter().map(|it| it.0).collect()),
    }
}
