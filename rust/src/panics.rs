//! What a panic says, as an error. A panic is a bug of this crate, or of a file that makes a library trust it too far.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Result};

thread_local! {
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// From here on nothing is printed when a thread panics: [`caught`] tells it to the caller.
#[cfg_attr(not(feature = "python"), expect(dead_code, reason = "only Python has nobody to read what is printed"))]
pub(crate) fn be_quiet() {
    std::panic::set_hook(Box::new(|panic| PLACE.set(panic.location().map(ToString::to_string))));
}

/// Does `work`; a panic becomes an [`Error::Internal`] that says what and where.
///
/// # Errors
/// Those of `work`, or that one.
pub(crate) fn caught<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let place = PLACE.take().map_or_else(String::new, |place| format!(" at {place}"));
        Err(Error::Internal(format!("the Rust core panicked{place}: {}. Please report this", said(&*panic))))
    })
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let panicked = |words: &str| caught::<()>(|| panic!("{words}"));
        let Err(Error::Internal(message)) = panicked("such and such") else { panic!("no error") };
        assert!(message.contains("such and such"), "{message}");
        assert_eq!(caught(|| Ok(3)).expect("no panic"), 3);
    }
}
