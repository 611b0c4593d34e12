//! What the boots of an image have found so far. Pure, but for reading a cache that nodes have already.

use super::boot::Booted;
use super::error::CaptureError;
use super::on_disk;
use super::scan::Scanned;
use bootstash_delta::catalog::{BootRecord, Manifest, Unbooted};
use bootstash_disk::ContentDigest;
use bootstash_disk::qcow2::{AllocationMap, CLUSTER_BYTES, CacheFile, ClusterRuns};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A cache that nodes have already, though more boots of its image are to follow.
#[derive(Clone, Debug)]
pub struct PublishedCache {
    /// The file.
    pub file: PathBuf,
    /// What lies beside it.
    pub manifest: Box<Manifest>,
}

/// What is known of an image.
pub(super) struct Findings {
    /// The clusters of the cache that nodes have, which keep their places; none where they have none.
    pub(super) published: Vec<u64>,
    /// All clusters that belong into the cache.
    pub(super) clusters: BTreeSet<u64>,
    pub(super) zeros: ClusterRuns,
    pub(super) content: Option<ContentDigest>,
    /// The boots, in order.
    pub(super) boots: Vec<BootRecord>,
    /// The profiles it did not come up on.
    pub(super) unbooted: Vec<Unbooted>,
}

impl Findings {
    /// Before the first boot.
    pub(super) fn scanned(Scanned { zeros, content }: Scanned) -> Self {
        Self {
            published: Vec::new(),
            clusters: BTreeSet::new(),
            zeros,
            content: Some(content),
            boots: Vec::new(),
            unbooted: Vec::new(),
        }
    }

    /// Before the boots that follow on those of a published cache.
    pub(super) async fn of_published(cache: &PublishedCache) -> Result<Self, CaptureError> {
        let (file, manifest) = (cache.file.clone(), &cache.manifest);
        let read = on_disk(move || CacheFile::open(&file)?.allocation_map(|| Ok(()))).await;
        let AllocationMap { data, zeros, .. } =
            read.map_err(|source| CaptureError::Scan { path: cache.file.clone(), source })?;
        Ok(Self {
            clusters: data.iter().copied().collect(),
            published: data,
            zeros,
            content: manifest.source.identity.content.clone(),
            boots: manifest.boots.clone(),
            unbooted: manifest.unbooted.clone(),
        })
    }

    /// Takes in what one more boot has read.
    pub(super) fn add(&mut self, booted: Booted) {
        let before = self.clusters.len();
        self.clusters.extend(&booted.clusters);
        self.boots.push(BootRecord {
            seconds: booted.took.as_secs_f64(),
            base_bytes: booted.clusters.len() as u64 * CLUSTER_BYTES,
            new_clusters: (self.clusters.len() - before) as u64,
            signal: booted.signal,
            profile: Some(booted.profile.to_string()),
            began_seconds: booted.began.as_secs_f64(),
            retried_after: booted.retried_after,
        });
    }

    /// How many boots were made, those of guests that did not come up among them.
    pub(super) fn boots_made(&self) -> u32 {
        u32::try_from(self.boots.len() + self.unbooted.len()).unwrap_or(u32::MAX)
    }

    /// Whether one of the last round read nothing that no other had read.
    pub(super) fn nothing_new(&self) -> bool {
        self.boots.last().is_some_and(|boot| boot.new_clusters == 0)
    }
}
