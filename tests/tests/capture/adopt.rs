//! Adopting boot caches: good ones, and all that is none, of another image, or hostile.

use crate::guest::{CLUSTER, held, names, tool};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_delta::catalog::*;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::{ClusterRuns, Layout};
use bootstash_disk::*;
use bootstash_qemu::{Accelerator, InspectCacheError, InspectError, Qemu, Unfit};
use bootstash_registrar::capture::{CaptureError, Captured, VerifyError, adopt, verify};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ends within a cluster.
const SIZE: u64 = 100 * CLUSTER + 3 * 512;
const DATA: [u64; 5] = [0, 7, 8, 60, 100];

/// A base with data in its clusters 0 to 63 and in its last, and a directory to work in.
struct Fixture {
    dir: tempfile::TempDir,
    image: Source,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base.raw");
        let disk = File::create_new(&path).unwrap();
        disk.set_len(SIZE).unwrap();
        for cluster in 0..64 {
            disk.write_all_at(&[u8::try_from(cluster + 1).unwrap(); 4096], cluster * CLUSTER).unwrap();
        }
        disk.write_all_at(&[9; 512], 100 * CLUSTER).unwrap();
        let image = Qemu::find().unwrap().inspect(&path, Some(ImageFormat::Raw)).await.unwrap();
        Self { dir, image }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tool(&self, args: &[&str]) {
        tool("qemu-img", args, self.dir.path());
    }

    /// A registrar's cache of the base: some clusters, and all its zeros.
    fn cache(&self) -> PathBuf {
        let mut zeros = ClusterRuns::default();
        zeros.append(64..100);
        self.cache_with(zeros)
    }

    fn cache_with(&self, zeros: ClusterRuns) -> PathBuf {
        let (base, path) = (File::open(&self.image.path).unwrap(), self.path("given.qcow2"));
        let layout = Layout::new(SIZE, DATA.to_vec(), zeros, &self.image.path, ImageFormat::Raw).unwrap();
        let read = |buffer: &mut [u8], offset: u64| base.read_exact_at(buffer, offset);
        qcow2::write(&layout, read, &mut File::create(&path).unwrap()).unwrap();
        path
    }

    async fn adopt(&self, file: &Path) -> Result<Captured, CaptureError> {
        adopt(&Qemu::find().unwrap(), &self.image, file, &self.path("work")).await
    }

    async fn verify(&self, captured: &Captured) -> Result<(), VerifyError> {
        verify(&Qemu::find().unwrap(), &captured.cache, &self.image).await
    }

