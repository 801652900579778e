//! A tensor as the pickle tells of it → where its numbers lie.

use crate::weights::pickle::{ElementType, View};
use crate::weights::stored::{Dtype, Stored, no_weight};

/// Where a tensor lies whose storage has `length` bytes from `start` on. Errors say what is wrong with it.
pub(super) fn located(name: &str, view: &View<'_>, start: u64, length: u64) -> Result<Stored, String> {
    let (_, size) = view.storage.element;
    if view.storage.count.checked_mul(size).is_none_or(|stored| stored > length) {
        return Err("its storage is shorter than the pickle says".to_owned());
    }
    let count = if view.shape.contains(&0) {
        Some(0)
    } else {
        view.shape.iter().try_fold(1, |count: u64, &size| count.checked_mul(size))
    };
    let count = count.ok_or("no file can hold its shape")?;
    let contiguous = is_contiguous(view);
    let span = if contiguous { Some(count) } else { span(view) };
    let end = span.and_then(|span| view.offset.checked_add(span));
    // An expanded tensor has more numbers than there are.
    if count > 0 && (end.is_none_or(|end| end > view.storage.count) || count > view.storage.count) {
        return Err("it passes the end of its storage".to_owned());
    }
    let (offset, length) = if count > 0 { (view.offset * size, span.unwrap_or(0) * size) } else { (0, 0) };
    let sizes = |numbers: &[u64]| {
        numbers.iter().map(|&size| usize::try_from(size).map_err(|error| error.to_string())).collect::<Result<_, _>>()
    };
    Ok(Stored {
        name: name.to_owned(),
        dtype: dtype(view.storage.element),
        kind: view.storage.element.0.to_owned(),
        shape: sizes(&view.shape)?,
        strides: if contiguous { None } else { Some(sizes(&view.strides)?) },
        offset: start + offset,
        length,
    })
}

fn dtype((kind, _): ElementType) -> Result<Dtype, String> {
    let known = [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16].into_iter().find(|dtype| dtype.to_string() == kind);
    known.ok_or_else(|| no_weight(kind))
}

/// Whether the elements lie row by row; a dimension of size 1 may have any stride, and of no elements all.
fn is_contiguous(view: &View<'_>) -> bool {
    let mut expected = 1u64;
    view.shape.contains(&0)
        || view.shape.iter().zip(&view.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
}

/// Elements from a tensor's first to its last in the storage.
fn span(view: &View<'_>) -> Option<u64> {
    view.shape
        .iter()
        .zip(&view.strides)
        .try_fold(1u64, |span, (&size, &stride)| span.checked_add(size.checked_sub(1)?.checked_mul(stride)?))
}
