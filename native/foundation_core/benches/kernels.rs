//! Kernels over 100,000 numbers, a million, and a text of 9 MB, each in one slice: what the cut-offs and the sizes of
//! blocks come from.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foundation_core::kernels::{Arg, Args, Input, Kind, Numbers, Step, Value, find};

fn run(name: &str, input: &Input, args: &Args) -> Value {
    let entry = find(name).unwrap();
    let mut kernel = entry.create(input, 0..input.len(), args.clone()).unwrap();
    while kernel.step(input, &mut || true).unwrap() == Step::More {}
    kernel.finish().unwrap()
}

/// Whole numbers below a million in any order, as integers and as floats.
fn numbers(count: u64, kind: Kind) -> Vec<u8> {
    let values = (0..count).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % 1_000_000);
    values
        .flat_map(|n| match kind {
            Kind::F64 => (n as f64).to_ne_bytes(),
            _ => (n as i64).to_ne_bytes(),
        })
        .collect()
}

fn numeric(c: &mut Criterion) {
    let float = Arg::Float;
    let kernels = [
        ("sum", Args::new()),
        ("mean", Args::new()),
        ("variance", Args::new()),
        ("min", Args::new()),
        (
            "quantiles",
            Args::new().with("q", Arg::Floats(vec![0.5, 0.9, 0.99])),
        ),
        (
            "histogram",
            Args::new()
                .with("bins", Arg::Int(100))
                .with("min", float(0.0))
                .with("max", float(1e6)),
        ),
        ("sort", Args::new()),
        ("top_k", Args::new().with("k", Arg::Int(100))),
    ];
    for (kind, count) in [
        (Kind::F64, 100_000),
        (Kind::I64, 100_000),
        (Kind::F64, 1_000_000),
    ] {
        let bytes = numbers(count, kind);
        let input = Input::Packed(Numbers::new(kind, &bytes).unwrap());
        let mut group = c.benchmark_group(format!("{count} {}", kind.name()));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for (name, args) in &kernels {
            group.bench_function(*name, |b| b.iter(|| run(name, black_box(&input), args)));
        }
    }
}

fn bytes(c: &mut Criterion) {
    let words = (0..1_500_000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50);
    let text: String = words.map(|word| format!("w{word} ")).collect();
    let input = Input::Bytes(text.as_bytes());
    let mut group = c.benchmark_group(format!("text of {} bytes", text.len()));
    group.throughput(Throughput::Bytes(text.len() as u64));
    let pattern = Args::new().with("pattern", Arg::Bytes(b"w123 ".to_vec()));
    for (name, args) in [
        ("count", pattern),
        ("words", Args::new()),
        ("xxh3_64", Args::new()),
        ("xxh3_128", Args::new()),
    ] {
        group.bench_function(name, |b| b.iter(|| run(name, black_box(&input), &args)));
    }
    let items: Vec<&[u8]> = text.as_bytes().chunks(10_000).collect();
    let many = Input::Many(&items);
    group.bench_function("compress_many", |b| {
        b.iter(|| run("compress_many", black_box(&many), &Args::new()))
    });
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
}

criterion_group! { name = benches; config = settings(); targets = numeric, bytes }
criterion_main!(benches);
