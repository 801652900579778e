use super::*;
use crate::kernels::testing::{Several, assert_close, assert_same_bits, every_width, numbers};
use crate::kernels::threads::Alone;

/// Texts of some lengths with their merged rows: queries of all heads, then keys, then values.
struct Texts {
    heads: usize,
    key_heads: usize,
    size: usize,
    starts: Vec<usize>,
    rows: Vec<f32>,
    rotary: RotaryTable,
    scales: [Vec<f32>; 2],
    shared: usize,
    cap: Option<f32>,
    window: Option<usize>,
    normed: bool,
}

const THETA: f64 = 10_000.0;
const EPSILON: f32 = 1e-6;

impl Texts {
    fn new([heads, key_heads, size]: [usize; 3], lengths: &[usize]) -> Self {
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        let rows = numbers(starts[starts.len() - 1] * (heads + 2 * key_heads) * size, 7);
        let rotary = RotaryTable::new(size, THETA, 1.0);
        let scales = [3, 4].map(|seed| numbers(size, seed));
        let (shared, cap, window, normed) = (0, None, None, false);
        Self { heads, key_heads, size, starts, rows, rotary, scales, shared, cap, window, normed }
    }

    fn stride(&self) -> usize {
        (self.heads + 2 * self.key_heads) * self.size
    }

    fn attention(&self) -> CausalAttention<'_> {
        let from = |head: usize| Rows { numbers: &self.rows[head * self.size..], stride: self.stride() };
        let norm = |scale| self.normed.then_some(RmsNorm { scale, epsilon: EPSILON });
        CausalAttention {
            heads: self.heads,
            key_heads: self.key_heads,
            size: self.size,
            queries: from(0),
            keys: from(self.heads),
            values: from(self.heads + self.key_heads),
            starts: &self.starts,
            asking: &self.starts,
            shared: self.shared,
            scale: self.scale(),
            cap: self.cap,
            window: self.window,
            rotary: &self.rotary,
            query_norm: norm(&self.scales[0]),
            key_norm: norm(&self.scales[1]),
        }
    }

    fn scale(&self) -> f32 {
        2.0 / f32::from(u16::try_from(self.size).expect("small")).sqrt()
    }

    /// A head's numbers, normalized and turned, in float64.
    fn turned(&self, row: usize, head: usize, position: usize, scale: &[f32]) -> Vec<f64> {
        let numbers = &self.rows[row * self.stride() + head * self.size..][..self.size];
        let mut numbers: Vec<f64> = numbers.iter().map(|x| f64::from(*x)).collect();
        let whole = |number: usize| f64::from(u32::try_from(number).expect("small"));
        if self.normed {
            let squares: f64 = numbers.iter().map(|x| x * x).sum();
            let root = (squares / whole(self.size) + f64::from(EPSILON)).sqrt();
            numbers.iter_mut().zip(scale).for_each(|(x, scale)| *x = *x / root * f64::from(*scale));
        }
        let half = self.size / 2;
        for pair in 0..half {
            let angle = whole(position) / THETA.powf(whole(2 * pair) / whole(self.size));
            let (x, y) = (numbers[pair], numbers[half + pair]);
            numbers[pair] = x * angle.cos() - y * angle.sin();
            numbers[half + pair] = y * angle.cos() + x * angle.sin();
        }
        numbers
    }

    /// What one query of one head is answered: the rows that it sees, the last of which is its own.
    fn expected_of(&self, head: usize, rows: &[usize]) -> Vec<f64> {
        let (key_head, last) = (self.heads + head / (self.heads / self.key_heads), rows.len() - 1);
        let query = self.turned(rows[last], head, last, &self.scales[0]);
        let first = self.window.map_or(0, |window| rows.len().saturating_sub(window));
        let score = |position: usize| {
            let key = self.turned(rows[position], key_head, position, &self.scales[1]);
            let product: f64 = query.iter().zip(&key).map(|(x, y)| x * y).sum::<f64>() * f64::from(self.scale());
            self.cap.map_or(product, |cap| f64::from(cap) * (product / f64::from(cap)).tanh())
        };
        let powers: Vec<f64> = (first..rows.len()).map(|position| score(position).exp()).collect();
        let total: f64 = powers.iter().sum();
        let value = |row: usize, at: usize| {
            f64::from(self.rows[row * self.stride() + (key_head + self.key_heads) * self.size + at])
        };
        let weighed =
            |at| rows[first..].iter().zip(&powers).map(|(row, power)| value(*row, at) * power).sum::<f64>() / total;
        (0..self.size).map(weighed).collect()
    }

    fn expected(&self) -> Vec<f64> {
        let mut out = Vec::new();
        for (text, rows) in self.starts.windows(2).enumerate() {
            let before = 0..if text > 0 { self.shared } else { 0 };
            for query in rows[0]..rows[1] {
                let seen: Vec<usize> = before.clone().chain(rows[0]..=query).collect();
                (0..self.heads).for_each(|head| out.extend(self.expected_of(head, &seen)));
            }
        }
        out
    }
}

