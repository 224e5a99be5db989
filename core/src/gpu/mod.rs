//! The device, its memory, and the kernels that `build.rs` generated from `shaders/`.

pub mod arena;
pub mod buffer;
pub mod caps;
pub mod device;
mod fault;
pub mod kernel;
mod pace;
pub mod pages;
mod pipeline_cache;
pub mod plan;
pub mod profile;
mod readback;
pub mod survey;

pub use buffer::View;
pub use caps::Caps;
pub use device::{Gpu, GpuOptions, Made, adapters};
pub use fault::Faulted;
pub use plan::{Arena, Plan, Recorder};
pub use profile::Profile;
pub(crate) use readback::{Mapped, Ring, Together};
pub use survey::{AdapterReport, Unlock, survey};

/// The kernels generated from `shaders/`: a module per file, in it the uniform structs, the `Variant` enum, the
/// workgroup constants, and one struct per entry point with a field per binding.
#[allow(missing_docs)]
pub mod kernels {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}
