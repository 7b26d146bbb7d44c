//! Text in which a model calls when it wants to: free until a call begins, then held to its form.
//!
//! Most of such an answer is free, and there a mask costs a copy: an automaton of a few states
//! follows how much of the trigger stands at the end of the text, and only the few tokens that
//! complete it are looked at by the parser. That parser begins with the tokens in which the trigger
//! began, so a token may hold the end of the trigger and more, or the end of a call and more.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use llguidance::Matcher;
use sconce_domain::{FreeCalls, TokenCount, TokenId, TokenMask};
use sconce_engine::{Constraint, ConstraintFailure, Progress};
use sconce_text::{TokenClass, Tokenizer};

use crate::constraint::failure;

/// What all answers of one grammar share.
pub(crate) struct FreeCallRules {
    trigger: Trigger,
    tokenizer: Arc<Tokenizer>,
    /// Has accepted nothing. It reads text up to the trigger, the call, and text again.
    matcher: Mutex<Matcher>,
    /// Every token.
    all: Vec<u32>,
    /// The tokens that complete the trigger, for each number of its bytes that stand already.
    completing: Vec<Vec<TokenId>>,
    /// What is allowed then, once it is known.
    masks: Vec<OnceLock<TokenMask>>,
}

/// Follows one answer.
pub(crate) struct FreeCallsConstraint {
    rules: Arc<FreeCallRules>,
    accepted: Vec<TokenId>,
    place: Place,
}

/// Where an answer stands.
enum Place {
    /// In text that ends with so many bytes of the trigger, which these tokens hold.
    Free {
        matched: usize,
        pending: Vec<TokenId>,
    },
    /// In a call.
    Call(Box<Matcher>),
}

const BEGINNING: Place = Place::Free {
    matched: 0,
    pending: Vec::new(),
};

/// Finds a text as its bytes come (Knuth, Morris and Pratt).
struct Trigger {
    bytes: Vec<u8>,
    /// For each number of bytes that stand: how many of them still do if the next byte is another.
    fallback: Vec<usize>,
}

impl Trigger {
    /// `text` is not empty.
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut fallback = vec![0; bytes.len() + 1];
        for length in 2..=bytes.len() {
            let mut shorter = fallback[length - 1];
            while shorter > 0 && bytes[shorter] != bytes[length - 1] {
                shorter = fallback[shorter];
            }
            fallback[length] = shorter + usize::from(bytes[shorter] == bytes[length - 1]);
        }
        Self { bytes, fallback }
    }

    /// How many bytes stand after `text`, and whether all of them did on the way.
    fn after(&self, mut matched: usize, text: &[u8]) -> (usize, bool) {
        let mut is_complete = false;
        for byte in text {
            while matched > 0 && self.bytes[matched] != *byte {
                matched = self.fallback[matched];
            }
            matched += usize::from(self.bytes[matched] == *byte);
            if matched == self.bytes.len() {
                is_complete = true;
                matched = 0;
            }
        }
        (matched, is_complete)
    }
}

impl FreeCallRules {
    /// `matcher` has accepted nothing.
    pub(crate) fn new(free: &FreeCalls, matcher: Matcher, tokenizer: &Arc<Tokenizer>) -> Self {
        let tokens = u32::try_from(tokenizer.vocabulary_size()).unwrap_or(u32::MAX);
        let mut rules = Self {
            trigger: Trigger::new(&free.trigger),
            tokenizer: Arc::clone(tokenizer),
            matcher: Mutex::new(matcher),
            all: TokenMask::from_iter((0..tokens).map(TokenId))
                .words()
                .to_vec(),
            completing: Vec::new(),
            masks: free.trigger.bytes().map(|_| OnceLock::new()).collect(),
        };
        let last = free.trigger.bytes().last();
        let has_last = |it: &TokenId| rules.text(*it).iter().any(|byte| Some(*byte) == last);
        let candidates: Vec<TokenId> = (0..tokens).map(TokenId).filter(has_last).collect();
        let completing = |matched| {
            let completes = |it: &&TokenId| rules.trigger.after(matched, rules.text(**it)).1;
            candidates.iter().filter(completes).copied().collect()
        };
        rules.completing = (0..free.trigger.len()).map(completing).collect();
        rules
    }

    /// Holds a new answer to these rules.
    pub(crate) fn begin(rules: &Arc<Self>) -> FreeCallsConstraint {
        FreeCallsConstraint {
            rules: Arc::clone(rules),
            accepted: Vec::new(),
            place: BEGINNING,
        }
    }

    /// What whoever looks for calls reads of a token: marks have a text even as control tokens.
    fn text(&self, token: TokenId) -> &[u8] {
        match self.tokenizer.token_class(token) {
            Some(TokenClass::Control) => match self.tokenizer.token_text(token) {
                std::borrow::Cow::Borrowed(text) if self.trigger.holds(text) => text.as_bytes(),
                _ => &[],
            },
            _ => self.tokenizer.token_bytes(token),
        }
    }

