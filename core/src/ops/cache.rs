//! The KV cache.

use super::{Launch, Variants};
use crate::gpu::kernels::cache::{CacheDecode, CacheWrite, Variant};

impl Launch for CacheWrite<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let consts = variants.cache.consts();
        let loads = self.p.rows as usize * (self.p.kv_heads * self.p.head_dim / consts.width) as usize;
        (variants.cache, loads.div_ceil(consts.wg as usize))
    }
}

impl Launch for CacheDecode<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let heads = self.p.rows as usize * self.p.heads as usize;
        (variants.cache, heads.div_ceil(variants.cache.consts().heads as usize))
    }
}
