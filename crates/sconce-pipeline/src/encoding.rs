//! Texts to vectors and scores: the way of a request that no generator answers.
//!
//! It is the way of any request with fewer hops: admitted by its texts, made into tokens of a model that is
//! loaded first if need be, read by the encoder's thread together with whatever else is there, recorded by `Drop`.

use std::sync::Arc;

use sconce_domain::{EncoderText, Failure, FinishReason, RecordedInput, TokenCount, TokenId};

use crate::models::ModelUse;
use crate::record::{Arrival, OpenRecord};
use crate::served_encoder::{EncoderKind, ServedEncoder};
use crate::{Pipeline, Prompt, Refusal, hearing};

/// Texts that are to become vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// The encoder, or `None` for the default one.
    pub model: Option<String>,
    /// The texts.
    pub texts: Vec<Prompt>,
    /// What happens to a text that is too long.
    pub overlong: Overlong,
    /// Whether vectors are made to have length one.
    pub normalised: bool,
    /// How many numbers a vector must have, if somebody counts on it.
    pub dimensions: Option<u32>,
    /// Whom the client says it asks for; goes into the record.
    pub user: Option<String>,
}

/// Texts whose fit is to be judged, pair by pair.
#[derive(Debug, Clone, PartialEq)]
pub struct FitRequest {
    /// The encoder, or `None` for the default one.
    pub model: Option<String>,
    /// The first text of each pair, or the one that all pairs begin with.
    pub firsts: Vec<String>,
    /// The second text of each pair.
    pub seconds: Vec<String>,
    /// The fields they came in, so that a refusal can name them.
    pub fields: [&'static str; 2],
    /// What happens to a text, or a pair that is read together, that is too long.
    pub overlong: Overlong,
    /// Tokens that are kept of a second text, whatever its length.
    pub second_tokens_max: Option<u32>,
    /// Whom the client says it asks for; goes into the record.
    pub user: Option<String>,
}

/// What happens to a text that is longer than the encoder's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlong {
    /// The request is refused.
    #[default]
    Refused,
    /// Its end is cut off.
    Cut {
        /// Keeps fewer tokens than the context, markers included.
        tokens_max: Option<u32>,
    },
}

/// What became of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The encoder's name.
    pub model: Arc<str>,
    /// A vector a text, in the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, markers included.
    pub tokens: TokenCount,
}

/// How well texts fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The encoder's name.
    pub model: Arc<str>,
    /// A score a pair, in the order of the pairs; the higher, the better.
    pub scores: Vec<f32>,
    /// Tokens of all texts, markers included.
    pub tokens: TokenCount,
}

type EncoderUse = ModelUse<ServedEncoder>;

impl Pipeline {
    /// Makes texts into vectors.
    ///
    /// # Errors
    /// If the request is turned away, or the encoder fails.
    pub async fn embed(
        &self,
        Arrival(mut record): Arrival,
        request: EmbedRequest,
    ) -> Result<Embedded, Refusal> {
        record.asked_by(request.user.clone());
        let outcome = self.embed_recorded(request, &mut record).await;
        closed(record, outcome).await
    }

    /// Judges how well texts fit: by the cosine of their vectors, or, where the encoder reads both together,
    /// by its own score, made into a probability.
    ///
    /// # Errors
    /// If the request is turned away, or the encoder fails.
    pub async fn fit(
        &self,
        Arrival(mut record): Arrival,
        request: FitRequest,
    ) -> Result<Fitted, Refusal> {
        record.asked_by(request.user.clone());
        let outcome = self.fit_recorded(request, &mut record).await;
        closed(record, outcome).await
    }

    async fn embed_recorded(
        &self,
        request: EmbedRequest,
        record: &mut OpenRecord,
    ) -> Result<Embedded, Refusal> {
        let asked = || hearing::read(request.user.as_ref(), &request.texts);
        record.announce(asked).await?;
        record.enter(&self.accounts)?;
        let slot = self.slot_for::<ServedEncoder>(record.caller(), request.model.as_deref())?;
        let place = slot.admission.admit_texts(request.texts.len())?;
        let encoder: EncoderUse = self.in_time(&slot, &place, None).await?;
        let EncoderKind::Vectors { dimensions } = encoder.kind else {
            let model = encoder.name.to_string();
            return Err(Refusal::NoVectors { model });
        };
        check_dimensions(&encoder, dimensions, request.dimensions)?;
        let (texts, overlong) = (request.texts, request.overlong);
        let prepare = move |encoder: &ServedEncoder| {
            let texts = texts.into_iter().enumerate();
            let framed =
                texts.map(|(index, text)| encoder.framed(text, ("input", index), overlong));
            framed.collect()
        };
        let (encoder, texts) = self.prepared(encoder, prepare).await?;
        let (mut vectors, tokens) = read(&encoder, texts, record).await?;
        if request.normalised {
            vectors.iter_mut().for_each(|it| normalise(it));
        }
        Ok(Embedded {
            model: Arc::clone(&encoder.name),
            vectors,
            tokens,
        })
    }

