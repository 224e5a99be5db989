//! What `build.rs` makes of shaders, and what it refuses, on sources written here.

#[path = "../build/mod.rs"]
mod shaders;

use shaders::Sources;
use shaders::family::Family;
use shaders::reflect::{Kind, Reflection};

/// A minimal kernel around `body`, with `head` above it; line 1 of the file is `head`'s first line.
fn kernel(head: &str, body: &str) -> String {
    format!(
        "{head}\n\
         struct TestParams {{ n: u32, scale: f32, shift: i32 }}\n\
         @group(0) @binding(0) var<uniform> p: TestParams;\n\
         @group(0) @binding(1) var<storage, read> x: array<f32>; // (N)\n\
         @group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // (N/4)\n\
         @compute @workgroup_size(64)\n\
         fn test_fwd(@builtin(local_invocation_index) i: u32) {{\n\
         if i >= p.n {{ return; }}\n\
         {body}\n\
         out[i] = vec4(x[i]);\n\
         }}\n"
    )
}

fn build_with(text: &str, shared: &[(&str, &str)]) -> Result<Family, Vec<String>> {
    let mut sources = Sources::new();
    sources.insert("test.wgsl".to_owned(), text.to_owned());
    for (path, text) in shared {
        sources.insert(format!("shared/{path}.wgsl"), (*text).to_owned());
    }
    Family::build(&sources, "test.wgsl", text)
}

fn build(text: &str) -> Result<Family, Vec<String>> {
    build_with(text, &[])
}

#[track_caller]
fn built(result: Result<Family, Vec<String>>) -> Family {
    result.unwrap_or_else(|failures| panic!("{}", failures.join("\n")))
}

/// Asserts that one failure contains every one of `parts`.
#[track_caller]
fn refused(result: Result<Family, Vec<String>>, parts: &[&str]) {
    let failures = result.expect_err("this shader must be refused");
    let is_meant = |failure: &String| parts.iter().all(|part| failure.contains(part));
    assert!(failures.iter().any(is_meant), "no failure says {parts:?}:\n{}", failures.join("\n"));
}

fn variant<'a>(family: &'a Family, name: &str) -> &'a Reflection {
    family.variants.iter().find(|reflection| reflection.variant.name == name).expect("a variant")
}

#[test]
fn imports_are_pasted_once_and_transitively() {
    let family = built(build_with(
        &kernel("#import shared/a\n#import shared/b", "let y = a() + b();"),
        &[("a", "#import shared/b\nfn a() -> f32 { return b(); }"), ("b", "fn b() -> f32 { return 1.0; }")],
    ));
    let source = &family.variants[0].source;
    assert_eq!(source.matches("fn a()").count(), 1);
    assert_eq!(source.matches("fn b()").count(), 1);
    assert!(!source.contains('#'));
}

#[test]
fn bad_imports_are_refused_where_they_are_written() {
    let cycle = [("a", "\n#import shared/b"), ("b", "#import shared/a")];
    refused(
        build_with(&kernel("#import shared/a", ""), &cycle),
        &["import cycle", "shaders/shared/b.wgsl:1"],
    );
    refused(
        build(&kernel("\n#import shared/a", "")),
        &["shared/a.wgsl does not exist", "shaders/test.wgsl:2"],
    );
    refused(build(&kernel("#import other/a", "")), &["#import shared/NAME", "shaders/test.wgsl:1"]);
    let shared = [("a", "#variant lane")];
    refused(
        build_with(&kernel("#import shared/a", ""), &shared),
        &["no variants", "shaders/shared/a.wgsl:1"],
    );
}

