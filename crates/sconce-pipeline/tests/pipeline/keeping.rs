//! How a request waits for whoever keeps its record.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use sconce_domain::{
    Caller, ClosedRecord, Failure, FinishReason, OpenedRecord, RecordedInput, RecordedOutput,
    RequestId,
};
use sconce_pipeline::{
    AnswerEvent, AskKind, Edges, Keeps, Pipeline, ReceiptWriter, RecordKeeper, Recording, Refusal,
    Unrecorded,
};

use crate::stage::{Echo, FAILURE, Sizes, Stage, admission_limits, chat, completion};

/// Notes what it is given, and says of it what it was told to.
#[derive(Debug, Default)]
struct Notes {
    words: Mutex<Vec<String>>,
    held: Mutex<Vec<ReceiptWriter>>,
    ends: Mutex<Vec<ClosedRecord>>,
    begins: Mutex<Vec<OpenedRecord>>,
    manner: Manner,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Manner {
    #[default]
    Prompt,
    /// What ends a record is written once it is let go.
    HoldsEnds,
    FailsAtOnce,
    FailsAtTheEnd,
}

impl Notes {
    fn words(&self) -> Vec<String> {
        self.words.lock().unwrap().clone()
    }

    fn let_go(&self) {
        for receipt in self.held.lock().unwrap().drain(..) {
            receipt.tell(Ok(()));
        }
    }
}

fn full() -> Result<(), Unrecorded> {
    let fact = "/secret/place is full".to_owned();
    Err(Unrecorded { fact })
}

impl RecordKeeper for Notes {
    fn open(&self, record: OpenedRecord, receipt: ReceiptWriter) {
        let word = format!("{:x} {} opened", record.id.0, record.kind);
        self.words.lock().unwrap().push(word);
        self.begins.lock().unwrap().push(record);
        receipt.tell(match self.manner {
            Manner::FailsAtOnce => full(),
            _ => Ok(()),
        });
    }

    fn close(&self, record: ClosedRecord, receipt: ReceiptWriter) {
        let why = record.refusal.or(record.failure).unwrap_or_default();
        let word = format!("{:x} {} {why}", record.id.0, record.end);
        self.words.lock().unwrap().push(word.trim_end().to_owned());
        self.ends.lock().unwrap().push(record);
        match self.manner {
            Manner::Prompt => receipt.tell(Ok(())),
            Manner::HoldsEnds => self.held.lock().unwrap().push(receipt),
            Manner::FailsAtOnce | Manner::FailsAtTheEnd => receipt.tell(full()),
        }
    }
}

fn stage(manner: Manner, required: bool) -> (Stage, Arc<Notes>) {
    keeping(manner, required, Keeps::Metadata)
}

fn keeping(manner: Manner, required: bool, keeps: Keeps) -> (Stage, Arc<Notes>) {
    let notes = Arc::new(Notes {
        manner,
        ..Notes::default()
    });
    let sizes = Sizes::default();
    let pipeline = Pipeline::new(admission_limits(sizes)).recorded_by(Recording {
        keeper: notes.clone(),
        keeps,
        required,
    });
    let step = Duration::from_millis(1);
    (Stage::with(pipeline, Echo { step }, sizes), notes)
}

#[tokio::test]
async fn the_last_event_comes_once_the_record_is_written_and_not_before() {
    let (stage, notes) = stage(Manner::HoldsEnds, false);
    let mut answer = stage.pipeline.answer(completion("abc")).await.unwrap();
    let mut ended = false;
    while !ended {
        let event = answer.next().await.unwrap();
        assert!(!matches!(event, AnswerEvent::Done(_)));
        ended = matches!(event, AnswerEvent::Finished { .. });
    }
    let waited = tokio::time::timeout(Duration::from_millis(100), answer.next()).await;
    assert!(
        waited.is_err(),
        "{waited:?} came before the record was written"
    );
    notes.let_go();
    assert!(matches!(answer.next().await, Some(AnswerEvent::Done(_))));
    assert_eq!(answer.next().await, None);
    drop(answer);
    assert_eq!(notes.words().len(), 2, "{:?}", notes.words());
}

#[tokio::test]
async fn each_request_is_opened_before_its_admission_and_closed_once_however_it_ends() {
    let (stage, notes) = stage(Manner::Prompt, true);
    let pipeline = &stage.pipeline;
    let asked = |id: u64, prompt: &str| {
        let mut request = completion(prompt);
        request.id = RequestId(id);
        request
    };
    let done = pipeline.answer(asked(1, "abc")).await.unwrap();
    done.collect::<Vec<_>>().await;
    assert!(pipeline.answer(asked(2, &"a".repeat(999))).await.is_err());
    let mut left = pipeline.answer(asked(3, &"a".repeat(200))).await.unwrap();
    left.next().await;
    drop(left);
    let failed = char::from(FAILURE).to_string();
    let mut broken = pipeline.answer(asked(4, &failed)).await.unwrap();
    let failure = FinishReason::Failed(Failure::Device);
    while let Some(event) = broken.next().await {
        if matches!(event, AnswerEvent::Finished { reason, .. } if reason == failure) {
            break;
        }
    }
    broken.break_off().await;
    let arrival = |id| pipeline.arrive(RequestId(id), AskKind::Tokenize, Caller::anybody());
    let text = "abc".to_owned();
    pipeline
        .tokenize(arrival(5), None, text, Edges::None)
        .await
        .unwrap();
    arrival(6).turned_away("invalid_json").await;
    assert_eq!(
        notes.words(),
        [
            "1 completion opened",
            "1 stop",
            "2 completion opened",
            "2 refused prompt_too_long",
            "3 completion opened",
            "3 abort",
            "4 completion opened",
            "4 error device_failed",
            "5 tokenize opened",
            "5 stop",
            // Nothing of it was known.
            "6 refused invalid_json",
        ]
    );
}

#[tokio::test]
async fn a_request_whose_record_cannot_be_begun_is_refused_where_records_are_required() {
    let (stage, notes) = stage(Manner::FailsAtOnce, true);
    let refused = stage.pipeline.answer(completion("abc")).await.unwrap_err();
    assert!(
        matches!(refused, Refusal::RecordUnavailable { .. }),
        "{refused}"
    );
    // Clients learn nothing of the server's files.
    assert!(!refused.to_string().contains("secret"), "{refused}");
    assert_eq!(stage.pipeline.answers_open(), 0);
    assert_eq!(notes.words()[1], "7 refused record_unavailable");
}

#[tokio::test]
async fn an_answer_whose_record_cannot_be_ended_fails_at_its_end_where_records_are_required() {
    let (stage, _) = stage(Manner::FailsAtTheEnd, true);
    let answer = stage.pipeline.answer(completion("abc")).await.unwrap();
    let events: Vec<AnswerEvent> = answer.collect().await;
    let reason = FinishReason::Failed(Failure::Record);
    assert_eq!(
        events.last(),
        Some(&AnswerEvent::Finished {
            choice: 0,
            reason,
            stopped_by: None
        })
    );
    assert!(!events.iter().any(|it| matches!(it, AnswerEvent::Done(_))));
}

#[tokio::test]
async fn a_full_disk_changes_no_answer_where_records_are_not_required() {
    for manner in [Manner::FailsAtOnce, Manner::FailsAtTheEnd] {
        let (stage, _) = stage(manner, false);
        let answer = stage.pipeline.answer(completion("abc")).await.unwrap();
        let events: Vec<AnswerEvent> = answer.collect().await;
        assert!(matches!(events.last(), Some(AnswerEvent::Done(_))));
    }
}

#[test]
fn who_leaves_a_server_that_is_gone_still_leaves_a_record() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (stage, notes) = stage(Manner::Prompt, true);
    let answer = runtime
        .block_on(stage.pipeline.answer(completion(&"a".repeat(100))))
        .unwrap();
    drop(runtime);
    // No timer can be made here any more.
    drop(answer);
    assert_eq!(notes.words()[1], "7 abort");
}