fn answers(cpu: Cpu, threads: &dyn Threads, attention: &CausalAttention) -> Vec<f32> {
    let queries = attention.asking[attention.asking.len() - 1];
    let mut out = vec![f32::NAN; queries * attention.heads * attention.size];
    attend_causally(cpu, threads, attention, &mut out);
    out
}

const SHAPES: [[usize; 3]; 7] = [[1, 1, 2], [2, 2, 8], [4, 2, 16], [3, 1, 64], [8, 1, 32], [2, 1, 80], [6, 3, 100]];

#[test]
fn answers_are_those_of_float64() {
    let lengths: [&[usize]; 4] = [&[1], &[1, 6, 7], &[15, 0, 16, 17], &[70, 33]];
    for shape in SHAPES {
        for lengths in lengths {
            for (cap, window, normed) in
                [(None, None, false), (Some(1.5), None, true), (None, Some(5), false), (Some(0.7), Some(20), true)]
            {
                let texts = Texts { cap, window, normed, ..Texts::new(shape, lengths) };
                let expected = texts.expected();
                for cpu in every_width() {
                    let what = format!("{shape:?}, {lengths:?}, {cap:?}, {window:?}, {normed}, {:?}", cpu.vectors);
                    assert_close(&answers(cpu, &Alone, &texts.attention()), &expected, 2e-5, &what);
                }
            }
        }
    }
}

#[test]
fn long_texts_of_large_heads_are_answered_as_in_float64() {
    for (shape, window) in [([2, 1, 256], None), ([4, 1, 128], Some(100)), ([1, 1, 64], Some(64))] {
        let texts = Texts { window, ..Texts::new(shape, &[600]) };
        let width = texts.heads * texts.size;
        let rows: Vec<usize> = (0..600).collect();
        for cpu in every_width() {
            let out = answers(cpu, &Several(2), &texts.attention());
            for query in [0, 63, 64, 127, 300, 511, 512, 599] {
                let expected: Vec<f64> =
                    (0..texts.heads).flat_map(|head| texts.expected_of(head, &rows[..=query])).collect();
                assert_close(&out[query * width..(query + 1) * width], &expected, 3e-5, &format!("{shape:?} {query}"));
            }
        }
    }
}

#[test]
fn a_text_has_the_same_bits_in_any_company_and_with_any_threads() {
    for window in [None, Some(50)] {
        let texts = Texts { window, cap: Some(2.0), ..Texts::new([4, 2, 32], &[33, 390, 1, 235, 12]) };
        for cpu in every_width() {
            let together = answers(cpu, &Alone, &texts.attention());
            assert_same_bits(&answers(cpu, &Several(3), &texts.attention()), &together, "three threads");
            for text in texts.starts.windows(2) {
                let (width, stride) = (texts.heads * texts.size, texts.stride());
                let rows = texts.rows[text[0] * stride..text[1] * stride].to_vec();
                let alone = Texts { window, cap: Some(2.0), ..Texts::new([4, 2, 32], &[text[1] - text[0]]) };
                let alone = answers(cpu, &Several(2), &Texts { rows, ..alone }.attention());
                assert_same_bits(&alone, &together[text[0] * width..text[1] * width], "a text alone");
            }
        }
    }
}

