//! Strings of Python, borrowed.

use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString};

/// Objects of Python that are read or made before other threads get their turn, which they cannot take by themselves here.
const AT_ONCE: usize = 1024;

/// Lets other threads of Python have their turn, now and then in a loop over many places.
pub(super) fn others_turn(py: Python<'_>, place: usize) {
    if place % AT_ONCE == AT_ONCE - 1 {
        py.detach(|| ());
    }
}

/// Texts by reference: Python keeps their UTF-8, nothing is copied. `which` names a text by its place.
pub(super) fn borrow_texts(texts: &Bound<'_, PyList>, which: impl Fn(usize) -> String) -> PyResult<Vec<PyBackedStr>> {
    let borrow = |(place, text): (usize, Bound<'_, PyAny>)| {
        others_turn(texts.py(), place);
        match text.cast::<PyString>() {
            Ok(text) => borrow_text(text, || which(place)),
            Err(_) => Err(PyTypeError::new_err(format!("{} is {}, not str", which(place), text.get_type().name()?))),
        }
    };
    texts.iter().enumerate().map(borrow).collect()
}

pub(super) fn borrow_text(text: &Bound<'_, PyString>, which: impl FnOnce() -> String) -> PyResult<PyBackedStr> {
    PyBackedStr::try_from(text.clone()).map_err(|error| {
        let py = text.py();
        if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
            return error;
        }
        let position = error.value(py).getattr("start").map_or_else(|_| "?".into(), |start| start.to_string());
        PyValueError::new_err(format!(
            "{} is not valid Unicode: lone surrogate at character {position}. \
             Clean it with s.encode(\"utf-8\", \"replace\").decode().",
            which()
        ))
    })
}
