// How the invocations of a workgroup share rows: with LANE each has a row of its own, for adapters on which a barrier
// costs more than the arithmetic; otherwise the workgroup has one row, and each invocation one of its PARTS. The root
// file defines WG and ROWS.

#if LANE
const PARTS: u32 = 1u;

fn row_of(group: u32, lid: u32) -> u32 {
    return group * ROWS + lid;
}

fn part_of(lid: u32) -> u32 {
    return 0u;
}

fn all_sum(lid: u32, value: f32) -> f32 {
    return value;
}

fn all_max(lid: u32, value: f32) -> f32 {
    return value;
}
#else
#import shared/reduce

const PARTS: u32 = WG;

fn row_of(group: u32, lid: u32) -> u32 {
    return group;
}

fn part_of(lid: u32) -> u32 {
    return lid;
}

fn all_sum(lid: u32, value: f32) -> f32 {
    return reduce_sum(lid, value);
}

fn all_max(lid: u32, value: f32) -> f32 {
    return reduce_max(lid, value);
}
#endif
