//! The codec beside C's liblz4 on the same input, in one run: `cargo bench --bench compression`.
//!
//! The input is source text, of this project and of the machine's Perl, or the file that
//! `FOUNDATION_BENCH_FILE` names. Where liblz4 is not installed, its rows are left out.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]
use std::ffi::{c_char, c_int};
use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};
use foundation_core::compression::{Checksum, compress_frame, decode_block, decompress_frame};
use libloading::Library;

/// The size of the blocks that frames are made of.
const BLOCK: usize = 256 * 1024;
const ROUNDS: usize = 41;

type Compress = unsafe extern "C" fn(*const c_char, *mut c_char, c_int, c_int) -> c_int;

/// C's liblz4, found at run time so that the crate builds without it.
struct Liblz4 {
    library: Library,
}

impl Liblz4 {
    fn open() -> Option<Self> {
        // SAFETY: liblz4 runs no code when it is loaded.
        let library = unsafe { Library::new("liblz4.so.1") }.ok()?;
        Some(Liblz4 { library })
    }

    fn call(&self, name: &[u8], input: &[u8], out: &mut [u8]) -> usize {
        // SAFETY: LZ4_compress_default and LZ4_decompress_safe have this signature.
        let function = unsafe { self.library.get::<Compress>(name) }.unwrap();
        // SAFETY: both read and write inside the two sizes they are given.
        let size = unsafe {
            function(
                input.as_ptr().cast(),
                out.as_mut_ptr().cast(),
                input.len() as c_int,
                out.len() as c_int,
            )
        };
        size as usize
    }

    fn compress(&self, input: &[u8], out: &mut [u8]) -> usize {
        self.call(b"LZ4_compress_default\0", input, out)
    }

    fn decompress(&self, input: &[u8], out: &mut [u8]) -> usize {
        self.call(b"LZ4_decompress_safe\0", input, out)
    }
}

fn input() -> Vec<u8> {
    if let Ok(file) = std::env::var("FOUNDATION_BENCH_FILE") {
        return std::fs::read(file).unwrap();
    }
    let mut folders = vec![
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../lib"),
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."),
        std::path::PathBuf::from("/usr/share/perl"),
    ];
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|name| ["rs", "ex", "pm", "pl"].iter().any(|ext| name == *ext))
            {
                all.extend(std::fs::read(path).unwrap_or_default());
            }
        }
    }
    all.truncate(4 << 20);
    all
}

fn frames(criterion: &mut Criterion, input: &[u8]) {
    let mut group = criterion.benchmark_group("frame");
    group
        .throughput(Throughput::Bytes(input.len() as u64))
        .sample_size(20);
    for checksum in [Checksum::Auto, Checksum::Never] {
        let mut frame = Vec::new();
        compress_frame(input, &mut frame, checksum, &mut || true).unwrap();
        let mut out = Vec::new();
        group.bench_function(
            BenchmarkId::new("compress", format!("{checksum:?}")),
            |bench| {
                bench.iter(|| compress_frame(input, &mut out, checksum, &mut || true));
            },
        );
        group.bench_function(
            BenchmarkId::new("decompress", format!("{checksum:?}")),
            |bench| {
                bench.iter(|| decompress_frame(&frame, &mut out, 1 << 30, &mut || true));
            },
        );
    }
    let mut theirs = Vec::new();
    let mut frame = Vec::new();
    compress_frame(input, &mut frame, Checksum::Auto, &mut || true).unwrap();
    group.bench_function("decompress/lz4_flex FrameDecoder", |bench| {
        bench.iter(|| {
            theirs.clear();
            let mut reader = lz4_flex::frame::FrameDecoder::new(&frame[..]);
            std::io::Read::read_to_end(&mut reader, &mut theirs)
        });
    });
    group.finish();
}

type Work<'a> = Box<dyn FnMut() + 'a>;

