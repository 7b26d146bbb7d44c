//! Which texts an encoder reads next. Pure: no clock, no thread.
//!
//! Requests take turns, a text each, the oldest first, until a batch has its tokens: a request of one text
//! does not wait behind another's thousand. Texts are never cut here, and a batch has one at least.

use std::collections::VecDeque;

use sconce_domain::EncoderText;

/// Requests that wait for an encoder. `R` is whom a request's results go to.
#[derive(Debug)]
pub(crate) struct EncoderQueue<R> {
    requests: VecDeque<Waiting<R>>,
    batch_tokens_max: usize,
}

#[derive(Debug)]
struct Waiting<R> {
    texts: Vec<EncoderText>,
    results: Vec<Vec<f32>>,
    planned: usize,
    listener: R,
}

/// Texts of one batch: for each request, by its place in the queue, which of its texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EncoderPlan {
    texts: Vec<(usize, usize)>,
    /// Tokens of all of them.
    pub(crate) tokens: usize,
}

impl EncoderPlan {
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}

/// A request that is done.
#[derive(Debug, PartialEq)]
pub(crate) struct Encoded<R> {
    /// Whom the results are for.
    pub(crate) listener: R,
    /// A row a text, in the order of the texts; none if a batch failed that had one of them.
    pub(crate) results: Option<Vec<Vec<f32>>>,
}

impl<R> EncoderQueue<R> {
    pub(crate) fn new(batch_tokens_max: usize) -> Self {
        Self {
            requests: VecDeque::new(),
            batch_tokens_max,
        }
    }

    pub(crate) fn push(&mut self, texts: Vec<EncoderText>, listener: R) {
        self.requests.push_back(Waiting {
            results: Vec::with_capacity(texts.len()),
            texts,
            planned: 0,
            listener,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Texts that no batch has had.
    pub(crate) fn waiting(&self) -> usize {
        self.requests
            .iter()
            .map(|it| it.texts.len() - it.planned)
            .sum()
    }

    /// Forgets the requests that `is_gone`.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&R) -> bool) {
        self.requests.retain(|it| !is_gone(&it.listener));
    }

    /// The next batch. It must be committed before another is planned.
    pub(crate) fn plan(&mut self) -> EncoderPlan {
        let mut plan = EncoderPlan::default();
        loop {
            let before = plan.len();
            for (place, request) in self.requests.iter_mut().enumerate() {
                let Some(text) = request.texts.get(request.planned) else {
                    continue;
                };
                let tokens = plan.tokens + text.tokens.len();
                if plan.len() > 0 && tokens > self.batch_tokens_max {
                    return plan;
                }
                plan.texts.push((place, request.planned));
                plan.tokens = tokens;
                request.planned += 1;
            }
            if plan.len() == before {
                return plan;
            }
        }
    }

    /// Tells each listener of a request in `plan` that its turn has come.
    pub(crate) fn begun(&mut self, plan: &EncoderPlan, mut tell: impl FnMut(&mut R)) {
        for (place, _) in &plan.texts {
            tell(&mut self.requests[*place].listener);
        }
    }

    /// The texts of `plan`, in its order.
    pub(crate) fn texts(&self, plan: &EncoderPlan) -> Vec<&EncoderText> {
        let text = |(place, index): &(usize, usize)| &self.requests[*place].texts[*index];
        plan.texts.iter().map(text).collect()
    }

    /// Takes the results of `plan`, a row a text, or that it failed; gives the requests that are done.
    pub(crate) fn commit(
        &mut self,
        plan: EncoderPlan,
        results: Option<Vec<Vec<f32>>>,
    ) -> Vec<Encoded<R>> {
        let mut failed = vec![false; self.requests.len()];
        match results {
            Some(results) => {
                for ((place, _), result) in plan.texts.into_iter().zip(results) {
                    self.requests[place].results.push(result);
                }
            }
            None => plan
                .texts
                .iter()
                .for_each(|(place, _)| failed[*place] = true),
        }
        let mut done = Vec::new();
        let mut left = VecDeque::new();
        for (request, has_failed) in std::mem::take(&mut self.requests).into_iter().zip(failed) {
            let is_whole = request.results.len() == request.texts.len();
            if has_failed || is_whole {
                done.push(Encoded {
                    listener: request.listener,
                    results: (!has_failed).then_some(request.results),
                });
            } else {
                left.push_back(request);
            }
        }
        self.requests = left;
        done
    }
}

#[cfg(test)]
mod tests {
    use sconce_domain::TokenId;

    use super::*;

    fn text(length: usize) -> EncoderText {
        EncoderText {
            tokens: vec![TokenId(0); length],
            second_starts: length,
        }
    }

    fn queue(requests: &[&[usize]]) -> EncoderQueue<usize> {
        let mut queue = EncoderQueue::new(10);
        for (listener, lengths) in requests.iter().enumerate() {
            let texts = lengths.iter().map(|it| text(*it)).collect();
            queue.push(texts, listener);
        }
        queue
    }

    /// Runs batches to the end; each text's result is its request and its length.
    fn run(queue: &mut EncoderQueue<usize>) -> (Vec<usize>, Vec<Encoded<usize>>) {
        let (mut batches, mut done) = (Vec::new(), Vec::new());
        while !queue.is_empty() {
            let plan = queue.plan();
            assert!(plan.len() > 0);
            batches.push(plan.tokens);
            let texts = queue.texts(&plan);
            let results = texts.iter().map(|it| vec![it.tokens.len() as f32]);
            let results = results.collect();
            done.extend(queue.commit(plan, Some(results)));
        }
        (batches, done)
    }

    #[test]
    fn requests_take_turns_and_each_gets_its_own_results_in_order() {
        let mut queue = queue(&[&[4, 3, 2, 1], &[2], &[1, 5]]);
        assert_eq!(queue.waiting(), 7);
        let (batches, done) = run(&mut queue);
        assert_eq!(batches, [10, 8]);
        let listeners: Vec<usize> = done.iter().map(|it| it.listener).collect();
        assert_eq!(listeners, [1, 0, 2]);
        let results = |at: usize| done[at].results.clone().unwrap().concat();
        assert_eq!(results(1), [4.0, 3.0, 2.0, 1.0]);
        assert_eq!(results(2), [1.0, 5.0]);
    }

    #[test]
    fn a_text_longer_than_a_batch_has_one_of_its_own() {
        let (batches, done) = run(&mut queue(&[&[40], &[3], &[8]]));
        assert_eq!((batches, done.len()), (vec![40, 3, 8], 3));
    }

    #[test]
    fn a_batch_that_failed_ends_the_requests_that_were_in_it_and_no_others() {
        let mut queue = queue(&[&[9, 9], &[1], &[9]]);
        let plan = queue.plan();
        let done = queue.commit(plan, None);
        let failed: Vec<usize> = done.iter().map(|it| it.listener).collect();
        assert_eq!(failed, [0, 1]);
        assert!(done.iter().all(|it| it.results.is_none()));
        let (_, done) = run(&mut queue);
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].results, Some(vec![vec![9.0]]));
    }

    #[test]
    fn who_has_left_is_not_computed_for() {
        let mut queue = queue(&[&[1, 1], &[2], &[3]]);
        queue.forget(|listener| *listener == 1);
        let (batches, done) = run(&mut queue);
        assert_eq!((batches, done.len()), (vec![5], 2));
    }
}
