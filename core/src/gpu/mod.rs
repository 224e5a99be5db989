//! The device, its memory, and the kernels that `build.rs` generated from `shaders/`.

pub mod buffer;
pub mod kernel;

/// The kernels generated from `shaders/`: a module per file, in it the uniform structs, the `Variant` enum, the
/// workgroup constants, and one struct per entry point with a field per binding.
#[allow(missing_docs)]
pub mod kernels {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}