/// Seconds of each of the functions: the median of rounds in which they take turns.
fn medians(functions: &mut [(&str, Work<'_>)]) -> Vec<f64> {
    let mut times = vec![Vec::new(); functions.len()];
    for _ in 0..ROUNDS {
        for ((_, function), times) in functions.iter_mut().zip(&mut times) {
            let start = Instant::now();
            function();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        })
        .collect()
}

/// Blocks as frames hold them, through both codecs in turns; ratios are over liblz4's speed.
fn against_liblz4(input: &[u8]) {
    let Some(c) = Liblz4::open() else {
        println!("liblz4.so.1 is not installed: no comparison with it");
        return;
    };
    let mut scratch = vec![0; 2 * BLOCK];
    let blocks: Vec<Vec<u8>> = input
        .chunks(BLOCK)
        .map(|chunk| {
            let size = c.compress(chunk, &mut scratch);
            scratch[..size].to_vec()
        })
        .collect();
    let (mut one, mut two, mut three) = (scratch.clone(), scratch.clone(), scratch.clone());
    let encode = medians(&mut [
        (
            "liblz4",
            Box::new(|| {
                for chunk in input.chunks(BLOCK) {
                    black_box(c.compress(chunk, &mut one));
                }
            }),
        ),
        (
            "ours",
            Box::new(|| {
                for chunk in input.chunks(BLOCK) {
                    black_box(lz4_flex::block::compress_into(chunk, &mut two).unwrap());
                }
            }),
        ),
    ]);
    let decode = medians(&mut [
        (
            "liblz4",
            Box::new(|| {
                for block in &blocks {
                    black_box(c.decompress(block, &mut one[..BLOCK]));
                }
            }),
        ),
        (
            "ours",
            Box::new(|| {
                for block in &blocks {
                    black_box(decode_block(block, &mut two[..BLOCK], 0).unwrap());
                }
            }),
        ),
        (
            "lz4_flex",
            Box::new(|| {
                for block in &blocks {
                    black_box(
                        lz4_flex::block::decompress_into(block, &mut three[..BLOCK]).unwrap(),
                    );
                }
            }),
        ),
    ]);
    let speed = |seconds: f64| input.len() as f64 / seconds / 1e6;
    println!("blocks of {} KiB, {} bytes", BLOCK / 1024, input.len());
    println!(
        "compress    liblz4 {:.0} MB/s, ours {:.0} MB/s",
        speed(encode[0]),
        speed(encode[1])
    );
    println!(
        "decompress  liblz4 {:.0} MB/s, ours {:.0} MB/s, lz4_flex {:.0} MB/s",
        speed(decode[0]),
        speed(decode[1]),
        speed(decode[2])
    );
    println!(
        "RATIO block_compress_to_liblz4 {:.2}",
        encode[0] / encode[1]
    );
    println!(
        "RATIO block_decompress_to_liblz4 {:.2}",
        decode[0] / decode[1]
    );
}

/// What storing noise costs beside copying it, into memory that is there.
fn storing() {
    let noise: Vec<u8> = (0u64..2 << 20)
        .flat_map(|n| {
            (n ^ 0x5DEE_CE66)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(23)
                .wrapping_mul(0xD6E8_FEB8_6659_FD93)
                .to_le_bytes()
        })
        .collect();
    let mut copy = vec![0; noise.len()];
    let mut stored = Vec::with_capacity(noise.len() + noise.len() / 4);
    let times = medians(&mut [
        ("copy", Box::new(|| copy.copy_from_slice(black_box(&noise)))),
        (
            "store",
            Box::new(|| {
                compress_frame(
                    black_box(&noise),
                    &mut Kept(&mut stored),
                    Checksum::Auto,
                    &mut || true,
                )
                .unwrap()
            }),
        ),
    ]);
    println!(
        "copy {} bytes of noise {:.2} ms, store {:.2} ms",
        noise.len(),
        times[0] * 1e3,
        times[1] * 1e3
    );
    println!("RATIO store_noise_to_copy {:.3}", times[1] / times[0]);
}

/// A buffer that keeps its memory, so that only the work is measured.
struct Kept<'a>(&'a mut Vec<u8>);

impl foundation_core::compression::Buffer for Kept<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        self.0
    }

    fn resize(&mut self, len: usize) -> bool {
        if self.0.len() < len {
            self.0.resize(len, 0);
        }
        true
    }
}

fn main() {
    let input = input();
    against_liblz4(&input);
    storing();
    let mut criterion = Criterion::default().configure_from_args();
    frames(&mut criterion, &input);
    criterion.final_summary();
}
