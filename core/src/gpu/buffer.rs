//! Placeholder until the branch that holds the buffers is merged.

/// Placeholder.
#[derive(Debug)]
pub struct View;
