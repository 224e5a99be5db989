//! The f64 twins against what defines them: finite differences, closed forms, and the theory of the paper. The
//! kernels are then tested against the twins.

mod adamw;
mod check;
mod kernels;
mod model;
mod objective;
mod rope;
mod sample;
