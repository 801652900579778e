//! A linear layer: rows times a matrix, with a bias and an activation on the way out.

use std::cell::RefCell;

use super::activation::{Activation, Finish};
use super::cpu::Cpu;
use super::matrix::Matrix;
use super::panels::COLUMNS;
use super::products::{self, Rows, Scratch};
use super::rows::Narrowed;
use super::shared::Shared;
use super::threads::Threads;
use super::vectors::run;

/// Rows that are narrowed together: bounds the memory for them.
pub(super) const ROWS: usize = 512;

thread_local! {
    static NARROWED: RefCell<Narrowed> = RefCell::default();
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A linear layer.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// Its matrix.
    pub matrix: Matrix<'a>,
    /// Added to each row, where there is one.
    pub bias: Option<&'a [f32]>,
    /// Of each number that comes out.
    pub activation: Option<Activation>,
}

impl Linear<'_> {
    /// `values` `[rows, k]` → `output` `[rows, n]`. The numbers of a row do not depend on the other rows, nor on `threads`.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    pub fn run(&self, cpu: Cpu, values: &[f32], output: &mut [f32], threads: &dyn Threads) {
        let (n, k) = (self.matrix.n(), self.matrix.k());
        assert_eq!((values.len() % k, values.len() / k * n), (0, output.len()));
        for (values, output) in values.chunks(ROWS * k).zip(output.chunks_mut(ROWS * n)) {
            with_rows(cpu, self.matrix, values, |rows| self.multiply(cpu, rows, output, threads));
        }
    }

    /// Of up to 512 rows.
    fn multiply(&self, cpu: Cpu, rows: Rows, output: &mut [f32], threads: &dyn Threads) {
        let n = self.matrix.n();
        let output = Shared::new(output);
        threads.share(self.matrix.panels(), &|number| {
            let columns = self.matrix.columns(number);
            let bias = self.bias.map(|bias| &bias[columns.clone()]);
            multiply_panel(cpu, self.matrix, number, rows, &mut |first, tile| {
                run(cpu.vectors, Finish { rows: tile, columns: columns.len(), bias, activation: self.activation });
                for (row, sums) in tile.iter().enumerate() {
                    let at = (first + row) * n + columns.start;
                    #[expect(unsafe_code, reason = "a panel belongs to one thread, and its columns to no other panel")]
                    let output = unsafe { output.part(at..at + columns.len()) };
                    output.copy_from_slice(&sums[..columns.len()]);
                }
            });
        });
    }
}

/// Up to 512 rows, narrowed for products with `matrix`.
pub(super) fn with_rows(cpu: Cpu, matrix: Matrix, values: &[f32], work: impl FnOnce(Rows)) {
    NARROWED.with_borrow_mut(|narrowed| {
        narrowed.take(cpu, matrix.format(), values, matrix.k());
        work(Rows { count: values.len() / matrix.k(), values, narrowed });
    });
}

/// Multiplies rows with a panel; `done` gets the sums of a few of them at a time, with the number of the first.
pub(super) fn multiply_panel(
    cpu: Cpu,
    matrix: Matrix,
    number: usize,
    rows: Rows,
    done: &mut dyn FnMut(usize, &mut [[f32; COLUMNS]]),
) {
    SCRATCH.with_borrow_mut(|scratch| products::multiply(cpu, matrix, number, rows, scratch, done));
}
