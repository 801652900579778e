//! ONNX Runtime reads variables of its own where a session opens: how attention is computed, options out of a graph's file. What a
//! model gives must not depend on them.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

static HIDING: Mutex<()> = Mutex::new(());

/// Does `open` without the variables of ONNX Runtime. They are rarely set; where none is, nothing is touched.
pub(super) fn without_variables<R>(open: impl FnOnce() -> R) -> R {
    if variables().is_empty() {
        return open();
    }
    let _turn = HIDING.lock().unwrap_or_else(PoisonError::into_inner);
    let hidden = Hidden(variables());
    hidden.0.iter().for_each(|(name, _)| set(name, None));
    open()
}

/// Variables that come back when this is dropped.
struct Hidden(Vec<(OsString, OsString)>);

impl Drop for Hidden {
    fn drop(&mut self) {
        self.0.iter().for_each(|(name, value)| set(name, Some(value)));
    }
}

fn variables() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ORT_")).collect()
}

#[expect(
    unsafe_code,
    reason = "a program that sets such a variable and reads its environment in C meanwhile is taken to be none"
)]
fn set(name: &OsString, value: Option<&OsString>) {
    match value {
        Some(value) => unsafe { std::env::set_var(name, value) },
        None => unsafe { std::env::remove_var(name) },
    }
}