/// What was asked by the first request, what the model read, and what it answered.
fn said(notes: &Notes) -> (RecordedInput, RecordedOutput) {
    let begins = notes.begins.lock().unwrap();
    let ends = notes.ends.lock().unwrap();
    (
        begins[0].input.clone().unwrap(),
        ends[0].output.clone().unwrap(),
    )
}

#[tokio::test]
async fn what_was_asked_read_and_answered_is_in_the_record_where_it_keeps_that() {
    let (stage, notes) = keeping(Manner::Prompt, true, Keeps::Content);
    let mut request = chat("hello");
    request.options.user = Some("someone".to_owned());
    let answer = stage.pipeline.answer(request).await.unwrap();
    answer.collect::<Vec<_>>().await;
    let (input, output) = said(&notes);
    assert_eq!(input.user.as_deref(), Some("someone"));
    assert_eq!(input.messages[0].content, "hello");
    assert_eq!(output.prompts, ["hello"]);
    assert_eq!(output.answers[0].text, "hello");
    assert_eq!(output.answers[0].end, Some("stop"));
}

#[tokio::test]
async fn of_candidates_the_record_has_those_that_were_given() {
    let (stage, notes) = keeping(Manner::Prompt, true, Keeps::Content);
    let mut request = completion("abc");
    request.options.answers = 2;
    request.options.candidates = Some(4);
    let answer = stage.pipeline.answer(request).await.unwrap();
    let events: Vec<AnswerEvent> = answer.collect().await;
    assert!(matches!(events.last(), Some(AnswerEvent::Done(_))));
    let (input, output) = said(&notes);
    assert_eq!(input.texts, ["abc"]);
    let texts: Vec<&str> = output.answers.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["abc", "abc"]);
}

#[tokio::test]
async fn who_leaves_early_leaves_what_was_told_until_then() {
    let (stage, notes) = keeping(Manner::Prompt, true, Keeps::Content);
    let mut answer = stage
        .pipeline
        .answer(completion(&"ab".repeat(100)))
        .await
        .unwrap();
    let Some(AnswerEvent::Piece { text, .. }) = answer.next().await else {
        panic!("an answer begins with a piece")
    };
    drop(answer);
    let (_, output) = said(&notes);
    assert_eq!(output.answers[0].text, text);
    assert_eq!(output.answers[0].end, None);
}

#[tokio::test]
async fn no_word_is_in_a_record_that_keeps_metadata() {
    let (stage, notes) = stage(Manner::Prompt, true);
    let answer = stage.pipeline.answer(completion("abc")).await.unwrap();
    answer.collect::<Vec<_>>().await;
    assert_eq!(notes.begins.lock().unwrap()[0].input, None);
    assert_eq!(notes.ends.lock().unwrap()[0].output, None);
}
