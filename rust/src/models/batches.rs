//! One batch through a graph; on a device in halves where there is no memory for it, and in float32 where float16 overflowed.

use std::collections::HashMap;

use super::model::{Model, Verb, form_of, session_of};
use crate::batch::{Batch, Inputs, beside_queries};
use crate::ort::Values;
use crate::outputs::{Outcome, RowError, not_finite_texts};
use crate::run::{Permit, Place, Watcher, interruptible};
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// What one run of a batch gave.
enum Ran<R> {
    /// A row for each text.
    Rows(Vec<R>),
    /// These texts, by their places in the batch, are not finite in float16.
    Overflowed(Vec<usize>),
}

impl Model {
    /// Runs one batch of items, while it has what `enter` gives; a row for each of them, in the batch's order.
    pub(super) fn run_batch<'p, 'w, I, V: Verb<I>>(
        &self,
        place: Place<'p>,
        tokens: &[Tokens],
        batch: &Batch,
        verb: &V,
        mut enter: impl FnMut(&mut Watcher<'w>) -> Result<Permit<'p>>,
        watcher: &mut Watcher<'w>,
    ) -> Outcome<Vec<V::Row>> {
        let mut once = |batch: &Batch, exact| {
            let form = form_of(verb, batch.layout, exact);
            let session = session_of(place, form)?;
            let mut inputs = Inputs::new(batch, tokens, self.rules());
            inputs.past = verb.beginning().cloned();
            if form.depth.compressed != 0 {
                let around: Vec<_> = batch.rows.iter().map(|&row| [tokens[row].first, verb.behind()]).collect();
                inputs.compress(form.depth.compressing(), form.depth.ratio as usize, &around);
            }
            let feed = session.feed(&inputs)?;
            let permit = self.shares().waiting.of(|| enter(watcher))?;
            let run = || place.run(&permit, form, &feed, form.outputs);
            let slow = self.sessions().runs_take_long();
            let values = self.shares().running.of(|| if slow { interruptible(watcher, &run) } else { run() });
            drop(permit);
            let values = values.inspect_err(|error| self.counts().failed(error))?;
            self.counts().ran(&inputs);
            self.rows(batch, &inputs, &values, verb, exact)
        };
        if !place.on_device() {
            return rows_of(once(batch, false)?);
        }
        let length = |row: usize| tokens[row].ids.len();
        in_parts(batch, &length, &|| place.beside_queries(), &mut |part| finish(part, false, &mut once))
    }

    /// What a run of a batch gave.
    fn rows<I, V: Verb<I>>(
        &self,
        batch: &Batch,
        inputs: &Inputs,
        values: &Values,
        verb: &V,
        exact: bool,
    ) -> Outcome<Ran<V::Row>> {
        let arrays = values.arrays()?;
        match verb.read(self, inputs, &arrays) {
            Ok(rows) => Ok(Ran::Rows(rows)),
            Err(RowError::NotFinite { row }) if self.sessions().half() && !exact => {
                let mut texts = not_finite_texts(inputs, &arrays);
                texts.extend((!texts.contains(&row)).then_some(row));
                self.counts().redone.add(texts.len());
                Ok(Ran::Overflowed(texts))
            }
            Err(RowError::NotFinite { row }) => Err(RowError::NotFinite { row: batch.rows[row] }),
            Err(error) => Err(error),
        }
    }
}

/// Rows of a batch by `run`, which is given small parts of it while somebody else waits.
fn in_parts<R>(
    batch: &Batch,
    length: &dyn Fn(usize) -> usize,
    others_wait: &dyn Fn() -> bool,
    run: &mut dyn FnMut(&Batch) -> Outcome<Vec<R>>,
) -> Outcome<Vec<R>> {
    let mut rows = Vec::with_capacity(batch.rows.len());
    while rows.len() < batch.rows.len() {
        let rest = &batch.rows[rows.len()..];
        let lengths = rest.iter().map(|&row| length(row));
        let count = if others_wait() { beside_queries(lengths) } else { rest.len() };
        let part = Batch { rows: rest[..count].to_vec(), length: length(rest[0]), layout: batch.layout };
        rows.extend(run(&part)?);
    }
    Ok(rows)
}

/// Rows of a batch by `once`, which runs a part of it, `exact` or not, as often as that takes.
fn finish<R>(batch: &Batch, exact: bool, once: &mut dyn FnMut(&Batch, bool) -> Outcome<Ran<R>>) -> Outcome<Vec<R>> {
    match once(batch, exact) {
        Ok(Ran::Overflowed(texts)) => {
            let (wrong, right) = split(batch, |place| texts.contains(&place));
            let again = finish(&wrong, true, once)?;
            let others = if right.rows.is_empty() { Vec::new() } else { finish(&right, exact, once)? };
            Ok(merged(batch, [(wrong, again), (right, others)]))
        }
        Err(RowError::Other(Error::OutOfMemory(_))) if batch.rows.len() > 1 => {
            let (first, second) = split(batch, |place| place < batch.rows.len() / 2);
            let mut rows = finish(&first, exact, once)?;
            rows.extend(finish(&second, exact, once)?);
            Ok(rows)
        }
        ran => rows_of(ran?),
    }
}

fn rows_of<R>(ran: Ran<R>) -> Outcome<Vec<R>> {
    match ran {
        Ran::Rows(rows) => Ok(rows),
        Ran::Overflowed(texts) => Err(RowError::NotFinite { row: texts.first().copied().unwrap_or_default() }),
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
    let mut results: HashMap<usize, R> = parts.into_iter().flat_map(of_part).collect();
    whole.rows.iter().filter_map(|row| results.remove(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Layout;

    /// A device with room for so many texts a run, on which the texts of these numbers overflow in float16.
    struct Device<'a> {
        room: usize,
        overflow: &'a [usize],
        not_even_exact: &'a [usize],
        ran: Vec<(Vec<usize>, bool)>,
    }

    impl Device<'_> {
        fn once(&mut self, batch: &Batch, exact: bool) -> Outcome<Ran<(usize, bool)>> {
            self.ran.push((batch.rows.clone(), exact));
            if batch.rows.len() > self.room {
                return Err(Error::OutOfMemory("the device is full".into()).into());
            }
            if let (true, Some(&row)) = (exact, batch.rows.iter().find(|row| self.not_even_exact.contains(row))) {
                return Err(RowError::NotFinite { row });
            }
            let over = |place: &usize| self.overflow.contains(&batch.rows[*place]);
            let places: Vec<usize> = (0..batch.rows.len()).filter(over).collect();
            if exact || places.is_empty() {
                return Ok(Ran::Rows(batch.rows.iter().map(|&row| (row, exact)).collect()));
            }
            Ok(Ran::Overflowed(places))
        }
    }

    const ROOMY: Device = Device { room: 100, overflow: &[], not_even_exact: &[], ran: Vec::new() };

    fn run(device: &mut Device) -> Outcome<Vec<(usize, bool)>> {
        let batch = Batch { rows: vec![7, 3, 9, 1, 5], length: 2, layout: Layout::Packed };
        finish(&batch, false, &mut |batch, exact| device.once(batch, exact))
    }

    #[test]
    fn without_memory_halves_are_tried_and_rows_keep_their_order() {
        let mut device = Device { room: 2, ..ROOMY };
        assert_eq!(run(&mut device).expect("fits"), [7, 3, 9, 1, 5].map(|row| (row, false)));
        let ran: Vec<_> = device.ran.into_iter().map(|(rows, _)| rows).collect();
        assert_eq!(ran, [vec![7, 3, 9, 1, 5], vec![7, 3], vec![9, 1, 5], vec![9], vec![1, 5]]);
        let full = run(&mut Device { room: 0, ..ROOMY });
        assert!(matches!(full, Err(RowError::Other(Error::OutOfMemory(_)))));
    }

    #[test]
    fn what_overflows_is_computed_again_in_float32_and_nothing_else() {
        let mut device = Device { overflow: &[3, 1], ..ROOMY };
        let rows = run(&mut device).expect("is finite in float32");
        assert_eq!(rows, [(7, false), (3, true), (9, false), (1, true), (5, false)]);
        assert_eq!(device.ran[1..], [(vec![3, 1], true), (vec![7, 9, 5], false)]);
    }

    #[test]
    fn both_at_once_end_too() {
        let mut device = Device { room: 1, overflow: &[9], ..ROOMY };
        let rows = run(&mut device).expect("fits");
        assert_eq!(rows, [(7, false), (3, false), (9, true), (1, false), (5, false)]);
    }

    #[test]
    fn while_others_wait_parts_are_small_and_rows_keep_their_order() {
        let batch = Batch { rows: (0..100).rev().collect(), length: 1000, layout: Layout::Packed };
        let (mut runs, looked) = (Vec::new(), std::cell::Cell::new(0));
        // A query comes when two runs are over, and goes after two more.
        let others_wait = || (2..4).contains(&looked.replace(looked.get() + 1));
        let mut run = |part: &Batch| {
            runs.push(part.rows.len());
            Ok(part.rows.clone())
        };
        let alone = in_parts(&batch, &|_| 1000, &|| false, &mut run).expect("runs");
        assert_eq!((alone, std::mem::take(&mut runs)), (batch.rows.clone(), vec![100]));
        looked.set(2);
        let mut run = |part: &Batch| {
            assert_eq!(part.length, 1000);
            runs.push(part.rows.len());
            Ok(part.rows.clone())
        };
        assert_eq!(in_parts(&batch, &|_| 1000, &others_wait, &mut run).expect("runs"), batch.rows);
        assert_eq!(runs, [8, 8, 84]);
    }

    #[test]
    fn a_text_that_is_not_finite_in_float32_is_named() {
        let mut device = Device { overflow: &[9, 3], not_even_exact: &[9], ..ROOMY };
        assert!(matches!(run(&mut device), Err(RowError::NotFinite { row: 9 })));
    }

    #[test]
    fn a_device_that_dies_is_not_tried_again() {
        let mut runs = 0;
        let batch = Batch { rows: vec![1, 2], length: 2, layout: Layout::Packed };
        let mut dying = |_: &Batch, _| -> Outcome<Ran<()>> {
            runs += 1;
            Err(Error::Device("the thread of cuda:0 ended".into()).into())
        };
        assert!(matches!(finish(&batch, false, &mut dying), Err(RowError::Other(Error::Device(_)))));
        assert_eq!(runs, 1);
    }
}
