//! The model: what its configuration says, and what follows from it on the host.

pub mod rope;
