//! Room for what grows with a caller's input: where there is none, an error instead of the end of the process.

use crate::{Error, Result};

/// An empty list with room for `count` more.
///
/// # Errors
/// [`Error::OutOfMemory`] where there is none; `what` names what it is for.
pub(crate) fn room_for<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut list = Vec::new();
    reserve(&mut list, count, what)?;
    Ok(list)
}

/// Room for exactly `count` more.
///
/// # Errors
/// As [`room_for`].
pub(crate) fn reserve<T>(list: &mut Vec<T>, count: usize, what: &str) -> Result<()> {
    list.try_reserve_exact(count).map_err(|_| {
        let bytes = count.saturating_mul(size_of::<T>());
        Error::OutOfMemory(format!("there is no memory for {what}: {bytes} bytes. Pass fewer at a time"))
    })
}

/// So many zeros.
///
/// # Errors
/// As [`room_for`].
pub(crate) fn zeros(count: usize, what: &str) -> Result<Vec<f32>> {
    let mut list = room_for(count, what)?;
    list.resize(count, 0.0);
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_an_error_that_names_it() {
        let Err(Error::OutOfMemory(message)) = zeros(usize::MAX / 8, "all vectors") else { panic!("there was room") };
        assert!(message.starts_with("there is no memory for all vectors: "));
        assert!(room_for::<u64>(usize::MAX, "all vectors").is_err());
        assert_eq!(zeros(3, "three").expect("there is room"), [0.0; 3]);
    }
}
