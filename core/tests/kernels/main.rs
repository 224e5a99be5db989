//! Every kernel, in every variant that the adapter can run, against its f64 twin in `tbrm_core::reference`, and what the
//! twins cannot say: the same bits for a row whatever lies beside it, and from run to run.

mod adamw;
mod attention;
mod cache;
mod embed;
mod folding;
mod guaranteed;
mod harness;
mod head;
mod invariance;
mod matmul;
mod mlp;
mod norm;
mod objective;
mod rope;
mod rows;
mod sample;
mod value;
