use half::bf16;

use super::*;
use crate::kernels::cpu::Bf16;
use crate::kernels::testing::{Several, assert_close, assert_same_bits, every_width, numbers};
use crate::kernels::threads::Alone;

/// Texts of some lengths, their merged rows, and a table of distances.
struct Texts {
    heads: usize,
    size: usize,
    starts: Vec<usize>,
    rows: Vec<f32>,
    table: Vec<f32>,
}

const REACH: usize = 400;

impl Texts {
    fn new(heads: usize, size: usize, lengths: &[usize]) -> Self {
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        let rows = numbers(starts[starts.len() - 1] * 3 * heads * size, 7);
        let rows = rows.iter().map(|number| number * 3.0).collect();
        Self { heads, size, starts, rows, table: numbers(heads * (2 * REACH - 1), 9) }
    }

    fn hidden(&self) -> usize {
        self.heads * self.size
    }

    fn attention(&self, distances: bool) -> Attention<'_> {
        let part = |part: usize| Rows { numbers: &self.rows[part * self.hidden()..], stride: 3 * self.hidden() };
        Attention {
            heads: self.heads,
            size: self.size,
            queries: part(0),
            keys: part(1),
            values: part(2),
            starts: &self.starts,
            asking: &self.starts,
            distances: distances.then_some(Distances { table: &self.table, reach: REACH }),
            exact: true,
        }
    }

    /// The same by products in bfloat16.
    fn reduced(&self, distances: bool) -> Attention<'_> {
        Attention { exact: false, ..self.attention(distances) }
    }

    /// Rows as products in bfloat16 see them.
    fn rounded(&self) -> Self {
        let round = |number: f32| bf16::from_f32(number).to_f32();
        let scale = LOG2_E / f32::from(u16::try_from(self.size).expect("small")).sqrt();
        let hidden = self.hidden();
        let rows = self.rows.iter().enumerate().map(|(place, &number)| match place / hidden % 3 {
            0 => round(number * scale) / scale,
            _ => round(number),
        });
        Self { rows: rows.collect(), starts: self.starts.clone(), table: self.table.clone(), ..*self }
    }

    fn expected(&self, distances: bool) -> Vec<f64> {
        let mut out = Vec::new();
        for text in self.starts.windows(2) {
            for query in text[0]..text[1] {
                for head in 0..self.heads {
                    out.extend(self.expected_of(query, head, text[0]..text[1], distances));
                }
            }
        }
        out
    }

    fn expected_of(&self, query: usize, head: usize, text: Range<usize>, distances: bool) -> Vec<f64> {
        let number = |part: usize, row: usize, at: usize| {
            f64::from(self.rows[(row * 3 + part) * self.hidden() + head * self.size + at])
        };
        let score = |key: usize| {
            let product: f64 = (0..self.size).map(|at| number(0, query, at) * number(1, key, at)).sum();
            let size = f64::from(u32::try_from(self.size).expect("small"));
            let added = |table: &[f32]| f64::from(table[head * (2 * REACH - 1) + key + REACH - 1 - query]);
            product / size.sqrt() + if distances { added(&self.table) } else { 0.0 }
        };
        let powers: Vec<f64> = text.clone().map(|key| score(key).exp()).collect();
        let total: f64 = powers.iter().sum();
        let weighed =
            |at| text.clone().zip(&powers).map(|(key, power)| power * number(2, key, at)).sum::<f64>() / total;
        (0..self.size).map(weighed).collect()
    }
}

/// Every way to multiply bfloat16 that this machine has.
fn with_bf16() -> Vec<Cpu> {
    let all = [Bf16::Avx512, Bf16::Amx].map(Some).into_iter().filter(|bf16| *bf16 <= Cpu::detect().bf16);
    all.map(|bf16| Cpu { bf16, ..Cpu::detect() }).collect()
}

/// Every kernel, and whether it is the one in float32.
fn every_kernel() -> Vec<(Cpu, bool)> {
    let exact = every_width().into_iter().map(|cpu| (cpu, true));
    exact.chain(with_bf16().into_iter().map(|cpu| (cpu, false))).collect()
}

fn answers(cpu: Cpu, threads: &dyn Threads, attention: &Attention) -> Vec<f32> {
    let queries = attention.asking[attention.asking.len() - 1];
    let mut out = vec![f32::NAN; queries * attention.heads * attention.size];
    attend(cpu, threads, attention, &mut out);
    out
}

#[test]
fn answers_are_those_of_float64() {
    let lengths: [&[usize]; 5] = [&[1], &[1, 6, 7], &[15, 16, 17, 5], &[64, 65, 23], &[130, 0, 12]];
    for (heads, size) in [(1, 1), (2, 8), (3, 16), (2, 32), (1, 64), (2, 80), (1, 100)] {
        for lengths in lengths {
            let texts = Texts::new(heads, size, lengths);
            for distances in [false, true] {
                let expected = texts.expected(distances);
                for cpu in every_width() {
                    let what = format!("{heads} × {size}, {lengths:?}, {distances}, {:?}", cpu.vectors);
                    assert_close(&answers(cpu, &Alone, &texts.attention(distances)), &expected, 2e-5, &what);
                }
            }
        }
    }
}

