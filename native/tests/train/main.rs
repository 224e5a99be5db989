//! `tbrm train` as a process.

mod faults;
mod interruption;
mod runs;
mod setup;
