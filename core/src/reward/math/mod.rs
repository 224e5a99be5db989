//! `math`: the completion's final answer is worth what the gold answer is worth.
//!
//! From text to verdict: `extract` finds the final answer, `lexer` and `expr` read it, `answer` finds what kind
//! it is, `evaluate` computes it, `equal` compares. docs/rewards.md has the conventions, and every case of the
//! tests with what was decided.

mod answer;
mod equal;
mod evaluate;
mod expr;
mod extract;
mod interval;
mod judge;
mod key;
mod lexer;
mod token;
mod verifier;
mod wide;
mod word;

#[cfg(test)]
mod tests;

pub use extract::gold;
pub use judge::{equivalent, is_right};
pub use verifier::Math;
