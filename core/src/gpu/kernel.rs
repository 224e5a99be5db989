//! What `build.rs` says of a kernel: the description of one entry point in one variant, and the trait that its
//! generated struct implements.

use super::buffer::View;

/// How an entry point uses one of its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingKind {
    /// The family's uniform struct, `p`: written when the dispatch is recorded.
    Params,
    /// Another uniform, in a buffer of its own: what changes from step to step.
    Uniform,
    /// Declared `var<storage, read>` in the source.
    Input,
    /// Declared `var<storage, read_write>` in the source.
    Output,
}

/// One binding of an entry point, in group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingDesc {
    /// The WGSL name, which is the field's name in the generated struct.
    pub name: &'static str,
    /// The number in `@binding`.
    pub binding: u32,
    /// What the entry point does with it.
    pub kind: BindingKind,
    /// Bytes that must be bound at least (the size of a fixed-size type, one element of a runtime array).
    pub min_size: u64,
}

/// One entry point in one variant, as reflected from the validated source.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelDesc {
    /// The shader file's name without `.wgsl`.
    pub family: &'static str,
    /// The entry point's name.
    pub entry: &'static str,
    /// The variant's name, `base` where the file declares none.
    pub variant: &'static str,
    /// The flattened WGSL that the device compiles: imports expanded, every storage binding `read_write` so that
    /// inputs and outputs may share one buffer.
    pub source: &'static str,
    /// The workgroup's size.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// The bindings that the entry point uses, by number.
    pub bindings: &'static [BindingDesc],
    /// Needs subgroup operations.
    pub subgroups: bool,
    /// Needs 16-bit floats.
    pub f16: bool,
    /// Needs 64-bit integers.
    pub int64: bool,
}

/// The generated struct of an entry point: a field per binding.
pub trait Kernel {
    /// The family's variants.
    type Variant: Copy;
    /// The description for `variant`.
    fn desc(variant: Self::Variant) -> &'static KernelDesc;
    /// The bytes of `p`.
    fn params(&self) -> &[u8];
    /// The views of every other binding, in the order of [`KernelDesc::bindings`].
    fn views(&self) -> Vec<&View>;
}
