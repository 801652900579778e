//! The best of many scores for each query, kept while the scores come block by block.

use std::cmp::Ordering;
use std::thread;

use crate::run::available_threads;
use crate::{Error, Result};

/// Scores that one comparison passes over; nearly all that come after the first blocks are too low.
const LANES: usize = 16;
/// Room beside the `k` best, so that they are seldom selected anew.
const LEAST_ROOM: usize = 64;
/// Scores of a block from which on threads are worth their start.
const WORTH_THREADS: usize = 1 << 20;

/// The `k` best scores of each query; of equal ones those at the lowest places. Negative infinity is no hit.
pub struct Best {
    k: usize,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Hit {
    score: f32,
    place: u32,
}

struct Row {
    kept: Vec<Hit>,
    /// What is not above it is no longer among the best: places only rise.
    least: f32,
    excluded: Vec<u32>,
}

impl Best {
    /// Of `excluded.len()` queries, each with the places that are no hits of it.
    #[must_use]
    pub fn new(k: usize, excluded: Vec<Vec<u32>>) -> Self {
        let row = |mut excluded: Vec<u32>| {
            excluded.sort_unstable();
            Row { kept: Vec::new(), least: f32::NEG_INFINITY, excluded }
        };
        Self { k, rows: excluded.into_iter().map(row).collect() }
    }

    /// Number of queries.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.rows.len()
    }

    /// Takes the scores of some queries, from `first_query` on, a row each, with the places from `first_place` on, which must lie
    /// behind those that the queries were given before.
    ///
    /// # Errors
    ///
    /// [`Error::Numerics`] for a score that is not a number or infinite; [`Error::Value`] for places beyond 32 bits.
    pub fn offer(&mut self, scores: &[f32], width: usize, first_query: usize, first_place: usize) -> Result<()> {
        if u32::try_from(first_place + width).is_err() {
            return Err(Error::Value(format!("place {} is beyond {}", first_place + width, u32::MAX)));
        }
        if width == 0 || self.k == 0 {
            return Ok(());
        }
        let count = scores.len() / width;
        let rows = &mut self.rows[first_query..first_query + count];
        let threads = if scores.len() < WORTH_THREADS { 1 } else { available_threads().min(count) };
        let share = count.div_ceil(threads.max(1)).max(1);
        let parts: Vec<_> = rows.chunks_mut(share).zip(scores.chunks(share * width)).collect();
        let k = self.k;
        let take = |(rows, scores): (&mut [Row], &[f32])| {
            let mut each = rows.iter_mut().zip(scores.chunks(width)).enumerate();
            each.find_map(|(place, (row, scores))| Some((place, row.take(scores, first_place, k)?)))
        };
        let failures: Vec<_> = if threads == 1 {
            parts.into_iter().map(take).collect()
        } else {
            thread::scope(|scope| {
                let running: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || take(part))).collect();
                running.into_iter().map(|thread| thread.join().unwrap_or(None)).collect()
            })
        };
        let first = failures.into_iter().enumerate().find_map(|(part, failure)| Some((part * share, failure?)));
        first.map_or(Ok(()), |(start, (row, place))| Err(not_finite(first_query + start + row, place)))
    }

    /// Scores and places so far, best first, and how many there are of each query: as many as the most hits of one, `k` at most.
    /// Behind the last hit stand negative infinity and -1.
    #[must_use]
    pub fn result(&mut self) -> (Vec<f32>, Vec<i64>, usize) {
        let width = self.rows.iter().map(|row| row.kept.len()).max().unwrap_or(0).min(self.k);
        let mut scores = vec![f32::NEG_INFINITY; self.rows.len() * width];
        let mut places = vec![-1; self.rows.len() * width];
        for (row, start) in self.rows.iter_mut().zip((0..).step_by(width.max(1))) {
            row.kept.sort_unstable_by(better);
            for (hit, at) in row.kept.iter().take(width).zip(start..) {
                (scores[at], places[at]) = (hit.score, i64::from(hit.place));
            }
        }
        (scores, places, width)
    }
}

