//! Which model answers, and the tokens it is asked with.

use std::sync::Arc;
use std::time::SystemTime;

use sconce_domain::{Grammar, Message, TenantId, TokenCount, TokenId, ToolChoice};
use sconce_text::{
    ChatTemplate, CivilTime, Listening, RenderOptions, Specials, SpeechFormat, StopStrings,
    TextError, Thoughts,
};

use crate::admission::{Admitted, Place};
use crate::echo::EchoedPrompt;
use crate::models::ModelUse;
use crate::spoken_stream::Speech;
use crate::{AnswerOptions, Ask, AskedGrammar, CompiledGrammar, Prompt, Refusal, ServedModel};

/// A request whose prompts are tokens of a model and leave room for an answer.
#[derive(Debug)]
#[must_use = "dropping this gives the places back"]
pub(crate) struct Routed {
    pub(crate) model: ModelUse,
    pub(crate) prompts: Vec<RoutedPrompt>,
    pub(crate) options: AnswerOptions,
    pub(crate) stop: StopStrings,
    pub(crate) grammar: Option<Arc<dyn CompiledGrammar>>,
    pub(crate) speech: Option<Speech>,
    pub(crate) place: Place,
}

/// A prompt's tokens, and how it is told again if it is.
#[derive(Debug, Clone)]
pub(crate) struct RoutedPrompt {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) echo: Option<Arc<EchoedPrompt>>,
    /// What the model reads, where it did not come as tokens. For the record, which takes it.
    pub(crate) text: Option<String>,
}

impl Routed {
    /// What the model reads, prompt by prompt.
    pub(crate) fn take_texts(&mut self) -> Vec<String> {
        let texts = self.prompts.iter_mut().map(|it| it.text.take());
        texts.map(Option::unwrap_or_default).collect()
    }
}

/// Makes the prompts. Rendering and tokenizing a long prompt takes tens of milliseconds, so that
/// happens on a thread that may block.
pub(crate) async fn route(
    admitted: Admitted,
    model: ModelUse,
    tenant: &TenantId,
) -> Result<Routed, Refusal> {
    let grammar = match asked_grammar(&admitted.request.options, &model)? {
        None => None,
        Some(asked) => Some(model.grammars.find(tenant, &asked).await?),
    };
    let name = Arc::clone(&model.name);
    let prepared = tokio::task::spawn_blocking(move || prepare(admitted, model, grammar)).await;
    prepared.unwrap_or_else(|error| {
        tracing::error!(%error, "preparing a prompt panicked");
        Err(Refusal::PreparationFailed {
            model: name.to_string(),
        })
    })
}

/// The form that an answer is asked to have, or that its calls must have.
fn asked_grammar(
    options: &AnswerOptions,
    model: &ServedModel,
) -> Result<Option<AskedGrammar>, Refusal> {
    let asked = || options.grammar.clone();
    let Some(format) = model.template.as_ref().and_then(ChatTemplate::speech) else {
        return Ok(asked());
    };
    let tools = &options.tools;
    let strict = tools.tools.iter().position(|it| it.is_strict);
    let grammar = match (&tools.choice, strict) {
        (ToolChoice::Auto, Some(index)) => {
            let free = format.free_form_of(tools);
            Some(Grammar::FreeCalls(free.ok_or_else(|| {
                Refusal::StrictFunction {
                    model: model.name.to_string(),
                    format: format.name,
                    function: tools.tools[index].name.clone(),
                }
            })?))
        }
        _ => format.form_of(tools).map(Grammar::Calls),
    };
    let of_tools = |grammar| AskedGrammar {
        field: "tools",
        grammar,
    };
    Ok(grammar.map(of_tools).or_else(asked))
}

fn prepare(
    admitted: Admitted,
    model: ModelUse,
    grammar: Option<Arc<dyn CompiledGrammar>>,
) -> Result<Routed, Refusal> {
    let Admitted { request, place } = admitted;
    let mut speech = None;
    let prompts = match request.ask {
        Ask::Chat(messages) => {
            let (prompt, heard) = chat_prompt(&model, &messages, &request.options)?;
            speech = heard;
            vec![prompt]
        }
        Ask::Completion(prompts) => prompts
            .into_iter()
            .map(|prompt| completion_prompt(&model, prompt, request.options.echoes))
            .collect::<Result<_, _>>()?,
    };
    for prompt in &prompts {
        check_length(&model, &prompt.tokens)?;
    }
    check_options(&model, &request.options)?;
    let stop = StopStrings::new(&request.options.stop).map_err(|error| Refusal::StopString {
        fact: error.to_string(),
    })?;
    Ok(Routed {
        model,
        prompts,
        options: request.options,
        stop,
        grammar,
        speech,
        place,
    })
}