    /// A control token that is the whole trigger needs none of the text before it.
    fn is_whole_trigger(&self, token: TokenId) -> bool {
        self.tokenizer.token_class(token) == Some(TokenClass::Control)
            && self.text(token) == self.trigger.bytes
    }

    /// A parser that has read these tokens; none if it cannot be so.
    fn matcher_after(&self, tokens: &[TokenId]) -> Option<Matcher> {
        let matcher = self.matcher.lock().unwrap_or_else(PoisonError::into_inner);
        let mut matcher = matcher.clone();
        let tokens: Vec<u32> = tokens.iter().map(|it| it.0).collect();
        matcher.consume_tokens(&tokens).ok()?;
        Some(matcher)
    }

    fn mask(&self, matched: usize, pending: &[TokenId]) -> Result<TokenMask, ConstraintFailure> {
        let known = &self.masks[matched];
        if let Some(mask) = known.get() {
            return Ok(mask.clone());
        }
        let mut words = self.all.clone();
        let completing = &self.completing[matched];
        let may_begin = match self.matcher_after(pending) {
            _ if completing.is_empty() => None,
            None => None,
            Some(mut matcher) => Some(matcher.compute_mask().map_err(failure)?),
        };
        let begins = |it: TokenId| may_begin.as_ref().is_some_and(|mask| mask.is_allowed(it.0));
        for token in completing {
            if !begins(*token) && !self.is_whole_trigger(*token) {
                words[(token.0 / 32) as usize] &= !(1 << (token.0 % 32));
            }
        }
        let mask = TokenMask::from_words(words);
        // Where the parser could not follow (half a character stands before the trigger), the next
        // answer may do better.
        if completing.is_empty() || may_begin.is_some() {
            return Ok(known.get_or_init(|| mask).clone());
        }
        Ok(mask)
    }
}

impl Trigger {
    fn holds(&self, text: &str) -> bool {
        let mut places = self.bytes.windows(text.len().max(1));
        places.any(|it| it == text.as_bytes())
    }
}

impl FreeCallsConstraint {
    fn take(&mut self, token: TokenId) -> Result<(), ConstraintFailure> {
        let text = self.rules.text(token);
        match &mut self.place {
            Place::Free { matched, pending } => {
                let before = std::mem::take(pending);
                let (after, begins_call) = self.rules.trigger.after(*matched, text);
                if begins_call {
                    let whole = self.rules.is_whole_trigger(token);
                    let read = if whole { Vec::new() } else { before };
                    let read = [read, vec![token]].concat();
                    let matcher = self.rules.matcher_after(&read);
                    let matcher = matcher.ok_or_else(|| failure("the call is not of its form"))?;
                    self.place = Place::Call(Box::new(matcher));
                    self.leave_call(token);
                } else {
                    *pending = match after {
                        0 => Vec::new(),
                        _ if text.is_empty() => before,
                        _ if after <= text.len() => vec![token],
                        _ => [before, vec![token]].concat(),
                    };
                    *matched = after;
                }
            }
            Place::Call(matcher) => {
                matcher.consume_token(token.0).map_err(failure)?;
                self.leave_call(token);
            }
        }
        Ok(())
    }

    /// Goes back to text if the call has ended in `token`. What is left of that may begin another:
    /// no end of a call is the beginning of a trigger.
    fn leave_call(&mut self, token: TokenId) {
        let Place::Call(matcher) = &mut self.place else {
            return;
        };
        // Only behind a whole call may an answer end.
        if matcher.is_accepting().unwrap_or(false) {
            let (matched, _) = self.rules.trigger.after(0, self.rules.text(token));
            let pending = if matched > 0 { vec![token] } else { Vec::new() };
            self.place = Place::Free { matched, pending };
        }
    }
}

impl Constraint for FreeCallsConstraint {
    fn mask(&mut self) -> Result<TokenMask, ConstraintFailure> {
        match &mut self.place {
            Place::Free { matched, pending } => self.rules.mask(*matched, pending),
            Place::Call(matcher) => {
                let set = matcher.compute_mask().map_err(failure)?;
                Ok(TokenMask::from_words(set.into()))
            }
        }
    }

    fn accept(&mut self, token: TokenId) -> Result<Progress, ConstraintFailure> {
        self.take(token)?;
        self.accepted.push(token);
        Ok(Progress::Open)
    }

    fn rewind(&mut self, TokenCount(generated): TokenCount) {
        let mut accepted = std::mem::take(&mut self.accepted);
        accepted.truncate(generated as usize);
        self.place = BEGINNING;
        for token in &accepted {
            // What was taken once is taken again; if it is not, the next mask is of a parser that failed.
            let _taken_before = self.take(*token);
        }
        self.accepted = accepted;
    }
}

impl fmt::Debug for FreeCallsConstraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FreeCallsConstraint")
            .field("accepted", &self.accepted.len())
            .finish_non_exhaustive()
    }
}
