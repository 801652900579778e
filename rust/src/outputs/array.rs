//! Numbers that a run put out.

/// An output of a run.
#[derive(Debug, Clone, Copy)]
pub struct Array<'a> {
    /// Its dimensions.
    pub shape: &'a [i64],
    /// All numbers, row after row.
    pub values: &'a [f32],
}
