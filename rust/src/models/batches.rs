//! One batch through a graph; on a device in halves where there is no memory for it, and in float32 where float16 overflowed.

use super::model::{Model, Verb, form_of, session_of};
use crate::batch::{Batch, Inputs};
use crate::outputs::{Outcome, RowError, not_finite_texts};
use crate::run::{Permit, Place};
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// One call's way of running batches.
struct Runner<'a, 'p, V> {
    model: &'a Model,
    place: Place<'p>,
    tokens: &'a [Tokens],
    verb: &'a V,
}

type Enter<'e, 'p> = dyn FnMut() -> Result<Permit<'p>> + 'e;

impl Model {
    /// Runs one batch of items, while it has what `enter` gives; a row for each of them, in the batch's order.
    pub(super) fn run_batch<'p, I, V: Verb<I>>(
        &self,
        place: Place<'p>,
        tokens: &[Tokens],
        batch: &Batch,
        verb: &V,
        mut enter: impl FnMut() -> Result<Permit<'p>>,
    ) -> Outcome<Vec<V::Row>> {
        Runner { model: self, place, tokens, verb }.run(batch, false, &mut enter)
    }
}

/// What a run gave.
enum Ran<R> {
    Rows(Vec<R>),
    /// These texts of the batch, by their places in it, are not finite in float16.
    Overflowed(Vec<usize>),
}

impl<'p, V> Runner<'_, 'p, V> {
    fn run<I>(&self, batch: &Batch, exact: bool, enter: &mut Enter<'_, 'p>) -> Outcome<Vec<V::Row>>
    where
        V: Verb<I>,
    {
        match self.once(batch, exact, enter) {
            Ok(Ran::Rows(rows)) => Ok(rows),
            Ok(Ran::Overflowed(texts)) => {
                let (wrong, right) = split(batch, |place| texts.contains(&place));
                let again = self.run(&wrong, true, enter)?;
                let others = if right.rows.is_empty() { Vec::new() } else { self.run(&right, false, enter)? };
                Ok(merged(batch, [(wrong, again), (right, others)]))
            }
            Err(RowError::Other(Error::OutOfMemory(_))) if batch.rows.len() > 1 && self.place.on_device() => {
                let (first, second) = split(batch, |place| place < batch.rows.len() / 2);
                let mut rows = self.run(&first, exact, enter)?;
                rows.extend(self.run(&second, exact, enter)?);
                Ok(rows)
            }
            Err(error) => Err(error),
        }
    }

    fn once<I>(&self, batch: &Batch, exact: bool, enter: &mut Enter<'_, 'p>) -> Outcome<Ran<V::Row>>
    where
        V: Verb<I>,
    {
        let Self { model, place, tokens, verb } = self;
        let form = form_of(*verb, batch.layout, exact);
        let session = session_of(*place, form)?;
        let inputs = Inputs::new(batch, tokens, model.rules());
        let feed = session.feed(&inputs)?;
        let permit = model.shares().waiting.of(enter)?;
        let values = model.shares().running.of(|| place.run(&session, &feed, form.outputs))?;
        drop(permit);
        let arrays = values.arrays()?;
        verb.read(model, &inputs, &arrays).map(Ran::Rows).or_else(|error| match error {
            RowError::NotFinite { row } if exact || !model.sessions().half() => {
                Err(RowError::NotFinite { row: batch.rows[row] })
            }
            RowError::NotFinite { .. } => Ok(Ran::Overflowed(not_finite_texts(&inputs, &arrays))),
            other @ RowError::Other(_) => Err(other),
        })
    }
}

/// Two batches of one: the rows at places that are chosen, and the others.
fn split(batch: &Batch, chosen: impl Fn(usize) -> bool) -> (Batch, Batch) {
    let of = |wanted: bool| {
        let rows = batch.rows.iter().enumerate().filter(|(place, _)| chosen(*place) == wanted);
        Batch { rows: rows.map(|(_, &row)| row).collect(), length: batch.length, layout: batch.layout }
    };
    (of(true), of(false))
}

/// Results of parts in the order of the whole.
fn merged<R>(whole: &Batch, parts: [(Batch, Vec<R>); 2]) -> Vec<R> {
    let of_part = |(batch, results): (Batch, Vec<R>)| batch.rows.into_iter().zip(results);
    let mut results: std::collections::HashMap<usize, R> = parts.into_iter().flat_map(of_part).collect();
    whole.rows.iter().filter_map(|row| results.remove(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Layout;

    #[test]
    fn parts_come_together_in_the_order_of_the_whole() {
        let whole = Batch { rows: vec![7, 3, 9, 1], length: 2, layout: Layout::Packed };
        let (wrong, right) = split(&whole, |place| [1, 2].contains(&place));
        assert_eq!((&wrong.rows[..], &right.rows[..]), (&[3, 9][..], &[7, 1][..]));
        assert_eq!(merged(&whole, [(wrong, vec!["3", "9"]), (right, vec!["7", "1"])]), ["7", "3", "9", "1"]);
    }
}
