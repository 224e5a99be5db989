//! `tbrm train` as a process.

mod faults;
mod interruption;
mod online;
mod runs;
mod setup;
