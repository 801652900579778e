//! The items of a call, window by window; one that comes again is found by its text.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::model::Rows;
use crate::tokenizer::Tokens;

/// Items tokenized and sorted together, and bytes of their texts: that bounds the memory for ids, whatever a call brings.
const NEW: usize = 4096;
const BYTES: usize = 8 << 20;
/// Items of a window together with those that came before.
const ALL: usize = 1 << 16;
/// Items that are remembered: 45 MB where a call has as many.
const REMEMBERED: usize = 900_000;

/// The text of an item, or both of a pair.
type Texts<'a> = (&'a str, &'a str);

/// Cuts the items of a call into windows.
pub(super) struct Windows<'a, I> {
    items: &'a [I],
    texts: fn(&I) -> Texts<'_>,
    next: usize,
    places: HashMap<Texts<'a>, usize>,
}

/// A part of the items, in their order.
pub(super) struct Window {
    /// Places of those that are new.
    pub new: Vec<usize>,
    /// Places of those that came before, each with the place where they came first.
    pub again: Vec<(usize, usize)>,
}

impl Window {
    /// Tells `rows` what comes, place by place.
    pub(super) fn expect<R>(&self, tokens: &[Tokens], rows: &mut dyn Rows<R>) {
        let mut again = self.again.iter().peekable();
        for (&place, text) in self.new.iter().zip(tokens) {
            while let Some((_, first)) = again.next_if(|(other, _)| *other < place) {
                rows.expect_again(*first);
            }
            rows.expect(place, text);
        }
        again.for_each(|(_, first)| rows.expect_again(*first));
    }
}

impl<'a, I> Windows<'a, I> {
    pub(super) fn new(items: &'a [I], texts: fn(&I) -> Texts<'_>) -> Self {
        Self { items, texts, next: 0, places: HashMap::new() }
    }

    /// Whether nothing is left.
    pub(super) fn ended(&self) -> bool {
        self.next == self.items.len()
    }

    /// The place of the same texts before; else they are remembered for `place`, where there is memory.
    fn before(&mut self, texts: Texts<'a>, place: usize) -> Option<usize> {
        if self.places.len() == REMEMBERED || self.places.try_reserve(1).is_err() {
            self.places = HashMap::new();
        }
        match self.places.entry(texts) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(slot) => {
                slot.insert(place);
                None
            }
        }
    }
}

impl<I> Iterator for Windows<'_, I> {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let first = self.next;
        let mut window = Window { new: Vec::new(), again: Vec::new() };
        let mut bytes = 0;
        while let Some(item) = self.items.get(self.next)
            && self.next - first < ALL
            && window.new.len() < NEW
            && bytes < BYTES
        {
            let texts = (self.texts)(item);
            if let Some(place) = self.before(texts, self.next) {
                window.again.push((self.next, place));
            } else {
                window.new.push(self.next);
                bytes += texts.0.len() + texts.1.len();
            }
            self.next += 1;
        }
        (self.next > first).then_some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(texts: &[String]) -> Vec<Window> {
        Windows::new(texts, |text| (text, "")).collect()
    }

    #[test]
    fn every_place_is_in_one_window_and_what_comes_again_names_its_first() {
        let texts: Vec<String> = (0..20_000).map(|i| format!("text {}", (i * 7919) % 9000)).collect();
        let mut seen = 0;
        for window in windows(&texts) {
            assert!(window.new.len() <= NEW);
            let mut places: Vec<usize> = window.new.clone();
            places.extend(window.again.iter().map(|(place, _)| place));
            places.sort_unstable();
            assert_eq!(places, (seen..seen + places.len()).collect::<Vec<_>>());
            seen += places.len();
            for (place, first) in window.again {
                assert!(first < place && texts[first] == texts[place]);
                assert_eq!(texts.iter().position(|text| *text == texts[place]), Some(first));
            }
        }
        assert_eq!(seen, texts.len());
    }

    #[test]
    fn long_texts_and_many_that_are_the_same_end_a_window_too() {
        let long: Vec<String> = (0..5).map(|i| format!("{i}").repeat(BYTES / 2)).collect();
        assert_eq!(windows(&long).iter().map(|window| window.new.len()).collect::<Vec<_>>(), [2, 2, 1]);
        let same = vec![String::new(); ALL + 3];
        let sizes: Vec<_> = windows(&same).iter().map(|window| (window.new.len(), window.again.len())).collect();
        assert_eq!(sizes, [(1, ALL - 1), (0, 3)]);
        assert!(windows(&[]).is_empty());
    }

    #[test]
    fn pairs_are_the_same_where_both_texts_are() {
        let pairs = [("a", "b"), ("ab", ""), ("a", "b"), ("", "ab")];
        let window = Windows::new(&pairs, |pair| *pair).next().expect("there are pairs");
        assert_eq!((window.new, window.again), (vec![0, 1, 3], vec![(2, 0)]));
    }
}
