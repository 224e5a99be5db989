//! How much memory a run may take.

use tbrm_core::Gpu;

/// Bytes that a run on `gpu` may take, where it is known: a software adapter's memory is the system's.
pub(in crate::commands) fn available(gpu: &Gpu) -> Option<u64> {
    if !gpu.caps().software {
        return None;
    }
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::meminfo;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(meminfo(text), Some(8 << 20));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
    }
}