#[test]
fn variants_set_constants_aliases_and_conditions() {
    let head = "#variant lane TILE=8u T:f32\n#variant tile WIDE TILE=16u T:vec4<f32> // two of them\nconst ONCE = 2u * TILE;";
    let body = "\
        #if WIDE\nlet outer = 1;\n#if TILE\nlet inner = 2;\n#else\nlet never = 3;\n#endif\n\
        #else\nlet narrow = 4;\n#if WIDE\nlet never = 5;\n#endif\n#endif\nvar t = T();";
    let family = built(build(&kernel(head, body)));
    let (lane, tile) = (variant(&family, "lane"), variant(&family, "tile"));
    assert_eq!((lane.consts["TILE"], lane.consts["ONCE"]), (8, 16));
    assert_eq!((tile.consts["TILE"], tile.consts["ONCE"]), (16, 32));
    assert!(lane.source.contains("alias T = f32;") && tile.source.contains("alias T = vec4<f32>;"));
    assert!(
        tile.source.contains("outer") && tile.source.contains("inner") && !tile.source.contains("narrow")
    );
    assert!(
        lane.source.contains("narrow") && !lane.source.contains("outer") && !lane.source.contains("inner")
    );
    assert!(!lane.source.contains("never") && !tile.source.contains("never"));
    assert_eq!(built(build(&kernel("", ""))).variants[0].variant.name, "base");
}

#[test]
fn constants_are_exported_only_where_every_variant_has_them() {
    let family = built(build(&kernel("#variant a TILE=8u\n#variant b TILE=4u WAVES=2u\nconst F = 1.0;", "")));
    assert_eq!(family.shared_consts(), ["TILE"]);
}

#[test]
fn bad_directives_are_refused_at_their_line() {
    for (head, what, line) in [
        ("#variant a\n#variant a", "declared twice", 2),
        ("#variant", "needs a name", 1),
        ("#variant Tile", "snake_case", 1),
        ("#variant a X X=1u", "defined twice", 1),
        ("#variant a 8=X", "is not FLAG", 1),
        ("\n#if TYPO\n#endif", "no #variant of this file defines `TYPO`", 2),
        ("#variant a X\n#if X", "#if without #endif", 2),
        ("#endif", "#endif without #if", 1),
        ("#else", "#else without #if", 1),
        ("#variant a X\n#if X\n#else\n#else\n#endif", "#else without #if", 4),
        ("#variant a X\n#if X\n#variant b\n#endif", "#variant inside #if", 3),
        ("#define X", "unknown directive", 1),
        ("#variant a\n#repeat i 2\n#repeat j 2\n#endrepeat", "#repeat without #endrepeat", 2),
        ("#endrepeat", "#endrepeat without #repeat", 1),
        ("#variant a F T:f32 N=1.5\n#repeat i F\n#endrepeat", "`F` is neither a number nor", 2),
        ("#variant a F T:f32 N=1.5\n\n#repeat i N\n#endrepeat", "`N` is neither a number nor", 3),
        ("#repeat 2\n#endrepeat", "unknown directive", 1),
        ("#variant a X\n#repeat i 2\n#if X\n#endrepeat\n#endif", "#if without #endif", 3),
    ] {
        refused(build(&kernel(head, "")), &[what, &format!("shaders/test.wgsl:{line}")]);
    }
}

#[test]
fn repeats_paste_their_lines_with_the_number_in_place() {
    let head = "#variant two N=2u WIDE\n#variant three N=3";
    let body = "\
        var s = 0u;\n#repeat i N\ns += $iu;\n#if WIDE\n#repeat j 3\nlet t$i_$j = 1$i$ju;\n#endrepeat\n#endif\n\
        #endrepeat\n#if WIDE\n#else\n#repeat k 1\nlet narrow_$k = s;\n#endrepeat\n#endif\n\
        #repeat k 0\nlet never = $k;\n#endrepeat";
    let family = built(build(&kernel(head, body)));
    let lines = |name: &str| -> Vec<String> {
        let starts = ["s += ", "let "];
        let of_body = |line: &&str| starts.iter().any(|start| line.starts_with(start));
        variant(&family, name).source.lines().filter(of_body).map(str::to_owned).collect()
    };
    let nested = |i: u32| (0..3).map(move |j| format!("let t{i}_{j} = 1{i}{j}u;"));
    let two: Vec<_> = (0..2).flat_map(|i| std::iter::once(format!("s += {i}u;")).chain(nested(i))).collect();
    assert_eq!(lines("two"), two);
    assert_eq!(lines("three"), ["s += 0u;", "s += 1u;", "s += 2u;", "let narrow_0 = s;"]);
    // An #if that is not taken asks nothing of what is in it: its count may be another variant's.
    built(build(&kernel("#variant a ONLY=2\n#variant b", "#if ONLY\n#repeat i ONLY\n#endrepeat\n#endif")));
}

