//! Compiled kernels as bytes, which a front end may keep from one process to the next. What they hold is the driver's
//! business: some give nothing, because they keep compiled code themselves.

use sha2::{Digest, Sha256};

use super::device::Gpu;

/// What the bytes begin with; the last character counts the versions of this format.
const MAGIC: &[u8; 8] = b"tbrmpip1";
const HEADER: usize = MAGIC.len() + 32;

impl Gpu {
    /// A file name for this adapter's compiled kernels; `None` where they cannot be kept.
    pub fn pipeline_cache_key(&self) -> Option<String> {
        self.caps().pipeline_cache.then(|| wgpu::util::pipeline_cache_key(self.info())).flatten()
    }

    /// From now on compiles with the help of `stored`, which [`Gpu::kept_pipelines`] gave earlier, and remembers what it
    /// compiles. Says whether `stored` is of use: bytes that are damaged, or of another adapter, driver or version of
    /// this crate, are left aside. Only the first call on a device counts.
    pub fn keep_pipelines(&self, stored: Option<&[u8]>) -> bool {
        if self.pipeline_cache_key().is_none() || self.pipeline_cache().get().is_some() {
            return false;
        }
        let data = stored.and_then(|stored| unseal(&self.identity(), stored));
        self.pipeline_cache().get_or_init(|| create(self.device(), data));
        data.is_some()
    }

    /// What to store for the next process; `None` where nothing is kept.
    pub fn kept_pipelines(&self) -> Option<Vec<u8>> {
        let data = self.pipeline_cache().get()?.get_data()?;
        Some(seal(&self.identity(), &data))
    }

    /// Which compiled kernels may be used here. A driver never forgets a kernel that is no longer asked for: the
    /// crate's version lets every release begin anew.
    fn identity(&self) -> String {
        let info = self.info();
        format!(
            "{}; {} {:?} {} {}; {} {}",
            env!("CARGO_PKG_VERSION"),
            info.name,
            info.backend,
            info.vendor,
            info.device,
            info.driver,
            info.driver_info
        )
    }
}

/// The only unsafe call of this crate.
#[allow(unsafe_code)]
fn create(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("tbrm.pipelines"), data, fallback: true };
    // SAFETY: `data` must be what `get_data` returned on such an adapter. It passed `unseal`, so its hash says that
    // `seal` wrote it, for an adapter and driver of these names, and that nothing has damaged it since; wgpu checks the
    // device and the driver's own key once more. The hash holds off accidents, not somebody who writes into the user's
    // files on purpose, and could as well replace the program.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// `data` behind a header from which [`unseal`] knows what it is.
fn seal(identity: &str, data: &[u8]) -> Vec<u8> {
    [MAGIC, digest(identity, data).as_slice(), data].concat()
}

/// What [`seal`] was given, if `bytes` are whole and of this `identity`.
fn unseal<'b>(identity: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (header, data) = bytes.split_at_checked(HEADER)?;
    let whole = header.starts_with(MAGIC) && header[MAGIC.len()..] == digest(identity, data);
    whole.then_some(data)
}

fn digest(identity: &str, data: &[u8]) -> [u8; 32] {
    let length = (identity.len() as u64).to_le_bytes();
    Sha256::new().chain_update(length).chain_update(identity).chain_update(data).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_come_back() {
        for data in [&b"compiled kernels"[..], b""] {
            assert_eq!(unseal("adapter", &seal("adapter", data)), Some(data));
        }
    }

    #[test]
    fn damaged_bytes_do_not() {
        let sealed = seal("adapter", b"compiled kernels");
        for length in 0..sealed.len() {
            assert_eq!(unseal("adapter", &sealed[..length]), None, "cut to {length} bytes");
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal("adapter", &damaged), None, "byte {at}");
        }
        assert_eq!(unseal("adapter", &[sealed, vec![0]].concat()), None, "a byte too many");
    }

    #[test]
    fn bytes_of_another_adapter_do_not() {
        assert_eq!(unseal("adapter 2", &seal("adapter", b"compiled kernels")), None);
        assert_eq!(unseal("adapter2", &seal("adapter", b"2")), None);
    }
}
