//! The feed-forward part of a decoder: what one product says of each number decides how much of another one's goes on.

use std::cell::RefCell;

use super::activation::{Activation, Finish};
use super::cpu::Cpu;
use super::linear::{Linear, ROWS, multiply_panel, with_rows};
use super::matrix::Matrix;
use super::products::Rows;
use super::shared::Shared;
use super::threads::Threads;
use super::vectors::run;

thread_local! {
    static INNER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// down(activation(gate(x)) · up(x)).
#[derive(Clone, Copy)]
pub struct Gated<'a> {
    /// `[inner, in]`.
    pub gate: Matrix<'a>,
    /// `[inner, in]`.
    pub up: Matrix<'a>,
    /// `[out, inner]`.
    pub down: Matrix<'a>,
    /// Of what the gate says.
    pub activation: Activation,
}

impl Gated<'_> {
    /// `values` `[rows, in]` → `output` `[rows, out]`. The numbers of a row do not depend on the other rows, nor on `threads`; memory
    /// for what is between does not grow with the rows.
    ///
    /// # Panics
    /// Where the lengths do not fit each other.
    pub fn run(&self, cpu: Cpu, values: &[f32], output: &mut [f32], threads: &dyn Threads) {
        let (k, inner, n) = (self.gate.k(), self.gate.n(), self.down.n());
        assert_eq!((self.up.k(), self.up.n(), self.down.k()), (k, inner, inner), "matrices that fit each other");
        assert_eq!(self.gate.format(), self.up.format(), "gate and up take the same rows");
        assert_eq!((values.len() % k, values.len() / k * n), (0, output.len()));
        let down = Linear { matrix: self.down, bias: None, activation: None };
        INNER.with_borrow_mut(|room| {
            for (values, output) in values.chunks(ROWS * k).zip(output.chunks_mut(ROWS * n)) {
                let count = values.len() / k * inner;
                room.resize(room.len().max(count), 0.0);
                let room = &mut room[..count];
                with_rows(cpu, self.gate, values, |rows| self.open(cpu, rows, room, threads));
                down.run(cpu, room, output, threads);
            }
        });
    }

    /// Writes activation(gate(x)) · up(x).
    fn open(&self, cpu: Cpu, rows: Rows, room: &mut [f32], threads: &dyn Threads) {
        let inner = self.gate.n();
        let room = Shared::new(room);
        threads.share(self.gate.panels(), &|number| {
            let columns = self.gate.columns(number);
            let (count, activation) = (columns.len(), Some(self.activation));
            #[expect(unsafe_code, reason = "a panel belongs to one thread, and its columns to no other panel")]
            let part = |row: usize| unsafe { room.part(row * inner + columns.start..row * inner + columns.end) };
            multiply_panel(cpu, self.gate, number, rows, &mut |first, tile| {
                run(cpu.vectors, Finish { rows: tile, columns: count, bias: None, activation });
                for (row, sums) in tile.iter().enumerate() {
                    part(first + row).copy_from_slice(&sums[..count]);
                }
            });
            multiply_panel(cpu, self.up, number, rows, &mut |first, tile| {
                for (row, sums) in tile.iter().enumerate() {
                    for (number, sum) in part(first + row).iter_mut().zip(sums) {
                        *number *= sum;
                    }
                }
            });
        });
    }
}