#[test]
fn last_tokens_that_ask_alone_are_answered_the_same() {
    for (window, count) in [(None, 1), (Some(30), 1), (Some(30), 5)] {
        let texts = Texts { window, ..Texts::new([6, 2, 16], &[12, 7, 170]) };
        let (width, stride) = (texts.heads * texts.size, texts.stride());
        let last = |rows: &[f32], stride: usize| -> Vec<f32> {
            let rows = |end: &usize| {
                rows[(end - count) * stride..end * stride].chunks(stride).map(|row| row[..width].to_vec())
            };
            texts.starts[1..].iter().flat_map(rows).flatten().collect()
        };
        let asked = last(&texts.rows, stride);
        let asking: Vec<usize> = (0..4).map(|text| text * count).collect();
        for cpu in every_width() {
            let all = answers(cpu, &Alone, &texts.attention());
            let queries = Rows { numbers: &asked, stride: width };
            let some = answers(cpu, &Alone, &CausalAttention { queries, asking: &asking, ..texts.attention() });
            assert_same_bits(&some, &last(&all, width), "last tokens");
        }
    }
}

#[test]
fn a_shared_beginning_is_seen_by_all_texts_behind_it() {
    for window in [None, Some(20)] {
        let texts = Texts { shared: 37, window, normed: true, ..Texts::new([4, 2, 16], &[37, 50, 3, 41]) };
        let (expected, width, stride) = (texts.expected(), texts.heads * texts.size, texts.stride());
        for cpu in every_width() {
            let together = answers(cpu, &Several(2), &texts.attention());
            assert_close(&together, &expected, 2e-5, "a shared beginning");
            for text in texts.starts.windows(2).skip(1) {
                let rows = [&texts.rows[..37 * stride], &texts.rows[text[0] * stride..text[1] * stride]].concat();
                let whole = Texts { window, normed: true, ..Texts::new([4, 2, 16], &[37 + text[1] - text[0]]) };
                let whole = answers(cpu, &Alone, &Texts { rows, ..whole }.attention());
                assert_same_bits(&whole[37 * width..], &together[text[0] * width..text[1] * width], "as one text");
            }
        }
    }
}

#[test]
fn a_shared_beginning_need_not_ask() {
    let texts = Texts { shared: 5, ..Texts::new([2, 1, 8], &[5, 6, 7]) };
    let (width, stride) = (texts.heads * texts.size, texts.stride());
    let rows = |row: usize| &texts.rows[row * stride..][..width];
    let queries = [rows(10), rows(17)].concat();
    let queries = Rows { numbers: &queries, stride: width };
    let all = answers(Cpu::detect(), &Alone, &texts.attention());
    let some = answers(Cpu::detect(), &Alone, &CausalAttention { queries, asking: &[0, 0, 1, 2], ..texts.attention() });
    assert_same_bits(&some, &[&all[10 * width..11 * width], &all[17 * width..]].concat(), "last tokens");
}

#[test]
fn what_is_no_number_stays_in_its_text() {
    let mut texts = Texts::new([1, 1, 16], &[5, 7]);
    texts.rows[2 * 48 + 16] = f32::NAN;
    for cpu in every_width() {
        let out = answers(cpu, &Alone, &texts.attention());
        assert!(out[4 * 16..5 * 16].iter().all(|number| number.is_nan()));
        assert!(out[..2 * 16].iter().chain(&out[5 * 16..]).all(|number| number.is_finite()));
    }
}

#[test]
#[should_panic(expected = "the first text is what all share")]
fn a_shared_beginning_is_a_text_of_its_own() {
    let texts = Texts { shared: 4, ..Texts::new([1, 1, 16], &[5, 7]) };
    answers(Cpu::PORTABLE, &Alone, &texts.attention());
}
