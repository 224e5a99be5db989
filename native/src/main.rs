//! The command `tbrm`.
fn main() {}