impl Row {
    /// Takes the scores of the places from `first` on; gives the place of the first that is no finite number.
    fn take(&mut self, scores: &[f32], first: usize, k: usize) -> Option<usize> {
        for (part, first) in scores.chunks(LANES).zip((first..).step_by(LANES)) {
            #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "what is not a number must be seen too")]
            #[expect(clippy::needless_bitwise_bool, reason = "vectors have no lazy operator")]
            let any = part.iter().fold(false, |any, score| any | !(*score <= self.least));
            if !any {
                continue;
            }
            for (&score, place) in part.iter().zip(first..) {
                if score <= self.least {
                    continue;
                }
                if !score.is_finite() {
                    return Some(place);
                }
                self.keep(score, place, k);
            }
        }
        None
    }

    #[expect(clippy::cast_possible_truncation, reason = "`offer` has seen that places have 32 bits")]
    fn keep(&mut self, score: f32, place: usize, k: usize) {
        let place = place as u32;
        if self.excluded.binary_search(&place).is_ok() {
            return;
        }
        self.kept.push(Hit { score, place });
        if self.kept.len() >= k.saturating_add(k.max(LEAST_ROOM)) {
            self.kept.select_nth_unstable_by(k - 1, better);
            self.kept.truncate(k);
            self.least = self.kept[k - 1].score;
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as sorting takes it")]
fn better(one: &Hit, other: &Hit) -> Ordering {
    other.score.partial_cmp(&one.score).unwrap_or(Ordering::Equal).then(one.place.cmp(&other.place))
}

fn not_finite(query: usize, place: usize) -> Error {
    Error::Numerics(format!(
        "queries[{query}] and vectors[{place}] have no finite score: look for NaN or infinite numbers in one of them"
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    /// Scores of few values, so that many are equal.
    fn scores(queries: usize, width: usize) -> Vec<f32> {
        let mut state = 7_u32;
        let next = move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 24).unwrap_or(0) % 50)
        };
        (0..queries * width).map(next).collect()
    }

    fn sorted(row: &[f32], k: usize, excluded: &[u32]) -> Vec<i64> {
        let mut places: Vec<_> =
            (0..row.len()).filter(|place| !excluded.contains(&u32::try_from(*place).unwrap())).collect();
        places.sort_by(|one, other| row[*other].total_cmp(&row[*one]));
        places.into_iter().take(k).map(|place| i64::try_from(place).unwrap()).collect()
    }

    #[test]
    fn blocks_give_what_sorting_gives() {
        let (queries, width) = (3, 1000);
        let all = scores(queries, width);
        for (k, block) in [(1, 7), (10, 1000), (100, 33), (999, 64)] {
            let excluded = vec![vec![], vec![3, 999, 5], vec![0]];
            let mut best = Best::new(k, excluded.clone());
            for start in (0..width).step_by(block) {
                let end = width.min(start + block);
                let tile: Vec<f32> = all.chunks(width).flat_map(|row| &row[start..end]).copied().collect();
                best.offer(&tile, end - start, 0, start).unwrap();
            }
            let (_, places, found) = best.result();
            for ((row, found), excluded) in all.chunks(width).zip(places.chunks(found)).zip(&excluded) {
                let found: Vec<_> = found.iter().copied().filter(|place| *place >= 0).collect();
                assert_eq!(found, sorted(row, k, excluded));
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        let (queries, width) = (64, 1 << 15);
        let all = scores(queries, width);
        let mut whole = Best::new(20, vec![vec![]; queries]);
        whole.offer(&all, width, 0, 0).unwrap();
        let mut single = Best::new(20, vec![vec![]; queries]);
        for (query, row) in all.chunks(width).enumerate() {
            single.offer(row, width, query, 0).unwrap();
        }
        assert_eq!(whole.result(), single.result());
    }

    #[test]
    fn rows_are_as_wide_as_the_most_hits_and_minus_infinity_is_no_hit() {
        let mut best = Best::new(usize::MAX, vec![vec![]; 2]);
        best.offer(&[1.0, f32::NEG_INFINITY, 2.0, 3.0], 2, 0, 0).unwrap();
        assert_eq!(best.result(), (vec![1.0, f32::NEG_INFINITY, 3.0, 2.0], vec![0, -1, 1, 0], 2));
    }

    #[test]
    fn what_is_not_finite_is_named() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut best = Best::new(1, vec![vec![], vec![]]);
            let error = best.offer(&[1.0, 2.0, 3.0, bad], 2, 0, 10).unwrap_err().to_string();
            assert!(error.starts_with("queries[1] and vectors[11]"), "{error}");
        }
    }
}