#[test]
fn shader_errors_point_at_the_original_line() {
    let long = "fn shared_one() {}\n".repeat(40);
    let shared =
        long.lines().enumerate().map(|(i, l)| l.replace("one", &format!("f{i}")) + "\n").collect::<String>();
    let head = "#import shared/long\n#variant a X=1u";
    let parse = kernel(head, "let y = unknown_name;");
    refused(
        build_with(&parse, &[("long", &shared)]),
        &["shaders/test.wgsl:10:9", "10 | let y = unknown_name;", "^^^^"],
    );
    let types = kernel(head, "let y: vec2<f32> = vec2(x[i], x[i]);\nlet z = x[i] + y.z;");
    refused(build_with(&types, &[("long", &shared)]), &["shaders/test.wgsl:11:", "11 | let z"]);
    // Found by the validator, which wraps the cause in the entry point around it.
    let assign = kernel(head, "x[i] = 1.0;");
    refused(build_with(&assign, &[("long", &shared)]), &["shaders/test.wgsl:10:", "10 | x[i] = 1.0;"]);
    // The second of three copies is wrong, the line is in the file once.
    let repeated = kernel(head, "#repeat i 3\nlet x$i = array(1u, 2u)[1u - $iu];\n#endrepeat\nlet y = 1;");
    let text = "let x2 = array(1u, 2u)[1u - 2u];";
    refused(build_with(&repeated, &[("long", &shared)]), &["shaders/test.wgsl:11:", text]);
    let inside = shared + "fn broken() -> f32 { return 1u; }\n";
    refused(build_with(&kernel(head, ""), &[("long", &inside)]), &["shaders/shared/long.wgsl:41:"]);
}

