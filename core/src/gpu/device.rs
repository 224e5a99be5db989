//! Opens an adapter, remembers its first fault, makes buffers and pipelines, and moves bytes to and fro.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::buffer::{Buffer, View, WORD, align_up};
use super::caps::{Caps, guaranteed_limits};
use super::fault::{Faulted, FirstFault};
use super::kernel::{BindingKind, KernelDesc};
use super::pace::Clock;
use super::readback::{Mapped, map};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Poller, now};

/// Readbacks that are measured when a device is opened.
const READBACKS: usize = 2;

/// How to choose and open an adapter.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// A part of the adapter's name, in any case; by default the best GPU, a software adapter only if nothing else.
    pub adapter: Option<String>,
    /// Asks for no more than the limits and features that every WebGPU implementation guarantees.
    pub guaranteed_limits: bool,
    /// Binds no more bytes at a time than this, as an adapter with smaller limits would.
    pub binding_limit: Option<u64>,
    /// Treats readbacks as slow, as they are in Firefox.
    pub slow_readbacks: bool,
}

/// A pipeline with the layout of its bind group.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

/// How many objects were made so far: the steady state of training makes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Buffers.
    pub buffers: u64,
    /// Compute pipelines.
    pub pipelines: u64,
    /// Bind groups.
    pub bind_groups: u64,
}

/// An opened device; clones share it.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// Where a rehearsal counts the bytes that it would allocate.
    rehearsal: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    caps: Caps,
    poller: Poller,
    fault: FirstFault,
    pipelines: Mutex<HashMap<(&'static str, &'static str), Arc<Pipeline>>>,
    pipeline_cache: OnceLock<wgpu::PipelineCache>,
    buffers: AtomicU64,
    bind_groups: AtomicU64,
    held: Arc<AtomicU64>,
    clock: Clock,
    readback: OnceLock<f64>,
}

/// Every adapter that this machine, or the browser, shows.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: platform::BACKENDS,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    platform::adapters(&instance).await
}

fn rank(info: &wgpu::AdapterInfo) -> u32 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Every adapter of this machine, the best first.
///
/// # Errors
/// [`ErrorKind::Adapter`] when there is none.
pub(super) async fn ranked() -> Result<Vec<wgpu::Adapter>> {
    let mut found = adapters().await;
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Adapter, "no GPU adapter found", platform::NO_ADAPTER));
    }
    found.sort_by_key(|adapter| rank(&adapter.get_info()));
    Ok(found)
}

/// Which of the [`ranked`] adapters `options` ask for.
///
/// # Errors
/// [`ErrorKind::Adapter`] when none is called so.
pub(super) fn pick(ranked: &[wgpu::Adapter], options: &GpuOptions) -> Result<usize> {
    let Some(wanted) = &options.adapter else { return Ok(0) };
    let names: Vec<String> = ranked.iter().map(|adapter| adapter.get_info().name).collect();
    names.iter().position(|name| name.to_lowercase().contains(&wanted.to_lowercase())).ok_or_else(|| {
        Error::new(
            ErrorKind::Adapter,
            format!("no adapter's name contains `{wanted}`"),
            format!("choose one of: {}", names.join("; ")),
        )
    })
}