    /// The error of a file that is refused: it names the file, and nothing is left.
    async fn refused(&self, file: &Path) -> CaptureError {
        let error = self.adopt(file).await.unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "does not name the file: {error}");
        assert_eq!(error.kind(), ErrorClass::Permanent, "{error}");
        assert!(!self.path("work").exists() || names(&self.path("work")).is_empty(), "scratch was left");
        error
    }

    async fn unfit(&self, file: &Path) -> Unfit {
        match self.refused(file).await {
            CaptureError::Foreign(InspectCacheError::Unfit { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    /// The manifest that a registrar would have written beside this cache.
    fn manifest(&self, cache: CacheFacts) -> Manifest {
        let boot = |new_clusters| BootRecord {
            seconds: 9.5,
            base_bytes: new_clusters * CLUSTER,
            new_clusters,
            signal: BootSignal::LoginPrompt,
            profile: None,
            began_seconds: 0.0,
            retried_after: None,
        };
        Manifest {
            version: Manifest::VERSION,
            name: "there".parse().unwrap(),
            source: self.image.clone(),
            cache,
            boots: vec![boot(5), boot(0)],
            unbooted: Vec::new(),
            confidence: Confidence::High,
            accelerator: "kvm".to_owned(),
            seed: false,
            boots_to_follow: 0,
            registered: "1970-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn put_beside(&self, manifest: &Manifest) {
        std::fs::write(self.path(MANIFEST_FILE), serde_json::to_vec(manifest).unwrap()).unwrap();
    }
}

fn facts(file: &Path) -> CacheFacts {
    let bytes = std::fs::metadata(file).unwrap().len();
    CacheFacts { bytes, cluster_bytes: CLUSTER, data_clusters: DATA.len() as u64, zero_clusters: 36 }
}

#[tokio::test]
async fn a_good_cache_is_taken_as_it_is_and_passes() {
    let fixture = Fixture::new().await;
    let file = fixture.cache();
    let adopted = fixture.adopt(&file).await.unwrap();
    fixture.verify(&adopted).await.unwrap();
    assert!(std::fs::read(&adopted.cache).unwrap() == std::fs::read(&file).unwrap(), "another file");
    assert_eq!(names(&fixture.path("work")), [fixture.path("work").join(CACHE_FILE)]);
    assert_eq!(adopted.facts, facts(&file));
    assert!(adopted.boots.is_empty());
    assert_eq!((adopted.confidence, adopted.accelerator), (Confidence::Low, None));
}

#[tokio::test]
async fn what_lies_beside_a_cache_is_believed_only_where_it_is_of_this_cache() {
    let fixture = Fixture::new().await;
    let file = fixture.cache();
    let manifest = fixture.manifest(facts(&file));
    fixture.put_beside(&manifest);
    let adopted = fixture.adopt(&file).await.unwrap();
    assert_eq!(adopted.boots, manifest.boots);
    assert_eq!((adopted.confidence, adopted.accelerator), (Confidence::High, Some(Accelerator::Kvm)));

    let other_size = CacheFacts { bytes: facts(&file).bytes + CLUSTER, ..facts(&file) };
    let other_content = CacheFacts { data_clusters: 4, ..facts(&file) };
    for other in [other_size, other_content] {
        fixture.put_beside(&fixture.manifest(other));
        assert!(fixture.adopt(&file).await.unwrap().boots.is_empty());
    }
    fixture.put_beside(&Manifest { boots: Vec::new(), ..manifest });
    assert_eq!(fixture.adopt(&file).await.unwrap().confidence, Confidence::Low, "trusted without a boot");
    std::fs::write(fixture.path(MANIFEST_FILE), "{").unwrap();
    assert!(fixture.adopt(&file).await.unwrap().boots.is_empty());
}

#[tokio::test]
async fn what_another_program_wrote_becomes_a_cache_of_ours() {
    let fixture = Fixture::new().await;
    fixture.tool(&["create", "-qf", "qcow2", "copied.qcow2", &SIZE.to_string()]);
    tool("qemu-io", &["-c", "write -P 1 0 4k", "-c", "write -z 4M 64k", "copied.qcow2"], fixture.dir.path());
    let adopted = fixture.adopt(&fixture.path("copied.qcow2")).await.unwrap();
    fixture.verify(&adopted).await.unwrap();
    let (data, zeros) = held(&adopted.cache);
    assert_eq!((data, zeros), ([0].into(), [64].into()));
    assert_eq!((adopted.facts.data_clusters, adopted.facts.zero_clusters), (1, 1));
    let info =
        tool("qemu-img", &["info", "--output=json", adopted.cache.to_str().unwrap()], fixture.dir.path());
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["full-backing-filename"], fixture.image.path.to_str().unwrap());
    assert_eq!(info["backing-filename-format"], "raw");
}

#[tokio::test]
async fn a_cache_of_another_base_is_adopted_and_does_not_pass() {
    let fixture = Fixture::new().await;
    let file = fixture.cache();
    File::options()
        .write(true)
        .open(&fixture.image.path)
        .unwrap()
        .write_all_at(b"other", 60 * CLUSTER)
        .unwrap();
    let image = Qemu::find().unwrap().inspect(&fixture.image.path, Some(ImageFormat::Raw)).await.unwrap();
    let other = Fixture { image, ..fixture };
    let error = other.verify(&other.adopt(&file).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, VerifyError::Compare(_)), "{error}");
}

#[tokio::test]
async fn a_zero_where_the_base_has_data_does_not_pass() {
    let fixture = Fixture::new().await;
    for wrong in [5, 63] {
        let mut zeros = ClusterRuns::default();
        zeros.append(wrong..wrong + 1);
        zeros.append(64..100);
        let adopted = fixture.adopt(&fixture.cache_with(zeros)).await.unwrap();
        let error = fixture.verify(&adopted).await.unwrap_err();
        assert!(matches!(error, VerifyError::Compare(_)), "{error}");
    }
}

#[tokio::test]
async fn a_cache_chained_elsewhere_is_refused_until_it_is_told_of_this_base() {
    let fixture = Fixture::new().await;
    let file = fixture.cache();
    let base = fixture.image.path.to_str().unwrap();
    std::fs::copy(base, fixture.path("same.raw")).unwrap();
    for elsewhere in ["same.raw", "/etc/passwd", "json:{\"driver\":\"null-co\"}", "base.raw"] {
        fixture.tool(&["rebase", "-u", "-F", "raw", "-b", elsewhere, "given.qcow2"]);
        let why = fixture.unfit(&file).await;
        assert!(matches!(&why, Unfit::Backing { named, .. } if *named == Path::new(elsewhere)), "{why}");
        assert!(why.to_string().contains(&format!("qemu-img rebase -u -F raw -b {base} COPY")), "{why}");
    }
    // Were the base opened as the header says, it would not be found to be qcow2.
    fixture.tool(&["rebase", "-u", "-F", "qcow2", "-b", base, "given.qcow2"]);
    fixture.verify(&fixture.adopt(&file).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_cache_of_another_form_is_refused() {
    let fixture = Fixture::new().await;
    let other = (SIZE + 512).to_string();
    let size = SIZE.to_string();
    fixture.tool(&["create", "-qf", "qcow2", "larger", &other]);
    fixture.tool(&["create", "-qf", "qcow2", "-o", "cluster_size=4k", "fine", &size]);
    fixture.tool(&["create", "-qf", "qcow2", "-o", "data_file=d.raw", "data", &size]);
    fixture.tool(&["create", "-qf", "qcow2", "-o", "extended_l2=on", "parts", &size]);
    fixture.tool(&["create", "-qf", "qcow2", "empty", &size]);
    fixture.tool(&["convert", "-c", "-O", "qcow2", "base.raw", "packed"]);
    let larger = Unfit::DiskSize { cache: SIZE + 512, base: SIZE };
    let cases = [
        ("larger", larger),
        ("fine", Unfit::ClusterSize(4096)),
        ("data", Unfit::DataFile),
        ("parts", Unfit::Features),
        ("empty", Unfit::Empty),
        ("packed", Unfit::Compressed),
        ("base.raw", Unfit::NotQcow2),
        ("", Unfit::NotAFile),
    ];
    for (name, wanted) in cases {
        assert_eq!(fixture.unfit(&fixture.path(name)).await, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_header_that_says_more_than_ours_is_refused() {
    let fixture = Fixture::new().await;
    for (byte, value, wanted) in
        [(35, 2, Unfit::Encrypted), (79, 2, Unfit::Features), (72, 1, Unfit::Features)]
    {
        let file = fixture.cache();
        File::options().write(true).open(&file).unwrap().write_all_at(&[value], byte).unwrap();
        assert_eq!(fixture.unfit(&file).await, wanted);
    }
}

#[tokio::test]
async fn a_missing_a_cut_and_a_broken_cache_are_refused() {
    let fixture = Fixture::new().await;
    let missing = fixture.refused(&fixture.path("missing")).await;
    assert!(matches!(missing, CaptureError::Foreign(InspectCacheError::Read { .. })), "{missing:?}");
    let bytes = std::fs::metadata(fixture.cache()).unwrap().len();
    for cut in [2 * CLUSTER, bytes - 2 * CLUSTER] {
        let file = fixture.cache();
        File::options().write(true).open(&file).unwrap().set_len(cut).unwrap();
        let error = fixture.refused(&file).await;
        assert!(
            matches!(
                error,
                CaptureError::Foreign(InspectCacheError::Damaged(
                    InspectError::Truncated { .. } | InspectError::Corrupt { .. }
                ))
            ),
            "{cut}: {error:?}"
        );
    }
    let file = fixture.cache();
    File::options().write(true).open(&file).unwrap().write_all_at(&[0, 0], 2 * CLUSTER).unwrap();
    fixture.refused(&file).await;
}

#[tokio::test]
async fn a_pipe_is_not_waited_for() {
    let fixture = Fixture::new().await;
    let pipe = fixture.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(fixture.unfit(&pipe).await, Unfit::NotAFile);
    let file = fixture.cache();
    std::fs::rename(&pipe, fixture.path(MANIFEST_FILE)).unwrap();
    assert!(fixture.adopt(&file).await.unwrap().boots.is_empty());
}

#[tokio::test]
async fn an_adoption_that_is_given_up_leaves_nothing() {
    let fixture = Fixture::new().await;
    let file = fixture.cache();
    let work = fixture.path("work");
    for millis in [0, 5, 10, 20, 30, 40, 60] {
        let cut_off = tokio::time::timeout(Duration::from_millis(millis), fixture.adopt(&file)).await;
        if cut_off.is_ok() {
            std::fs::remove_file(work.join(CACHE_FILE)).unwrap();
        }
        let gone = async {
            while work.exists() && !names(&work).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("scratch was left");
    }
}
