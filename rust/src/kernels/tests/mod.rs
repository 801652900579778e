//! Products against references in float64, by every kernel that this processor has.

mod stored;

use half::{bf16, f16};

use super::cpu::{Bf16, Cpu, Int8, Vectors};
use super::linear::Linear;
use super::matrix::Matrix;
use super::panels::{COLUMNS, Format, Panels};
use super::{Alone, Threads};

/// Several threads, as ONNX Runtime's.
struct Several;

impl Threads for Several {
    fn share(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for number in (0..parts).rev() {
                scope.spawn(move || part(number));
            }
        });
    }
}

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(i16::try_from(state >> 49).expect("15 bits")) / 16384.0 - 1.0
    };
    (0..count).map(next).collect()
}

/// Memory at multiples of 64 bytes.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

fn packed(format: Format, matrix: &[f32], k: usize) -> Vec<Line> {
    let size = format.panel_bytes(k);
    let panels: Vec<u8> = matrix
        .chunks(COLUMNS * k)
        .flat_map(|rows| {
            let mut panel = vec![0; size];
            format.pack(Cpu::detect(), rows, k, &mut panel);
            panel
        })
        .collect();
    panels.chunks(64).map(|line| Line(line.try_into().expect("whole lines"))).collect()
}

fn bytes(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.0).collect()
}

fn cpus() -> Vec<Cpu> {
    let all = Cpu::detect();
    let int8 = Int8::here().into_iter().filter(|&int8| int8 > Int8::Portable).map(|int8| Cpu { int8, ..all });
    let vectors = Vectors::here().into_iter().map(|vectors| Cpu { vectors, ..all });
    let bf16 = Bf16::here().into_iter().map(|bf16| Cpu { bf16: Some(bf16), ..all });
    std::iter::once(Cpu::PORTABLE).chain(int8).chain(vectors).chain(bf16).collect()
}

/// Every kernel of each format that this processor has.
fn kernels() -> Vec<(Format, Cpu)> {
    let formats = [Format::F32, Format::F16, Format::Bf16, Format::Bf16Pairs, Format::Int8, Format::Int4];
    let kernels = formats.into_iter().flat_map(|format| cpus().into_iter().map(move |cpu| (format, cpu)));
    kernels.filter(|(format, cpu)| *format != Format::Bf16Pairs || cpu.bf16.is_some()).collect()
}

fn run(
    cpu: Cpu,
    format: Format,
    lines: &[Line],
    [n, k]: [usize; 2],
    values: &[f32],
    threads: &dyn Threads,
) -> Vec<f32> {
    let bytes = bytes(lines);
    let bias = numbers(n, 3);
    let matrix = Matrix::Packed(Panels { format, n, k, bytes: &bytes });
    let linear = Linear { matrix, bias: Some(&bias), activation: None };
    let mut output = vec![f32::NAN; values.len() / k * n];
    linear.run(cpu, values, &mut output, threads);
    output
}

const SHAPES: [[usize; 2]; 7] = [[1, 1], [32, 8], [64, 33], [70, 128], [130, 129], [200, 384], [65, 700]];

/// Weights and values as the products see them, in float64.
fn rounded(format: Format, number: f32) -> f64 {
    f64::from(match format {
        Format::F16 => f16::from_f32(number).to_f32(),
        Format::Bf16 | Format::Bf16Pairs => bf16::from_f32(number).to_f32(),
        Format::F32 | Format::Int8 | Format::Int4 => number,
    })
}

#[test]
fn products_are_those_of_float64() {
    for (format, cpu) in kernels() {
        for [n, k] in SHAPES {
            let (matrix, bias) = (numbers(n * k, 1), numbers(n, 3));
            let lines = packed(format, &matrix, k);
            for rows in [1, 5, 12, 13, 37] {
                let values = numbers(rows * k, 2);
                let output = run(cpu, format, &lines, [n, k], &values, &Alone);
                for (place, &sum) in output.iter().enumerate() {
                    let (row, column) = (place / n, place % n);
                    let narrow = if format == Format::Bf16Pairs { format } else { Format::F32 };
                    let terms =
                        (0..k).map(|i| rounded(narrow, values[row * k + i]) * rounded(format, matrix[column * k + i]));
                    let expected = terms.sum::<f64>() + f64::from(bias[column]);
                    let size = f64::from(u32::try_from(k).expect("small")).sqrt();
                    let bound = match format {
                        Format::Int8 => 0.02,
                        Format::Int4 => 0.12,
                        _ => 3e-6,
                    };
                    assert!(
                        (f64::from(sum) - expected).abs() <= bound * size,
                        "{format:?} {cpu:?} {n}x{k} {rows}: {sum} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_whatever_its_company_and_threads() {
    let (n, k) = (200, 384);
    for (format, cpu) in kernels() {
        let lines = packed(format, &numbers(n * k, 1), k);
        let values = numbers(600 * k, 2);
        let together = run(cpu, format, &lines, [n, k], &values, &Several);
        for (first, rows) in [(0, 1), (7, 2), (100, 12), (400, 33), (599, 1)] {
            let alone = run(cpu, format, &lines, [n, k], &values[first * k..(first + rows) * k], &Alone);
            assert_eq!(alone, together[first * n..(first + rows) * n], "{format:?} {cpu:?} {first}");
        }
    }
}

#[test]
fn all_kernels_of_8_bits_give_the_same() {
    let kernels: Vec<Cpu> = cpus().into_iter().filter(|cpu| cpu.vectors != Vectors::Portable).collect();
    for (format, [n, k]) in
        [Format::Int8, Format::Int4].into_iter().flat_map(|format| SHAPES.map(|shape| (format, shape)))
    {
        let lines = packed(format, &numbers(n * k, 1), k);
        let values = numbers(37 * k, 2);
        let all: Vec<_> = kernels.iter().map(|&cpu| run(cpu, format, &lines, [n, k], &values, &Alone)).collect();
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{format:?} {n}x{k}");
    }
}

#[test]
fn what_is_not_finite_stays_so_in_its_row_alone() {
    let (n, k) = (64, 200);
    for (format, cpu) in kernels() {
        let lines = packed(format, &numbers(n * k, 1), k);
        for broken in [f32::NAN, f32::INFINITY] {
            let mut values = numbers(20 * k, 2);
            values[7 * k + 150] = broken;
            let output = run(cpu, format, &lines, [n, k], &values, &Alone);
            let finite: Vec<bool> = output.chunks(n).map(|row| row.iter().all(|number| number.is_finite())).collect();
            let expected: Vec<bool> = (0..20).map(|row| row != 7).collect();
            assert_eq!(finite, expected, "{format:?} {cpu:?}");
            assert!(output[7 * n..8 * n].iter().all(|number| !number.is_finite()), "{format:?} {cpu:?}");
        }
    }
}