impl Gpu {
    /// Opens the adapter that `options` ask for.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] when there is none, or it cannot be opened.
    pub async fn open(options: &GpuOptions) -> Result<Gpu> {
        let mut found = ranked().await?;
        let adapter = found.swap_remove(pick(&found, options)?);
        let mut info = adapter.get_info();
        let (features, limits) = if options.guaranteed_limits {
            (wgpu::Features::empty(), guaranteed_limits())
        } else {
            (adapter.features() & Caps::wanted(), adapter.limits())
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tbrm"),
            required_features: features,
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        };
        platform::want_subgroups(!options.guaranteed_limits);
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
            let what = format!("cannot open adapter {}: {e}", info.name);
            Error::new(ErrorKind::Adapter, what, "update its driver, or choose another one with --adapter")
        })?;
        platform::describe(&mut info, &device);
        let fault = FirstFault::of(&device);
        let mut caps = Caps::new(&info, device.features(), &device.limits());
        caps.subgroups = platform::has_subgroups(&device);
        caps.max_binding =
            options.binding_limit.map_or(caps.max_binding, |limit| caps.max_binding.min(limit));
        let poller = Poller::new(&device);
        let inner = Inner {
            device,
            queue,
            info,
            caps,
            poller,
            fault,
            pipelines: Mutex::default(),
            pipeline_cache: OnceLock::new(),
            buffers: AtomicU64::new(0),
            bind_groups: AtomicU64::new(0),
            held: Arc::default(),
            clock: Clock::default(),
            readback: OnceLock::new(),
        };
        let gpu = Gpu { inner: Arc::new(inner), rehearsal: None };
        gpu.measure_readback(options.slow_readbacks).await?;
        Ok(gpu)
    }

    /// The least of a few, each of which begins where the one before has ended: where a browser looks for finished work
    /// now and then, just after it did.
    async fn measure_readback(&self, slow: bool) -> Result<()> {
        let word = self.storage("word", 1)?;
        self.read::<u32>(&word).await?;
        // Nothing is slower than what was not measured.
        let (readbacks, mut least) = (if slow { 0 } else { READBACKS }, f64::INFINITY);
        for _ in 0..readbacks {
            let began = now();
            self.read::<u32>(&word).await?;
            least = least.min(now() - began);
        }
        self.inner.readback.set(least).expect("a device is opened once");
        Ok(())
    }

    /// Seconds that a readback takes at least, whatever it brings.
    pub fn readback_seconds(&self) -> f64 {
        *self.inner.readback.get().expect("measured when it was opened")
    }

    /// The same device, on which buffers are counted but not made: what runs on it says how much memory the real run
    /// needs, before anything is allocated.
    #[must_use]
    pub fn rehearse(&self) -> Gpu {
        Gpu { inner: self.inner.clone(), rehearsal: Some(Arc::default()) }
    }

    /// Whether buffers are only counted.
    pub fn is_rehearsal(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// Bytes of the buffers that a rehearsal would have made.
    pub fn rehearsed_bytes(&self) -> u64 {
        self.rehearsal.as_ref().map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// Which adapter this is.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    pub(super) fn pipeline_cache(&self) -> &OnceLock<wgpu::PipelineCache> {
        &self.inner.pipeline_cache
    }

    /// How many objects were made so far.
    pub fn made(&self) -> Made {
        Made {
            buffers: self.inner.buffers.load(Ordering::Relaxed),
            pipelines: self.inner.pipelines.lock().expect("no panic under the lock").len() as u64,
            bind_groups: self.inner.bind_groups.load(Ordering::Relaxed),
        }
    }

    /// Bytes of all buffers that are alive.
    pub fn held_bytes(&self) -> u64 {
        self.inner.held.load(Ordering::Relaxed)
    }

    /// When the device was last done with what it measures.
    pub(super) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The first fault that the device reported on its own, if any.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] or [`ErrorKind::TooLarge`].
    pub fn check(&self) -> Result<()> {
        self.inner.fault.check()
    }

    /// Resolves when there is a first fault: also while nobody asks with [`Gpu::check`], as a front end that waits wants.
    pub fn faulted(&self) -> Faulted {
        self.inner.fault.wait()
    }

    /// Frees the device with all its memory, whoever still holds a part of it: what uses it afterwards fails, as after
    /// a loss.
    pub fn destroy(&self) {
        // Said first: natively the loss is told only at the next poll, after the errors that follow from it.
        self.inner.fault.lose("it was destroyed");
        self.device().destroy();
    }

    /// A zeroed storage buffer of `len` words, named `label`.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when the adapter's buffers are smaller.
    pub fn storage(&self, label: &str, len: usize) -> Result<View> {
        let usages =
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, len as u64 * WORD, usages)
    }

    /// A zeroed uniform buffer of `len` words, named `label`.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when the adapter's buffers are smaller.
    pub fn uniform(&self, label: &str, len: usize) -> Result<View> {
        self.buffer(label, len as u64 * WORD, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)
    }

    pub(crate) fn staging(&self, label: &str, bytes: u64) -> Result<Buffer> {
        let usages = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, bytes, usages).map(View::into_buffer)
    }

    pub(crate) fn query_results(&self, label: &str, len: usize) -> Result<Buffer> {
        let usages = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        self.buffer(label, len as u64 * WORD, usages).map(View::into_buffer)
    }

    fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<View> {
        let size = align_up(bytes.max(WORD));
        if size > self.caps().max_buffer {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{label} needs a buffer of {size} bytes; the adapter's limit is {}",
                    self.caps().max_buffer
                ),
                "use a smaller model, shorter sequences or a smaller micro-batch",
            ));
        }
        if let Some(counted) = &self.rehearsal {
            counted.fetch_add(size, Ordering::Relaxed);
            return Ok(View::absent(bytes.max(WORD)));
        }
        self.inner.buffers.fetch_add(1, Ordering::Relaxed);
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.check()?;
        let buffer = Buffer::new(buffer, &self.inner.held);
        Ok(View { size: bytes.max(WORD), ..View::whole(buffer) })
    }

    /// A storage buffer that holds `data`.
    ///
    /// # Errors
    /// As [`Gpu::storage`].
    pub fn upload<T: bytemuck::Pod>(&self, label: &str, data: &[T]) -> Result<View> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let view = self.storage(label, bytes.len().div_ceil(WORD as usize))?;
        self.write(&view, data);
        Ok(view)
    }

    /// Writes `data` to the start of `view`, before anything submitted later.
    ///
    /// # Panics
    /// When `view` is smaller than `data`, or belongs to a plan.
    pub fn write<T: bytemuck::Pod>(&self, view: &View, data: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        assert!(bytes.len() as u64 <= view.size, "{} bytes into a view of {}", bytes.len(), view.size);
        if !self.is_rehearsal() {
            self.queue().write_buffer(view.buffer(), view.offset, bytes);
        }
    }

    /// Reads `view` back once everything submitted so far is done. Makes a staging buffer: not for the steady state.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost or reported an error.
    pub async fn read<T: bytemuck::Pod>(&self, view: &View) -> Result<Vec<T>> {
        let staging = self.staging("readback", view.size)?;
        let mut encoder = self.encoder("readback");
        view.encode_copy(&mut encoder, &staging, 0);
        self.submit(encoder)?;
        let mapped = self.map(&staging, view.size).await?;
        Ok(bytemuck::pod_collect_to_vec(&mapped))
    }

    pub(crate) fn map(&self, staging: &Buffer, bytes: u64) -> Mapped {
        let mapped = map(self.clone(), staging, bytes);
        self.inner.poller.wake();
        mapped
    }

    pub(crate) fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }

    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<()> {
        self.queue().submit([encoder.finish()]);
        self.check()
    }

    pub(crate) fn count_bind_group(&self) {
        self.inner.bind_groups.fetch_add(1, Ordering::Relaxed);
    }

    /// The pipeline of a kernel, compiled at its first use.
    pub(crate) fn pipeline(&self, desc: &'static KernelDesc) -> Arc<Pipeline> {
        let mut pipelines = self.inner.pipelines.lock().expect("no panic under the lock");
        pipelines.entry((desc.entry, desc.variant)).or_insert_with(|| Arc::new(self.compile(desc))).clone()
    }

    fn compile(&self, desc: &'static KernelDesc) -> Pipeline {
        let name = format!("{}.{}", desc.entry, desc.variant);
        let label = Some(name.as_str());
        let entries: Vec<_> = desc.bindings.iter().map(layout_entry).collect();
        let device = self.device();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            ..wgpu::PipelineLayoutDescriptor::default()
        });
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(platform::source(desc)),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(desc.entry),
            // Every kernel writes its workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: self.pipeline_cache().get(),
        });
        Pipeline { pipeline, layout }
    }
}

fn layout_entry(binding: &super::kernel::BindingDesc) -> wgpu::BindGroupLayoutEntry {
    let ty = match binding.kind {
        BindingKind::Params | BindingKind::Uniform => wgpu::BufferBindingType::Uniform,
        BindingKind::Input | BindingKind::Output => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding: binding.binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: std::num::NonZeroU64::new(binding.min_size),
        },
        count: None,
    }
}