#[test]
fn all_failures_of_all_files_come_at_once() {
    let mut sources = Sources::new();
    sources.insert("one.wgsl".to_owned(), "fn".to_owned());
    sources.insert("two.wgsl".to_owned(), "#variant a\n#variant b\nlet".to_owned());
    let text = shaders::compile(&sources).expect_err("both are broken").join("\n");
    for part in ["shaders/one.wgsl:1", "shaders/two.wgsl:3", "(variant a)", "(variant b)"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let empty = shaders::compile(&Sources::new()).expect_err("nothing to build");
    assert!(empty[0].contains("no shader was found"));
}

#[test]
fn bindings_are_reflected_per_entry_point() {
    let head = "struct Item { at: u32, weight: f32 }\n\
        @group(0) @binding(5) var<storage> items: array<Item>;\n\
        struct Step { lr: f32 }\n\
        @group(0) @binding(3) var<uniform> step: Step;\n\
        @group(0) @binding(4) var<storage> w: array<f32, 6>;\n\
        var<workgroup> tile: array<f32, 5>;\n\
        @compute @workgroup_size(8, 2)\n\
        fn test_bwd() { tile[0] = w[1] * step.lr; out[p.n] = vec4(tile[0]); }";
    let family = built(build(&kernel(head, "")));
    let [bwd, fwd] = &family.variants[0].entries[..] else { panic!("two entry points") };
    let bindings = |entry: &shaders::reflect::Entry| {
        let row =
            |b: &shaders::reflect::Binding| (b.number, b.name.clone(), b.kind, b.min_size, b.doc.clone());
        entry.bindings.iter().map(row).collect::<Vec<_>>()
    };
    let p = (0, "p".to_owned(), Kind::Params, 12, None);
    let out = (2, "out".to_owned(), Kind::Output, 16, Some("(N/4)".to_owned()));
    assert_eq!(
        bindings(fwd),
        [p.clone(), (1, "x".to_owned(), Kind::Input, 4, Some("(N)".to_owned())), out.clone()]
    );
    let (step, w) =
        ((3, "step".to_owned(), Kind::Uniform, 4, None), (4, "w".to_owned(), Kind::Input, 24, None));
    assert_eq!(bindings(bwd), [p, out, step, w]);
    assert_eq!((fwd.workgroup, fwd.workgroup_bytes), ([64, 1, 1], 0));
    assert_eq!((bwd.workgroup, bwd.workgroup_bytes), ([8, 2, 1], 32));
    let structs = &family.variants[0].structs;
    let types = |i: usize| structs[i].fields.iter().map(|f| (f.name.as_str(), f.ty)).collect::<Vec<_>>();
    assert_eq!((structs[0].name.as_str(), types(0)), ("Item", vec![("at", "u32"), ("weight", "f32")]));
    assert_eq!((structs[1].name.as_str(), types(1)), ("Step", vec![("lr", "f32")]));
    assert_eq!(types(2), [("n", "u32"), ("scale", "f32"), ("shift", "i32")]);
}

#[test]
fn the_device_reads_and_writes_every_storage_binding() {
    let head = "@group(0) @binding(3) var<storage> y: array<f32>;\nvar<workgroup> tile: array<f32, 4>;";
    let source = &built(build(&kernel(head, ""))).variants[0].source;
    assert_eq!(source.matches("var<storage, read_write>").count(), 3);
    assert_eq!(source.matches("var<storage").count(), 3);
    assert!(source.contains("var<uniform> p") && source.contains("var<workgroup> tile: array<f32, 4>"));
}

#[test]
fn the_device_gets_no_comments_and_the_lines_stay() {
    let text = |comments: bool| {
        let (head, body) = if comments {
            ("// What it does.\n    // More.", "    let y = x[i]; // (N) / 2 // twice\n")
        } else {
            ("\n", "let y = x[i];\n")
        };
        built(build(&kernel(head, body))).variants.swap_remove(0).source
    };
    let compact = text(true);
    assert_eq!(compact.lines().count(), text(false).lines().count());
    assert!(!compact.contains("//") && compact.lines().all(|line| line == line.trim()), "{compact}");
    assert_eq!(compact.lines().nth(9), Some("let y = x[i];"), "{compact}");
    let block = built(build(&kernel("/* as // it is */", ""))).variants.swap_remove(0).source;
    assert!(block.contains("/* as // it is */"), "{block}");
}

#[test]
fn upgrades_are_detected() {
    let head = "#variant plain\n#variant sub SUB\n#variant half HALF\n#variant long LONG\n#if HALF\nenable f16;\n#endif";
    let body = "#if SUB\nlet s = subgroupAdd(x[i]);\n#endif\n#if HALF\nlet h = f16(x[i]);\n#endif\n#if LONG\nlet l = u64(x[i]);\n#endif";
    let family = built(build(&kernel(head, body)));
    let needs = |name| {
        let variant = variant(&family, name);
        [variant.subgroups, variant.f16, variant.int64]
    };
    assert_eq!(needs("plain"), [false; 3]);
    assert_eq!(needs("sub"), [true, false, false]);
    assert_eq!(needs("half"), [false, true, false]);
    assert_eq!(needs("long"), [false, false, true]);
    assert!(variant(&family, "half").source.starts_with("enable f16;"));
    let only = "#variant sub\n";
    refused(
        build(&kernel(only, "let s = subgroupAdd(x[i]);")),
        &["none runs everywhere", "shaders/test.wgsl:1"],
    );
    built(build(&kernel("#variant sub OPTIONAL\n", "let s = subgroupAdd(x[i]);")));
}

#[test]
fn broken_conventions_are_refused() {
    let good = kernel("", "");
    for (from, to, what) in [
        ("fn test_fwd", "fn fwd", "is not called `test_...`"),
        ("@group(0) @binding(1)", "@group(1) @binding(1)", "is in group 1"),
        ("@binding(0) var", "@binding(7) var", "`p` is binding 7"),
        ("if i >= p.n { return; }", "", "does not use its uniform `p`"),
        ("out[i] = vec4(x[i]);", "let y = x[i];", "writes no binding"),
        ("scale: f32", "scale: vec2<f32>", "`TestParams.scale` is not a u32, i32 or f32"),
        ("scale: f32", "@align(16) scale: f32", "`TestParams.scale` is not at byte 4"),
        ("scale: f32", "Scale: f32", "`Scale` becomes a Rust field"),
        ("p: TestParams", "p: u32", "a uniform is a struct"),
        ("struct", "override ROWS: u32 = 4u;\nstruct", "`override`"),
        ("@workgroup_size(64)", "@workgroup_size(257)", "257 invocations"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from} is not in the kernel");
        let text = if to == "p: u32" { text.replace("p.n", "p") } else { text };
        refused(build(&text), &[what, "shaders/test.wgsl"]);
    }
    let twice = build(&good.replace("@binding(2)", "@binding(1)"));
    refused(twice, &["conflict with other resource", "shaders/test.wgsl:5"]);
}

#[test]
fn upgrades_may_pass_the_guaranteed_workgroup_limits_but_not_the_binding_limit() {
    let memory = |bytes: usize| format!("var<workgroup> tile: array<u32, {}>;", bytes / 4);
    let touch = "tile[i] = 1u;";
    built(build(&kernel(&memory(16384), touch)));
    refused(build(&kernel(&memory(16388), touch)), &["16400 bytes of workgroup memory", "test.wgsl:7"]);
    let upgrade = format!("#variant small\n#variant big UPGRADE\n#if UPGRADE\n{}\n#endif", memory(32768));
    let big = built(build(&kernel(&upgrade, "#if UPGRADE\ntile[i] = 1u;\n#endif")));
    assert_eq!(variant(&big, "big").entries[0].workgroup_bytes, 32768);

    let arrays = |count: usize| {
        let head: String = (0..count)
            .map(|i| format!("@group(0) @binding({}) var<storage> a{i}: array<f32>;\n", 3 + i))
            .collect();
        let body: String = (0..count).map(|i| format!("let y{i} = a{i}[i];\n")).collect();
        kernel(&head, &body)
    };
    built(build(&arrays(6)));
    refused(build(&arrays(7)), &["has 9 storage bindings, more than 8"]);
    refused(build(&format!("#variant a UPGRADE\n{}", arrays(7))), &["has 9 storage bindings"]);
}

#[test]
fn variants_that_cannot_be_swapped_are_refused() {
    let head = "#variant a\n#variant b B";
    refused(
        build(&kernel(head, "#if B\nlet y = out[i];\n#endif").replace(
            "var<storage, read> x",
            "\n#if B\nvar<storage, read> x\n#else\nvar<storage, read_write> x\n#endif\n",
        )),
        &["bindings of `test_fwd` differ", "shaders/test.wgsl:2"],
    );
    let extra = "#variant a\n#variant b B\n#if B\n@compute @workgroup_size(1) fn test_bwd() { out[p.n].x = 1.0; }\n#endif";
    refused(build(&kernel(extra, "")), &["entry points differ", "test_bwd", "shaders/test.wgsl:2"]);
    let params = kernel(head, "").replace("scale: f32,", "\n#if B\nscale: f32,\n#else\ngain: f32,\n#endif\n");
    refused(build(&params), &["structs differ"]);
}

#[test]
fn the_emitted_rust_names_every_part() {
    let mut sources = Sources::new();
    sources.insert("test.wgsl".to_owned(), kernel("#variant lane_wide WG=8u\n#variant tile WG=64u", ""));
    let output = shaders::compile(&sources).expect("a good shader");
    for part in [
        "pub mod test {",
        "pub struct TestParams {",
        "pub scale: f32,",
        "LaneWide,",
        "Self::LaneWide => \"lane_wide\"",
        "Self::Tile => Consts { wg: 64, }",
        "pub struct TestFwd<'a> {",
        "pub p: TestParams,",
        "vec![self.x, self.out, ]",
        "&test::TEST_FWD[1],",
    ] {
        assert!(output.rust.contains(part), "{part} is missing:\n{}", output.rust);
    }
    assert_eq!(output.sources.keys().collect::<Vec<_>>(), ["test.lane_wide.wgsl", "test.tile.wgsl"]);
}
