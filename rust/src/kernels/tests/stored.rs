//! Products with matrices as checkpoints have them.

use half::{bf16, f16};

use super::super::activation::Activation;
use super::super::gated::Gated;
use super::super::matrix::{Matrix, Number, Stored, StoredRows};
use super::super::testing::assert_close;
use super::*;

/// Tensors of a matrix as files have them, from an odd byte on.
fn stored(number: Number, matrix: &[f32], k: usize, heights: &[usize]) -> Vec<Vec<u8>> {
    let mut rows = matrix.chunks(k);
    let tensor = |&height: &usize| {
        let numbers = rows.by_ref().take(height).flatten();
        let bytes = numbers.flat_map(|&x| match number {
            Number::F32 => x.to_le_bytes().to_vec(),
            Number::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
            Number::Bf16 => bf16::from_f32(x).to_le_bytes().to_vec(),
        });
        std::iter::once(0).chain(bytes).collect()
    };
    heights.iter().map(tensor).collect()
}

fn run_stored(
    cpu: Cpu,
    tensors: &[Vec<u8>],
    number: Number,
    [n, k]: [usize; 2],
    exact: bool,
    values: &[f32],
) -> Vec<f32> {
    let tensors: Vec<_> = tensors.iter().map(|bytes| StoredRows { bytes: &bytes[1..], number }).collect();
    let bias = numbers(n, 3);
    let matrix = Matrix::Stored(Stored::new(&tensors, k, exact));
    let mut output = vec![f32::NAN; values.len() / k * n];
    Linear { matrix, bias: Some(&bias), activation: None }.run(cpu, values, &mut output, &Several);
    output
}

const NUMBERS: [(Number, Format); 3] =
    [(Number::F32, Format::F32), (Number::F16, Format::F16), (Number::Bf16, Format::Bf16)];

#[test]
fn a_stored_matrix_gives_the_same_bits_as_a_packed_one() {
    for (number, format) in NUMBERS {
        for [n, k] in SHAPES.into_iter().chain([[70, 1100]]) {
            let matrix = numbers(n * k, 1);
            let (lines, tensors) = (packed(format, &matrix, k), stored(number, &matrix, k, &[n / 2, n - n / 2]));
            for cpu in cpus() {
                for rows in [1, 5, 13, 60] {
                    let values = numbers(rows * k, 2);
                    let expected = run(cpu, format, &lines, [n, k], &values, &Alone);
                    let what = format!("{number:?} {cpu:?} {n}x{k} {rows}");
                    assert_eq!(run_stored(cpu, &tensors, number, [n, k], true, &values), expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_stored_matrix_gives_the_same_bits_as_a_packed_one_in_bfloat16() {
    for (number, _) in NUMBERS {
        for [n, k] in SHAPES.into_iter().chain([[70, 1100]]) {
            // Numbers that float16 holds: others would be rounded twice.
            let matrix: Vec<f32> = numbers(n * k, 1).iter().map(|&x| f16::from_f32(x).to_f32()).collect();
            let (lines, tensors) =
                (packed(Format::Bf16Pairs, &matrix, k), stored(number, &matrix, k, &[n / 2, 0, n - n / 2]));
            for bf16 in Bf16::here() {
                let cpu = Cpu { bf16: Some(bf16), ..Cpu::detect() };
                for rows in [1, 5, 13, 60] {
                    let values = numbers(rows * k, 2);
                    let expected = run(cpu, Format::Bf16Pairs, &lines, [n, k], &values, &Alone);
                    let what = format!("{number:?} {cpu:?} {n}x{k} {rows}");
                    assert_eq!(run_stored(cpu, &tensors, number, [n, k], false, &values), expected, "{what}");
                }
            }
        }
    }
}

fn gated_in_float64(matrices: [&[f32]; 3], [k, inner]: [usize; 2], values: &[f32]) -> Vec<f64> {
    let product = |matrix: &[f32], row: &[f64]| -> Vec<f64> {
        let dot = |column: &[f32]| column.iter().zip(row).map(|(weight, x)| f64::from(*weight) * x).sum();
        matrix.chunks(row.len()).map(dot).collect()
    };
    let [gate, up, down] = matrices;
    let row = |row: &[f32]| {
        let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let opened = product(gate, &row).into_iter().zip(product(up, &row));
        let inner_row: Vec<f64> = opened.map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
        assert_eq!(inner_row.len(), inner);
        product(down, &inner_row)
    };
    values.chunks(k).flat_map(row).collect()
}

#[test]
fn a_gate_decides_what_goes_on() {
    let ([k, inner], rows) = ([40, 150], 600);
    let [gate, up, down] = [1, 2, 3].map(|seed| numbers(inner * k, seed));
    let values = numbers(rows * k, 4);
    let expected = gated_in_float64([&gate, &up, &down], [k, inner], &values);
    let [gate_bytes, up_bytes] = [&gate, &up].map(|matrix| stored(Number::F32, matrix, k, &[inner]).remove(0));
    let down_bytes = stored(Number::F32, &down, inner, &[k]).remove(0);
    let stored_as =
        |bytes, k, exact| Matrix::Stored(Stored::new(&[StoredRows { bytes, number: Number::F32 }], k, exact));
    let run = |cpu, exact, values: &[f32], threads: &dyn Threads| {
        let matrices = [(&gate_bytes, k), (&up_bytes, k), (&down_bytes, inner)];
        let [gate, up, down] = matrices.map(|(bytes, k)| stored_as(&bytes[1..], k, exact));
        let mut output = vec![f32::NAN; values.len()];
        Gated { gate, up, down, activation: Activation::Silu }.run(cpu, values, &mut output, threads);
        output
    };
    for (cpu, exact) in cpus().into_iter().map(|cpu| (cpu, true)).chain([(Cpu::detect(), Cpu::detect().bf16.is_none())])
    {
        let together = run(cpu, exact, &values, &Several);
        assert_close(&together, &expected, if exact { 1e-3 } else { 1.0 }, &format!("{cpu:?}"));
        for (first, count) in [(0, 1), (511, 2), (599, 1)] {
            let place = first * k..(first + count) * k;
            assert_eq!(run(cpu, exact, &values[place.clone()], &Alone), together[place], "{cpu:?}");
        }
    }
}
