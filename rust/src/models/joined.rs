//! Calls of one batch. Those that wait for the same kind of run share one; each row goes to the call that it came from.

use std::sync::{Arc, Mutex, PoisonError};

use super::model::{Model, Verb, form_of, session_of};
use crate::batch::plan;
use crate::outputs::Outcome;
use crate::panics::caught;
use crate::run::{Patience, Permit, Place, TakenAlong, Turn, Watcher};
use crate::tokenizer::Tokens;

/// What a call waits for.
struct Request<V, R> {
    verb: V,
    tokens: Vec<Tokens>,
    answer: Mutex<Option<Vec<R>>>,
}

impl<V, R> Request<V, R> {
    fn longest(&self) -> usize {
        longest(&self.tokens)
    }

    fn take_answer(&self) -> Option<Vec<R>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Model {
    /// Rows of items that make one batch, in their order.
    pub(super) fn run_small<I, V: Verb<I>>(
        &self,
        place: Place,
        tokens: &[Tokens],
        verb: &V,
        watcher: &mut Watcher,
    ) -> Outcome<Vec<V::Row>> {
        // What is opened first keeps nobody waiting.
        for batch in self.batches(place, tokens, verb)? {
            session_of(place, form_of(verb, batch.layout, false))?;
        }
        let wanted = || {
            let request = || Request { verb: verb.clone(), tokens: tokens.to_vec(), answer: Mutex::new(None) };
            (!self.patience().alone).then(|| Arc::new(request()))
        };
        let rows = match self.shares().waiting.of(|| place.queue().enter(wanted, watcher))? {
            Turn::Own(permit) => {
                let others = if self.patience().alone { Vec::new() } else { self.others(tokens, verb, &permit) };
                if others.is_empty() {
                    return self.run_all(place, tokens, verb, Some(permit), watcher);
                }
                self.run_together(place, tokens, verb, permit, others)
            }
            Turn::Served(request) => request.take_answer(),
        };
        // Whose fault it is that there are no rows shows when each call is run for itself.
        rows.map_or_else(|| self.run_all(place, tokens, verb, None, watcher), Ok)
    }

    /// Those who wait for the same and fit into a batch.
    fn others<'p, I, V: Verb<I>>(
        &self,
        tokens: &[Tokens],
        verb: &V,
        permit: &Permit<'p>,
    ) -> Vec<TakenAlong<'p, Request<V, V::Row>>> {
        permit.take_along(|others| self.chosen(tokens, verb, others))
    }

    /// Rows of a call's own items, after those of others got theirs; `None` where that went wrong.
    fn run_together<'p, I, V: Verb<I>>(
        &self,
        place: Place<'p>,
        tokens: &[Tokens],
        verb: &V,
        permit: Permit<'p>,
        others: Vec<TakenAlong<Request<V, V::Row>>>,
    ) -> Option<Vec<V::Row>> {
        let mut all = tokens.to_vec();
        all.extend(others.iter().flat_map(|other| other.request.tokens.iter().cloned()));
        let mut until_done = |_| true;
        let mut watcher = Watcher::new(&mut until_done, Patience::default());
        let rows = caught(|| Ok(self.run_all(place, &all, verb, Some(permit), &mut watcher)));
        let mut rows = rows.ok()?.ok()?.into_iter();
        let own = rows.by_ref().take(tokens.len()).collect();
        for other in others {
            let answer = rows.by_ref().take(other.request.tokens.len()).collect();
            *other.request.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        }
        Some(own)
    }

    /// Places of those that make one batch with a call's own items: those closest in length, which need least padding.
    fn chosen<I, V: Verb<I>>(&self, own: &[Tokens], verb: &V, others: &[Arc<Request<V, V::Row>>]) -> Vec<usize> {
        let length = longest(own);
        let mut places: Vec<usize> = (0..others.len()).filter(|&place| others[place].verb == *verb).collect();
        places.sort_by_key(|&place| others[place].longest().abs_diff(length));
        let capacity = self.sessions().capacity(verb.batch_size(), verb.outputs());
        let fits = |count: usize| {
            let taken = places[..count].iter().flat_map(|&place| &others[place].tokens);
            let lengths: Vec<usize> = own.iter().chain(taken).map(|text| text.ids.len()).collect();
            plan(&lengths, capacity).len() == 1
        };
        let counts: Vec<usize> = (1..=places.len()).collect();
        places.truncate(counts.partition_point(|&count| fits(count)));
        places
    }

    /// Rows of items in their order, of one batch, or of several where the graph takes no mask any more; the first one with
    /// the run that the caller has already.
    fn run_all<'p, I, V: Verb<I>>(
        &self,
        place: Place<'p>,
        tokens: &[Tokens],
        verb: &V,
        mut permit: Option<Permit<'p>>,
        watcher: &mut Watcher,
    ) -> Outcome<Vec<V::Row>> {
        let mut rows: Vec<Option<V::Row>> = tokens.iter().map(|_| None).collect();
        for batch in self.batches(place, tokens, verb)? {
            let enter = |watcher: &mut _| permit.take().map_or_else(|| place.enter(watcher), Ok);
            let results = self.run_batch(place, tokens, &batch, verb, enter, watcher)?;
            for (&row, result) in batch.rows.iter().zip(results) {
                rows[row] = Some(result);
            }
        }
        Ok(rows.into_iter().flatten().collect())
    }
}

fn longest(tokens: &[Tokens]) -> usize {
    tokens.iter().map(|text| text.ids.len()).max().unwrap_or_default()
}
