//! What a template writes, up to a limit.

use std::io;

use crate::TextError;

/// Collects text and refuses the byte that would be too much.
#[derive(Debug)]
pub(super) struct CappedOutput {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl CappedOutput {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max,
            is_full: false,
        }
    }

    /// Whether something was refused.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn too_long(&self) -> TextError {
        TextError::TemplateOutputTooLong {
            bytes_max: self.bytes_max,
        }
    }

    pub(super) fn into_text(self) -> Result<String, TextError> {
        String::from_utf8(self.bytes).map_err(|error| TextError::TemplateFailed {
            reason: error.to_string(),
        })
    }
}

impl io::Write for CappedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            self.is_full = true;
            return Err(io::Error::other("the output is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