/// The prompt of a chat, and what is to be listened for in its answer.
pub(crate) fn chat_prompt(
    model: &ServedModel,
    messages: &[Message],
    options: &AnswerOptions,
) -> Result<(RoutedPrompt, Option<Speech>), Refusal> {
    let name = || model.name.to_string();
    let template = model
        .template
        .as_ref()
        .ok_or_else(|| Refusal::NoChatTemplate { model: name() })?;
    let rendering = RenderOptions {
        adds_generation_prompt: true,
        now: now(),
    };
    let tools = match options.tools.choice {
        ToolChoice::None => &[],
        _ => &*options.tools.tools,
    };
    if !tools.is_empty() && template.speech().is_none() {
        return Err(Refusal::UnknownCallFormat { model: name() });
    }
    let prompt = template
        .render(messages, tools, model.tokenizer.guard(), &rendering)
        .map_err(|error| match error {
            TextError::TemplateRefused { reason } => Refusal::Template {
                model: name(),
                fact: reason,
            },
            other => Refusal::Template {
                model: name(),
                fact: other.to_string(),
            },
        })?;
    let text = prompt.text();
    let speech = speech(template, &text, options);
    let tokens = model.tokenizer.encode_rendered(&prompt);
    let tokens = tokens.map_err(|error| refused_by_tokenizer(model, &error))?;
    let prompt = RoutedPrompt {
        tokens,
        echo: None,
        text: Some(text.into_owned()),
    };
    Ok((prompt, speech))
}

/// An answer that is held to a form has no room for thoughts.
fn speech(template: &ChatTemplate, prompt: &str, options: &AnswerOptions) -> Option<Speech> {
    let wanted = &options.tools;
    let must_call = matches!(wanted.choice, ToolChoice::Required | ToolChoice::Named(_));
    let thoughts = if must_call || options.grammar.is_some() || !template.knows_thoughts() {
        Thoughts::None
    } else if template.begins_thoughts(prompt) {
        Thoughts::Begun
    } else {
        Thoughts::Marked
    };
    let functions = match wanted.choice {
        ToolChoice::None => Vec::new(),
        _ => wanted.tools.clone(),
    };
    let format = template.speech().unwrap_or_else(SpeechFormat::taught);
    let is_plain = functions.is_empty() && thoughts == Thoughts::None && !format.marks_all();
    (!is_plain).then(|| Speech {
        format,
        listening: Listening {
            functions,
            thoughts,
        },
        calls_max: (!wanted.parallel).then_some(1),
    })
}

fn completion_prompt(
    model: &ServedModel,
    prompt: Prompt,
    echoes: bool,
) -> Result<RoutedPrompt, Refusal> {
    let (tokens, text) = match prompt {
        Prompt::Text(text) => (encode(model, &text)?, Some(text)),
        Prompt::Tokens(tokens) => {
            check_known(model, "prompt", tokens.iter().copied())?;
            (tokens, None)
        }
    };
    let told = || EchoedPrompt::new(&model.tokenizer, &tokens, text.clone());
    let echo = echoes.then(|| Arc::new(told()));
    Ok(RoutedPrompt { tokens, echo, text })
}

fn check_options(model: &ServedModel, options: &AnswerOptions) -> Result<(), Refusal> {
    let biased = options.bias.iter().map(|it| it.token);
    check_known(model, "logit_bias", biased)?;
    check_known(model, "stop_token_ids", options.stop_tokens.iter().copied())
}

pub(crate) fn check_known(
    model: &ServedModel,
    field: &'static str,
    mut tokens: impl Iterator<Item = TokenId>,
) -> Result<(), Refusal> {
    let size = u32::try_from(model.tokenizer.vocabulary_size()).unwrap_or(u32::MAX);
    match tokens.find(|it| it.0 >= size) {
        None => Ok(()),
        Some(unknown) => Err(Refusal::UnknownToken {
            field,
            model: model.name.to_string(),
            token: unknown.0,
            last: size.saturating_sub(1),
        }),
    }
}

fn encode(model: &ServedModel, text: &str) -> Result<Vec<TokenId>, Refusal> {
    model
        .tokenizer
        .encode_prompt(text, Specials::Parsed)
        .map_err(|error| refused_by_tokenizer(model, &error))
}

pub(crate) fn refused_by_tokenizer(model: &ServedModel, error: &TextError) -> Refusal {
    Refusal::Tokenizer {
        model: model.name.to_string(),
        fact: error.to_string(),
    }
}

fn check_length(model: &ServedModel, prompt: &[TokenId]) -> Result<(), Refusal> {
    let tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let TokenCount(context) = model.context;
    match tokens {
        0 => Err(Refusal::EmptyPrompt),
        _ if tokens < context => Ok(()),
        _ => Err(Refusal::PromptTooLong {
            model: model.name.to_string(),
            prompt: tokens,
            context,
            prompt_max: context.saturating_sub(1),
        }),
    }
}

fn now() -> CivilTime {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    CivilTime::from_unix_seconds(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}