    async fn fit_recorded(
        &self,
        request: FitRequest,
        record: &mut OpenRecord,
    ) -> Result<Fitted, Refusal> {
        record.announce(|| asked_pairs(&request)).await?;
        record.enter(&self.accounts)?;
        let slot = self.slot_for::<ServedEncoder>(record.caller(), request.model.as_deref())?;
        let firsts = request.firsts.len();
        let texts = firsts + request.seconds.len();
        let place = slot.admission.admit_texts(texts)?;
        let encoder: EncoderUse = self.in_time(&slot, &place, None).await?;
        let prepare = move |encoder: &ServedEncoder| match encoder.kind {
            EncoderKind::Vectors { .. } => apart(encoder, &request),
            EncoderKind::Scores => paired(encoder, &request),
        };
        let (encoder, texts) = self.prepared(encoder, prepare).await?;
        let (results, tokens) = read(&encoder, texts, record).await?;
        let scores = match encoder.kind {
            EncoderKind::Vectors { .. } => {
                let (left, right) = results.split_at(firsts);
                let pairs = right.iter().zip(left.iter().cycle());
                pairs.map(|(right, left)| cosine(left, right)).collect()
            }
            EncoderKind::Scores => results.iter().flatten().map(|it| sigmoid(*it)).collect(),
        };
        Ok(Fitted {
            model: Arc::clone(&encoder.name),
            scores,
            tokens,
        })
    }

    /// Makes texts into tokens on a thread that may block, a few requests at a time. The encoder stays in
    /// use until that is done, even if the client has left, and is given back.
    async fn prepared<F>(
        &self,
        encoder: EncoderUse,
        work: F,
    ) -> Result<(EncoderUse, Vec<EncoderText>), Refusal>
    where
        F: FnOnce(&ServedEncoder) -> Result<Vec<EncoderText>, Refusal> + Send + 'static,
    {
        let _turn = self.tokenizing.acquire().await;
        let model = encoder.name.to_string();
        let work = move || work(&encoder).map(|it| (encoder, it));
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "preparing texts panicked");
            Err(Refusal::PreparationFailed { model })
        })
    }
}

/// Has texts read, and notes in the record that it has begun.
async fn read(
    encoder: &ServedEncoder,
    texts: Vec<EncoderText>,
    record: &mut OpenRecord,
) -> Result<(Vec<Vec<f32>>, TokenCount), Refusal> {
    let tokens: usize = texts.iter().map(|it| it.tokens.len()).sum();
    let tokens = TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX));
    record.reserve(tokens.0.into())?;
    record.begin_encoding(Arc::clone(&encoder.name), tokens, encoder.encoder.metrics());
    let results = encoder.encoder.encode(texts).await;
    let model = || encoder.name.to_string();
    match results {
        Some(results) => Ok((results, tokens)),
        None if encoder.encoder.is_running() => Err(Refusal::EncodingFailed { model: model() }),
        None => Err(Refusal::EngineStopped { model: model() }),
    }
}

fn asked_pairs(request: &FitRequest) -> RecordedInput {
    let texts = request.firsts.iter().chain(&request.seconds);
    RecordedInput {
        user: request.user.clone(),
        texts: texts.cloned().collect(),
        ..RecordedInput::default()
    }
}

/// Closes the record of a request by what became of it.
async fn closed<T>(mut record: OpenRecord, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
    match outcome {
        Ok(done) => {
            record.answer_ended(FinishReason::Stop);
            record.complete();
            record.kept().await?;
            Ok(done)
        }
        Err(refusal @ Refusal::EncodingFailed { .. }) => {
            record.answer_ended(FinishReason::Failed(Failure::Device));
            record.complete();
            record.kept().await?;
            Err(refusal)
        }
        Err(refusal) => {
            record.refused(refusal.reason()).await;
            Err(refusal)
        }
    }
}

fn check_dimensions(
    encoder: &ServedEncoder,
    dimensions: usize,
    wanted: Option<u32>,
) -> Result<(), Refusal> {
    match wanted {
        Some(wanted) if wanted as usize != dimensions => Err(Refusal::Dimensions {
            model: encoder.name.to_string(),
            wanted,
            dimensions: u32::try_from(dimensions).unwrap_or(u32::MAX),
        }),
        _ => Ok(()),
    }
}

/// All firsts, then all seconds, each a text of its own.
fn apart(encoder: &ServedEncoder, request: &FitRequest) -> Result<Vec<EncoderText>, Refusal> {
    let [first_field, second_field] = request.fields;
    let mut framed = Vec::new();
    for (index, text) in request.firsts.iter().enumerate() {
        let text = Prompt::Text(text.clone());
        framed.push(encoder.framed(text, (first_field, index), request.overlong)?);
    }
    for (index, text) in request.seconds.iter().enumerate() {
        let place = (second_field, index);
        let tokens = encoder.second(text, place, request.second_tokens_max)?;
        framed.push(encoder.fitted(&tokens, place, request.overlong)?);
    }
    Ok(framed)
}

