//! On a device that was asked for no more than every WebGPU implementation guarantees.

use tbrm_core::gpu::GpuOptions;
use tbrm_core::gpu::kernels::{
    adamw as adamw_k, head as head_k, matmul as matmul_k, mlp as mlp_k, norm as norm_k, rope as rope_k,
    sample as sample_k,
};
use tbrm_core::objective::{Objective, Terms};
use tbrm_core::reference::Heads;
use tbrm_core::reference::sample::Filter;
use tbrm_testing::gpu_test;

use crate::harness::{able, open};
use crate::{adamw, attention, cache, embed, head, matmul, mlp, norm, objective, rope, rows, sample, value};

gpu_test!(the_guaranteed_limits_suffice);
fn the_guaranteed_limits_suffice() {
    let gpu = &open(&GpuOptions { guaranteed_limits: true, ..GpuOptions::default() });
    let heads = Heads { heads: 4, kv_heads: 2, head_dim: 16 };
    embed::check(gpu, &[3, 1, 3, 0], 5, 9, 3);
    for variant in able::<rope_k::RopeFwd<'_>>(gpu, rope_k::Variant::ALL) {
        rope::check(gpu, variant, heads, &[0, 1, 2, 0, 9]);
    }
    for variant in able::<mlp_k::MlpFwd<'_>>(gpu, mlp_k::Variant::ALL) {
        mlp::check(gpu, variant, 5, 33);
        mlp::check(gpu, variant, 5, 36);
    }
    rows::check(gpu, 5, 9, &[4, 1]);
    for variant in able::<norm_k::NormFwd<'_>>(gpu, norm_k::Variant::ALL) {
        norm::check(gpu, variant, 11, 36);
        value::check(gpu, variant, 11, 36);
    }
    for variant in able::<matmul_k::MatmulNt<'_>>(gpu, matmul_k::Variant::ALL) {
        matmul::check(gpu, variant, 17, 132, 20, 132);
    }
    for variant in attention::able(gpu) {
        attention::check(gpu, variant, heads, &[1, 19, 6], 1.0);
    }
    for variant in able::<head_k::HeadStats<'_>>(gpu, head_k::Variant::ALL) {
        head::check(gpu, variant, 5, (67, 68), 1.0, 3.0);
    }
    objective::check(gpu, Objective::Tbrm, Terms::default(), &[3, 1, 4], true);
    objective::check(gpu, Objective::Brm, Terms::default(), &[3, 1, 4], true);
    objective::check(gpu, Objective::Grpo, Terms::default(), &[3, 1, 4], true);
    objective::check(gpu, Objective::Ppo, Terms::default(), &[3, 1, 4], true);
    for variant in able::<adamw_k::AdamwNorm<'_>>(gpu, adamw_k::Variant::ALL) {
        adamw::check(gpu, variant, &[5000, 31], 0.5, 2);
    }
    for variant in cache::fitting(gpu, heads) {
        cache::check(gpu, variant, heads, &[(3, 5), (1, 2)]);
    }
    for variant in able::<sample_k::SampleNext<'_>>(gpu, sample_k::Variant::ALL) {
        sample::check(gpu, variant, 5, 131, Filter { temperature: 1.0, top_k: Some(20), top_p: Some(0.75) });
    }
}
