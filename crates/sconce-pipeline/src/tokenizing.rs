//! Text to tokens and back, without an answer: for clients that count, cut or score texts.

use std::sync::Arc;

use sconce_domain::{Caller, Message, RecordedInput, TokenCount, TokenId};
use sconce_text::{ChatTemplate, Specials};

use crate::models::ModelUse;
use crate::record::{Arrival, OpenRecord};
use crate::route::{chat_prompt, check_known, refused_by_tokenizer};
use crate::served_model::ServedModel;
use crate::{AnswerOptions, Pipeline, Refusal};

/// Whether a text gets the tokens around it that a prompt of the model begins and ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// As a prompt.
    OfAPrompt,
    /// Nothing is added, as for the middle of a prompt.
    None,
}

/// A text as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// Tokens that prompt and answer may have together.
    pub context: TokenCount,
}

/// What clients know a tokenizer by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerFacts {
    /// The model.
    pub model: String,
    /// The marker that begins a text, if there is one.
    pub bos: Option<String>,
    /// The marker that ends one.
    pub eos: Option<String>,
    /// The marker that fills up a batch.
    pub padding: Option<String>,
    /// The source of the chat template.
    pub chat_template: Option<String>,
    /// How many tokens there are.
    pub vocabulary_size: usize,
    /// Tokens that prompt and answer may have together.
    pub context: TokenCount,
    /// What it can besides.
    pub skills: Vec<ModelSkill>,
}

/// What a model can besides continuing texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelSkill {
    /// It calls functions, and its calls can be read.
    Calls,
    /// It thinks, and its thoughts are told apart.
    Thoughts,
}

impl Pipeline {
    /// The tokens of `text`. Markers such as `<|im_end|>` in it count as the tokens they name.
    ///
    /// # Errors
    /// If the model is not there, or its vocabulary cannot write the text.
    pub async fn tokenize(
        &self,
        arrival: Arrival,
        model: Option<&str>,
        text: String,
        edges: Edges,
    ) -> Result<Tokenized, Refusal> {
        self.with_model(arrival, model, move |model| {
            let encoded = match edges {
                Edges::OfAPrompt => model.tokenizer.encode_prompt(&text, Specials::Parsed),
                Edges::None => model.tokenizer.encode(&text, Specials::Parsed),
            };
            let tokens = encoded.map_err(|error| refused_by_tokenizer(model, &error))?;
            let count = count(&tokens);
            let context = model.context;
            Ok((Tokenized { tokens, context }, count))
        })
        .await
    }

    /// How many tokens the prompt of a chat has that is asked with `options`.
    ///
    /// # Errors
    /// If the model is not there, or its template refuses the messages.
    pub async fn count_chat(
        &self,
        arrival: Arrival,
        model: Option<&str>,
        messages: Vec<Message>,
        options: AnswerOptions,
    ) -> Result<TokenCount, Refusal> {
        self.with_model(arrival, model, move |model| {
            let (prompt, _speech) = chat_prompt(model, &messages, &options)?;
            let count = count(&prompt.tokens);
            Ok((count, count))
        })
        .await
    }

    /// The text of `tokens`, markers included.
    ///
    /// # Errors
    /// If the model is not there, or lacks one of the tokens.
    pub async fn detokenize(
        &self,
        arrival: Arrival,
        model: Option<&str>,
        tokens: Vec<TokenId>,
    ) -> Result<String, Refusal> {
        self.with_model(arrival, model, move |model| {
            check_known(model, "tokens", tokens.iter().copied())?;
            let text = model.tokenizer.prompt_pieces(&tokens).concat();
            Ok((text, count(&tokens)))
        })
        .await
    }

    /// What clients know the tokenizer by.
    ///
    /// # Errors
    /// If the model is not there.
    pub async fn tokenizer_facts(
        &self,
        caller: &Caller,
        model: Option<&str>,
    ) -> Result<TokenizerFacts, Refusal> {
        let model = self.generator(caller, model).await?;
        let tokenizer = &model.tokenizer;
        let special = tokenizer.special_tokens();
        let marker = |it: TokenId| tokenizer.token_text(it).into_owned();
        let template = model.template.as_ref();
        Ok(TokenizerFacts {
            model: model.name.to_string(),
            bos: special.bos.map(marker),
            eos: special.eos.map(marker),
            padding: special.padding.map(marker),
            chat_template: template.map(|it| it.source().to_owned()),
            vocabulary_size: tokenizer.vocabulary_size(),
            context: model.context,
            skills: template.map(skills_of).unwrap_or_default(),
        })
    }

    async fn generator(&self, caller: &Caller, name: Option<&str>) -> Result<ModelUse, Refusal> {
        let slot = self.slot_for::<ServedModel>(caller, name)?;
        self.registry.take(&slot).await
    }

    /// Works on a thread that may block, a few at a time: a long text takes a while, and answers
    /// need the processors too.
    async fn with_model<T, F>(
        &self,
        Arrival(mut record): Arrival,
        model: Option<&str>,
        work: F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&ServedModel) -> Result<(T, TokenCount), Refusal> + Send + 'static,
    {
        match self.work_with(&mut record, model, work).await {
            Ok((done, tokens)) => {
                record.done_with(tokens);
                record.kept().await?;
                Ok(done)
            }
            Err(refusal) => {
                record.refused(refusal.reason()).await;
                Err(refusal)
            }
        }
    }

    async fn work_with<T, F>(
        &self,
        record: &mut OpenRecord,
        model: Option<&str>,
        work: F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&ServedModel) -> Result<T, Refusal> + Send + 'static,
    {
        // What was said to no model is not kept.
        record.announce(RecordedInput::default).await?;
        record.enter(&self.accounts)?;
        let model = self.generator(record.caller(), model).await?;
        let name = Arc::clone(&model.name);
        record.is_about(Arc::clone(&name));
        let _turn = self.tokenizing.acquire().await;
        let done = tokio::task::spawn_blocking(move || work(&model)).await;
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "tokenizing panicked");
            Err(Refusal::PreparationFailed {
                model: name.to_string(),
            })
        })
    }
}

fn skills_of(template: &ChatTemplate) -> Vec<ModelSkill> {
    let calls = template.speech().map(|_| ModelSkill::Calls);
    let thoughts = template.knows_thoughts().then_some(ModelSkill::Thoughts);
    calls.into_iter().chain(thoughts).collect()
}

fn count(tokens: &[TokenId]) -> TokenCount {
    TokenCount(u32::try_from(tokens.len()).unwrap_or(u32::MAX))
}