/// Each first with its second, to be read together. Of a pair that is too long the longer text is cut.
fn paired(encoder: &ServedEncoder, request: &FitRequest) -> Result<Vec<EncoderText>, Refusal> {
    let [first_field, second_field] = request.fields;
    let firsts = request.firsts.iter().enumerate();
    let firsts = firsts.map(|(index, text)| encoder.second(text, (first_field, index), None));
    let firsts = firsts.collect::<Result<Vec<_>, _>>()?;
    let mut framed = Vec::new();
    for (index, text) in request.seconds.iter().enumerate() {
        let place = (second_field, index);
        let mut second = encoder.second(text, place, request.second_tokens_max)?;
        let mut first = firsts[index % firsts.len()].clone();
        let markers = encoder.tokenizer.pair_markers();
        let room = encoder.room(first.len() + second.len(), markers, place, request.overlong)?;
        while first.len() + second.len() > room {
            let longer = if first.len() > second.len() {
                &mut first
            } else {
                &mut second
            };
            longer.pop();
        }
        framed.push(encoder.tokenizer.frame_pair(&first, &second));
    }
    Ok(framed)
}

/// A field and which of its texts.
type Place = (&'static str, usize);

impl ServedEncoder {
    /// A text with its markers, cut if it may be. Tokens are taken as they are: a client that sends them
    /// has put its own markers around them.
    fn framed(
        &self,
        text: Prompt,
        place: Place,
        overlong: Overlong,
    ) -> Result<EncoderText, Refusal> {
        match text {
            Prompt::Text(text) => self.fitted(&self.second(&text, place, None)?, place, overlong),
            Prompt::Tokens(mut tokens) => {
                if let Some(unknown) = tokens.iter().find(|it| it.0 >= self.vocabulary) {
                    return Err(Refusal::UnknownToken {
                        field: place.0,
                        model: self.name.to_string(),
                        token: unknown.0,
                        last: self.vocabulary.saturating_sub(1),
                    });
                }
                check_not_empty(tokens.len(), place)?;
                tokens.truncate(self.room(tokens.len(), 0, place, overlong)?);
                Ok(EncoderText {
                    second_starts: tokens.len(),
                    tokens,
                })
            }
        }
    }

    /// The tokens of a text that is not empty, without markers, as many as may be kept.
    fn second(
        &self,
        text: &str,
        place: Place,
        tokens_max: Option<u32>,
    ) -> Result<Vec<TokenId>, Refusal> {
        check_not_empty(text.len(), place)?;
        let mut tokens = self
            .tokenizer
            .tokens(text)
            .map_err(|error| Refusal::Tokenizer {
                model: self.name.to_string(),
                fact: error.to_string(),
            })?;
        tokens.truncate(tokens_max.map_or(usize::MAX, |it| it as usize));
        Ok(tokens)
    }

    fn fitted(
        &self,
        tokens: &[TokenId],
        place: Place,
        overlong: Overlong,
    ) -> Result<EncoderText, Refusal> {
        let room = self.room(tokens.len(), self.tokenizer.markers(), place, overlong)?;
        Ok(self.tokenizer.frame(&tokens[..tokens.len().min(room)]))
    }

    /// How many of a text's `tokens` are kept beside so many markers.
    fn room(
        &self,
        tokens: usize,
        markers: usize,
        (field, index): Place,
        overlong: Overlong,
    ) -> Result<usize, Refusal> {
        let context = self.context.0;
        let kept = match overlong {
            Overlong::Cut { tokens_max } => tokens_max.unwrap_or(context).min(context),
            Overlong::Refused if tokens + markers <= context as usize => context,
            Overlong::Refused => {
                return Err(Refusal::TextTooLong {
                    model: self.name.to_string(),
                    field,
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    tokens: u32::try_from(tokens + markers).unwrap_or(u32::MAX),
                    context,
                });
            }
        };
        Ok((kept as usize).saturating_sub(markers).max(1))
    }
}

fn check_not_empty(length: usize, (field, index): Place) -> Result<(), Refusal> {
    match length {
        0 => Err(Refusal::EmptyText {
            field,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        }),
        _ => Ok(()),
    }
}

/// Makes a vector's length one. A vector of zeros stays what it is.
fn normalise(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        vector
            .iter_mut()
            .for_each(|it| *it = (f64::from(*it) / length) as f32);
    }
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    match lengths > 0.0 {
        true => (dot(left, right) / lengths) as f32,
        false => 0.0,
    }
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    let products = left.iter().zip(right);
    products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}
