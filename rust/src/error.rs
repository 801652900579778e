//! One error type for the whole crate; each variant is one Python exception class.

/// What can go wrong. The message says what was wrong with which item and what to do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A file of the model is missing.
    #[error("{0}")]
    ModelNotFound(String),
    /// A file of the model is not what it should be.
    #[error("{0}")]
    ModelFormat(String),
    /// The model asks for something that is not supported.
    #[error("{0}")]
    UnsupportedModel(String),
    /// The ONNX Runtime library is missing, broken or too old.
    #[error("{0}")]
    RuntimeNotFound(String),
    /// The device asked for cannot be used.
    #[error("{0}")]
    Device(String),
    /// The graph gave a number that is not finite.
    #[error("{0}")]
    Numerics(String),
    /// The model was opened in the parent process and is used in a forked child.
    #[error(
        "this model was opened before the process was forked, and ONNX Runtime's threads do not survive a fork. \
         Open the model after the fork, or start workers with the \"spawn\" or \"forkserver\" method"
    )]
    ForkedProcess,
    /// A text or an option cannot be used.
    #[error("{0}")]
    Value(String),
    /// There is no memory for what was asked for.
    #[error("{0}")]
    OutOfMemory(String),
    /// A call took longer than it may.
    #[error("{0}")]
    Timeout(String),
    /// As many calls wait as may.
    #[error("{0}")]
    QueueFull(String),
    /// The caller's watcher asked to stop.
    #[error("stopped by the caller")]
    Stopped,
    /// ONNX Runtime failed, or this crate has a bug.
    #[error("{0}")]
    Internal(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
