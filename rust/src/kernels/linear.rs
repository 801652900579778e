//! A linear layer: rows times a packed matrix, with a bias and an activation on the way out.

use std::cell::RefCell;

use super::activation::{Activation, Finish};
use super::aligned::Aligned;
use super::cpu::Cpu;
use super::panels::{COLUMNS, Panels};
use super::products::{self, Rows};
use super::rows::Narrowed;
use super::threads::Threads;
use super::vectors::run;

/// Rows that are narrowed together: bounds the memory for them.
const ROWS: usize = 512;

thread_local! {
    static NARROWED: RefCell<Narrowed> = RefCell::default();
    /// A panel in float32.
    static WIDENED: RefCell<Aligned<f32>> = RefCell::default();
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
                let output = Columns::of(output, n);
                threads.share(self.panels.count(), &|number| self.panel(cpu, rows, number, &output));
            }
        });
    }

    fn panel(&self, cpu: Cpu, rows: Rows, number: usize, output: &Columns) {
        let (first_column, columns) = (number * COLUMNS, self.panels.columns(number));
        let bias = self.bias.map(|bias| &bias[first_column..][..columns]);
        WIDENED.with_borrow_mut(|widened| {
            products::multiply(cpu, self.panels, number, rows, widened, &mut |first_row, tile| {
                run(cpu.vectors, Finish { rows: tile, columns, bias, activation: self.activation });
                for (row, sums) in tile.iter().enumerate() {
                    output.write(first_row + row, first_column, &sums[..columns]);
                }
            });
        });
    }
}

/// Rows that threads write at once, each its own columns.
struct Columns {
    start: *mut f32,
    rows: usize,
    width: usize,
}

#[expect(unsafe_code, reason = "threads write different columns")]
unsafe impl Sync for Columns {}

impl Columns {
    fn of(output: &mut [f32], width: usize) -> Self {
        Self { start: output.as_mut_ptr(), rows: output.len() / width, width }
    }

    #[expect(unsafe_code, reason = "inside of the rows, and nobody else writes these columns")]
    fn write(&self, row: usize, column: usize, numbers: &[f32]) {
        assert!(row < self.rows && column + numbers.len() <= self.width);
        unsafe {
            let place = self.start.add(row * self.width + column);
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), place, numbers.len());
        }
    }
}
