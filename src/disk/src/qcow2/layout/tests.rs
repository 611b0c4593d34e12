//! Layouts of random sets of clusters, read back by another reader.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Reads metadata as the format's document says, knowing nothing of `Layout`.
struct Reader(Vec<u8>);

impl Reader {
    fn of(layout: &Layout) -> Self {
        Self(layout.metadata().flatten().collect())
    }

    fn be(&self, at: u64, bytes: usize) -> u64 {
        let at = usize::try_from(at).unwrap();
        self.0[at..at + bytes].iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
    }

    fn entry(&self, cluster: u64) -> u64 {
        assert!(cluster / 8192 < self.be(36, 4), "the first level is too short");
        let table = self.be(self.be(40, 8) + cluster / 8192 * 8, 8) & !(1 << 63);
        if table == 0 { 0 } else { self.be(table + cluster % 8192 * 8, 8) }
    }

    fn refcount(&self, cluster: u64) -> u64 {
        let block = self.be(self.be(48, 8) + cluster / 32768 * 8, 8);
        if block == 0 { 0 } else { self.be(block + cluster % 32768 * 2, 2) }
    }
}

fn layout(size: u64, data: &[u64], zeros: &BTreeSet<u64>) -> Layout {
    let mut runs = ClusterRuns::default();
    for &cluster in zeros {
        runs.append(cluster..cluster + 1);
    }
    Layout::new(size, data.to_vec(), runs, Path::new("/srv/base.raw"), ImageFormat::Raw).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_cluster_is_found_where_it_lies(
        (clusters, tail, data, zeros) in (1_u64..40_000).prop_flat_map(|clusters| (
            Just(clusters),
            1_u64..=128,
            prop::collection::vec(0..clusters, 0..200),
            prop::collection::btree_set(0..clusters, 0..200),
        ))
    ) {
        let size = (clusters - 1) * CLUSTER_BYTES + tail * 512;
        let layout = layout(size, &data, &zeros);
        let file = Reader::of(&layout);
        let metadata = file.0.len() as u64;
        prop_assert_eq!(layout.file_bytes(), metadata + layout.data().len() as u64 * CLUSTER_BYTES);
        prop_assert_eq!(file.be(24, 8), size);

        let stored: BTreeSet<u64> = data.iter().copied().filter(|cluster| !zeros.contains(cluster)).collect();
        prop_assert!(stored.iter().eq(layout.data()));
        let mut next = metadata;
        for cluster in 0..clusters {
            let entry = file.entry(cluster);
            if stored.contains(&cluster) {
                prop_assert_eq!(entry, next | 1 << 63);
                next += CLUSTER_BYTES;
            } else {
                prop_assert_eq!(entry, u64::from(zeros.contains(&cluster)));
            }
        }
        for cluster in 0..layout.file_bytes() / CLUSTER_BYTES + 10 {
            prop_assert_eq!(file.refcount(cluster), u64::from(cluster < layout.file_bytes() / CLUSTER_BYTES));
        }
    }
}

#[test]
fn header_names_the_base_and_its_format() {
    let file = Reader::of(&layout(1 << 20, &[3], &BTreeSet::new()));
    let (at, length) = (usize::try_from(file.be(8, 8)).unwrap(), usize::try_from(file.be(16, 4)).unwrap());
    assert_eq!(&file.0[at..at + length], b"/srv/base.raw");
    assert_eq!((file.be(104, 4), file.be(108, 4), &file.0[112..115]), (0xe279_2aca, 3, &b"raw"[..]));
}

#[test]
fn order_of_reads_does_not_change_the_file() {
    let bytes = |data: &[u64]| Reader::of(&layout(1 << 30, data, &BTreeSet::from([7]))).0;
    assert_eq!(bytes(&[1, 2, 3, 7, 2]), bytes(&[3, 7, 1, 2]));
}

#[test]
fn more_clusters_come_last_and_move_nothing() {
    let before = layout(1 << 30, &[3, 9, 8000], &BTreeSet::from([7, 9000]));
    let after = before.clone().extended(vec![8500, 9, 4, 7, 1]).unwrap();
    assert_eq!(after.data(), [3, 9, 8000, 1, 4, 8500]);
    let (old, new) = (Reader::of(&before), Reader::of(&after));
    assert_eq!(old.0.len(), new.0.len());
    for cluster in 0..16384 {
        let at = |cluster: &u64| (new.0.len() as u64 + *cluster * CLUSTER_BYTES) | (1 << 63);
        let added = [1, 4, 8500].iter().position(|&more| more == cluster);
        let wanted = added.map_or_else(|| old.entry(cluster), |nth| at(&(3 + nth as u64)));
        assert_eq!(new.entry(cluster), wanted, "cluster {cluster}");
    }
    assert_eq!(
        (new.refcount(before.file_bytes() / CLUSTER_BYTES), after.file_bytes()),
        (1, before.file_bytes() + 3 * CLUSTER_BYTES)
    );
}

#[test]
fn more_clusters_that_need_a_table_of_their_own_are_laid_out_anew() {
    let before = layout(1 << 40, &[3, 9], &BTreeSet::new());
    let after = before.extended(vec![50_000, 1]).unwrap();
    assert_eq!(after, layout(1 << 40, &[1, 3, 9, 50_000], &BTreeSet::new()));
}

#[test]
fn large_disks_need_more_than_one_cluster_of_each_table() {
    let far = (64_u64 << 40) / CLUSTER_BYTES - 1;
    let data: Vec<u64> = (0..40_000).chain([far]).collect();
    let layout = layout(64 << 40, &data, &BTreeSet::new());
    let file = Reader::of(&layout);
    assert_eq!(file.entry(far) & !(1 << 63), layout.file_bytes() - CLUSTER_BYTES);
    assert_eq!(file.refcount(40_000), 1);
}

#[test]
fn clusters_past_the_end_and_relative_bases_are_refused() {
    let make = |data: Vec<u64>, backing: &str| {
        Layout::new(1 << 20, data, ClusterRuns::default(), Path::new(backing), ImageFormat::Raw)
    };
    assert!(matches!(make(vec![16], "/a"), Err(LayoutError::PastEnd { cluster: 16, .. })));
    assert!(matches!(make(vec![15], "a"), Err(LayoutError::BackingPath { .. })));
    assert!(matches!(
        make(vec![15], &format!("/{}", "a".repeat(1023))),
        Err(LayoutError::BackingPath { .. })
    ));
    assert!(make(vec![15], "/a").is_ok());
}
