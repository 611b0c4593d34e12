//! The code on one block of the standard layout: its repair symbols, and what losses cost a receiver to restore.

use bootstash_multicast::{BlockLayout, fec};
use criterion::{Criterion, Throughput};
use std::error::Error;
use std::hint::black_box;

type Repair = Vec<(u16, Vec<u8>)>;

/// A block, and all its repair symbols by index.
fn block(layout: &BlockLayout) -> Result<(Vec<u8>, Repair), fec::FecError> {
    let padded: Vec<u8> = (0..layout.length()).map(|at| (at * 7 / 3) as u8).collect();
    let repair = fec::encode(layout, 0, &padded)?;
    let symbols = (0..).zip(repair.chunks(layout.symbol_bytes()));
    let symbols = symbols.map(|(index, symbol)| (index, symbol.to_vec())).collect();
    Ok((padded, symbols))
}

fn bench(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let one_block = BlockLayout::standard(1)?.block_bytes();
    let layout = BlockLayout::standard(one_block)?;
    let (padded, repair) = block(&layout)?;
    let mut group = criterion.benchmark_group("fec");
    group.throughput(Throughput::Bytes(one_block));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| fec::encode(&layout, 0, black_box(&padded)));
    });
    for lost in [10, 50, 256] {
        let (mut damaged, repair) = (padded.clone(), &repair[..lost]);
        group.bench_function(format!("decode {lost} lost"), |bencher| {
            bencher
                .iter(|| fec::decode(&layout, 0, &mut damaged, |index| usize::from(index) >= lost, repair));
        });
        assert!(damaged == padded, "it was not restored");
    }
    group.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