#[test]
fn answers_by_bf16_are_those_of_rounded_numbers() {
    let lengths: [&[usize]; 5] = [&[1], &[1, 6, 7], &[31, 32, 33, 5], &[64, 65, 23], &[130, 0, 12]];
    for (heads, size) in [(1, 1), (2, 8), (3, 16), (2, 32), (1, 33), (1, 64), (2, 80), (1, 100)] {
        for lengths in lengths {
            let texts = Texts::new(heads, size, lengths);
            for distances in [false, true] {
                let expected = texts.rounded().expected(distances);
                for cpu in with_bf16() {
                    let what = format!("{heads} × {size}, {lengths:?}, {distances}, {:?}", cpu.bf16);
                    assert_close(&answers(cpu, &Alone, &texts.reduced(distances)), &expected, 8e-3, &what);
                }
            }
        }
    }
}

#[test]
fn without_bf16_answers_are_in_float32() {
    let texts = Texts::new(2, 16, &[20, 3]);
    for cpu in every_width() {
        let exact = answers(cpu, &Alone, &texts.attention(true));
        assert_same_bits(&answers(cpu, &Alone, &texts.reduced(true)), &exact, "both in float32");
    }
}

#[test]
fn a_text_has_the_same_bits_in_any_company_and_with_any_threads() {
    let texts = Texts::new(2, 32, &[33, 390, 1, 235, 12]);
    for (cpu, exact) in every_kernel() {
        let attention = Attention { exact, ..texts.attention(true) };
        let together = answers(cpu, &Alone, &attention);
        assert_same_bits(&answers(cpu, &Several(3), &attention), &together, "three threads");
        for text in texts.starts.windows(2) {
            let width = texts.hidden();
            let rows = &texts.rows[text[0] * 3 * width..text[1] * 3 * width];
            let starts = vec![0, text[1] - text[0]];
            let alone = Texts { starts, rows: rows.to_vec(), table: texts.table.clone(), ..texts };
            let alone = answers(cpu, &Several(2), &Attention { exact, ..alone.attention(true) });
            assert_same_bits(&alone, &together[text[0] * width..text[1] * width], "a text alone");
        }
    }
}

#[test]
fn first_tokens_that_ask_alone_are_answered_the_same() {
    let texts = Texts::new(3, 32, &[12, 1, 70]);
    for (cpu, exact) in every_kernel() {
        let (all, width) = (Attention { exact, ..texts.attention(true) }, texts.hidden());
        let first = |rows: &[f32], stride: usize| -> Vec<f32> {
            texts.starts[..3].iter().flat_map(|row| &rows[row * stride..][..width]).copied().collect()
        };
        let firsts = first(&texts.rows, 3 * width);
        let queries = Rows { numbers: &firsts, stride: width };
        let asked = answers(cpu, &Alone, &Attention { queries, asking: &[0, 1, 2, 3], ..all });
        assert_same_bits(&asked, &first(&answers(cpu, &Alone, &all), width), "first tokens");
    }
}

#[test]
fn a_text_of_several_parts_is_one_text() {
    let length = QUERIES + 30;
    let texts = Texts::new(1, 8, &[length]);
    let expected = |texts: &Texts| -> Vec<f64> {
        (length - 40..length).flat_map(|query| texts.expected_of(query, 0, 0..length, false)).collect()
    };
    let [exact_numbers, rounded] = [expected(&texts), expected(&texts.rounded())];
    for (cpu, exact) in every_kernel() {
        let out = answers(cpu, &Several(2), &Attention { exact, ..texts.attention(false) });
        let (expected, most) = if exact { (&exact_numbers, 2e-5) } else { (&rounded, 8e-3) };
        assert_close(&out[(length - 40) * 8..], expected, most, "the last queries");
    }
}

#[test]
fn what_is_no_number_stays_in_its_text() {
    let mut texts = Texts::new(1, 16, &[5, 7]);
    texts.rows[2 * 48 + 16] = f32::NAN;
    for (cpu, exact) in every_kernel() {
        let out = answers(cpu, &Alone, &Attention { exact, ..texts.attention(false) });
        assert!(out[..5 * 16].iter().all(|number| number.is_nan()));
        assert!(out[5 * 16..].iter().all(|number| number.is_finite()));
    }
}

#[test]
#[should_panic(expected = "a row for each token")]
fn rows_that_are_missing_are_refused() {
    let mut texts = Texts::new(1, 16, &[5, 7]);
    texts.rows.truncate(11 * 48);
    answers(Cpu::PORTABLE, &Alone, &texts.attention(false));
}
