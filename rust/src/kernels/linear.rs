//! A linear layer: rows times a packed matrix, with a bias and an activation on the way out.

use std::cell::RefCell;

use super::activation::{Activation, Finish};
use super::cpu::Cpu;
use super::panels::{COLUMNS, Panels};
use super::products::{self, Rows, Scratch};
use super::rows::Narrowed;
use super::shared::Shared;
use super::threads::Threads;
use super::vectors::run;

/// Rows that are narrowed together: bounds the memory for them.
const ROWS: usize = 512;

thread_local! {
    static NARROWED: RefCell<Narrowed> = RefCell::default();
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A linear layer.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// Its matrix.
    pub panels: Panels<'a>,
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
        let Panels { format, n, k, .. } = self.panels;
        assert_eq!((values.len() % k, values.len() / k * n), (0, output.len()));
        NARROWED.with_borrow_mut(|narrowed| {
            for (values, output) in values.chunks(ROWS * k).zip(output.chunks_mut(ROWS * n)) {
                narrowed.take(cpu, format, values, k);
                let rows = Rows { count: values.len() / k, values, narrowed };
                let output = Shared::new(output);
                threads.share(self.panels.count(), &|number| self.panel(cpu, rows, number, &output));
            }
        });
    }

    #[expect(unsafe_code, reason = "a panel belongs to one thread, and its columns to no other panel")]
    fn panel(&self, cpu: Cpu, rows: Rows, number: usize, output: &Shared) {
        let (first_column, columns) = (number * COLUMNS, self.panels.columns(number));
        let bias = self.bias.map(|bias| &bias[first_column..][..columns]);
        SCRATCH.with_borrow_mut(|scratch| {
            products::multiply(cpu, self.panels, number, rows, scratch, &mut |first_row, tile| {
                run(cpu.vectors, Finish { rows: tile, columns, bias, activation: self.activation });
                for (row, sums) in tile.iter().enumerate() {
                    let first = (first_row + row) * self.panels.n + first_column;
                    unsafe { output.part(first..first + columns) }.copy_from_slice(&sums[..columns]);
                }
            });
        });
    }
}
