//! What the device can do, in the terms in which kernels and plans ask for it.

/// The limits that every WebGPU implementation guarantees; a device opened with
/// [`super::GpuOptions::guaranteed_limits`] has no more.
pub fn guaranteed_limits() -> wgpu::Limits {
    wgpu::Limits {
        max_storage_buffers_per_shader_stage: 8,
        max_storage_buffer_binding_size: 128 << 20,
        max_buffer_size: 256 << 20,
        max_compute_workgroup_storage_size: 16 << 10,
        max_compute_invocations_per_workgroup: 256,
        max_compute_workgroup_size_x: 256,
        max_compute_workgroups_per_dimension: 65_535,
        ..wgpu::Limits::defaults()
    }
}

/// What an opened device offers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Caps {
    /// A processor pretends to be a GPU: barriers and workgroup memory are slow.
    pub software: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// The number of invocations in a subgroup, where the adapter tells.
    pub subgroup_size: u32,
    /// 16-bit floats in shaders.
    pub f16: bool,
    /// 64-bit integers in shaders.
    pub int64: bool,
    /// Timestamps around a compute pass.
    pub timestamps: bool,
    /// A pipeline cache that can be stored.
    pub pipeline_cache: bool,
    /// The largest range one binding may span, in bytes.
    pub max_binding: u64,
    /// The largest buffer, in bytes.
    pub max_buffer: u64,
    /// The most workgroups in one dimension of a dispatch.
    pub max_groups: u32,
}

impl Caps {
    pub(super) fn new(info: &wgpu::AdapterInfo, features: wgpu::Features, limits: &wgpu::Limits) -> Self {
        Caps {
            software: info.device_type == wgpu::DeviceType::Cpu,
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            subgroup_size: info.subgroup_min_size,
            f16: features.contains(wgpu::Features::SHADER_F16),
            int64: features.contains(wgpu::Features::SHADER_INT64),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
            max_binding: limits.max_storage_buffer_binding_size & !(super::buffer::ALIGN - 1),
            max_buffer: limits.max_buffer_size & !(super::buffer::ALIGN - 1),
            max_groups: limits.max_compute_workgroups_per_dimension,
        }
    }

    /// Whether every subgroup has `size` invocations: the subgroup kernels for software adapters are written for the width
    /// of one driver's registers, 8 lanes on lavapipe and 4 on SwiftShader.
    pub fn subgroups_of(&self, size: u32) -> bool {
        self.subgroups && self.subgroup_size == size
    }

    /// Whether the kernels for lavapipe run: they share loads in subgroups of 8 and load 64 bits at a time.
    pub fn lavapipe(&self) -> bool {
        self.software && self.subgroups_of(8) && self.int64
    }

    /// The features worth asking an adapter for.
    pub(super) fn wanted() -> wgpu::Features {
        wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::PIPELINE_CACHE
    }
}
