// What cache_head.wgsl says, by one invocation: the head's own position, then the cache's, AT_ONCE a turn, of which those beyond
// the last repeat it and weigh nothing. Several share the turns of a loop over the head; but where lavapipe writes that loop out
// (UNROLL, WIDE), several are more machine code than a processor keeps at hand.
fn attend_head(at: Place, keeps: bool, out: ptr<function, Head>) {
    let size = p.head_dim / WIDTH;
#if UNROLL
    let loads = LOADS;
#else
    let loads = size;
#endif
    let scale = 1.0 / sqrt(f32(p.head_dim));
    var q: Head;
    var acc: Head;
    var top = 0.0;
    for (var d = 0u; d < loads; d++) {
        let c = min(d, size - 1u);
        let k = turned(at.k, c, at.last);
        q[d] = select(Loaded(), scale * turned(at.q, c, at.last), d < size);
        acc[d] = qkv_at(at.v + c);
        top += inner(q[d], k);
        if d < size && keeps {
            keep(at.cache + at.last * size + c, k, acc[d]);
        }
    }
    var sum = 1.0;
    for (var t = 0u; t < at.last; t += AT_ONCE) {
#repeat i AT_ONCE
        let met_$i = at.cache + min(t + $iu, at.last - 1u) * size;
        var score_$i = 0.0;
#endrepeat
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
#repeat i AT_ONCE
            score_$i += inner(q[d], key_at(met_$i + c));
#endrepeat
        }
        var higher = top;
#repeat i AT_ONCE
        higher = max(higher, score_$i);
#endrepeat
        let keep = exp(top - higher);
        top = higher;
        sum *= keep;
#repeat i AT_ONCE
        let weight_$i = select(0.0, exp(score_$i - higher), t + $iu < at.last);
        sum += weight_$i;
#endrepeat
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
            var part = acc[d] * keep;
#repeat i AT_ONCE
            part += weight_$i * value_at(met_$i + c);
#endrepeat
            acc[d] = part;
        }
    }
    for (var d = 0u; d < loads; d++) {
        (*out)[d] = acc[d] / sum;
    }
}
