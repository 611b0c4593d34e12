//! A file system that shows a directory's files with their true size, time and inode, lets them be opened,
//! and answers every read with an I/O error, which it counts.
//!
//! Mounted over the shared images of a node, it proves that a VM booted without its base. It runs as
//! a process in that node (see [`super::refusing`]).

use anyhow::{Context, Result};
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request, Session,
    SessionACL,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

const NO_CACHING: Duration = Duration::ZERO;

/// How many reads are described one by one.
const DESCRIBED_READS: usize = 32;

/// A read that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRead {
    /// Name of the file that was read.
    pub file: String,
    /// Where it was to begin.
    pub offset: u64,
    /// How much was asked for.
    pub bytes: u32,
}

/// What was asked for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadCounts {
    /// Reads, all refused.
    pub reads: u64,
    /// Bytes they asked for.
    pub bytes: u64,
    /// The first reads, for whoever must find out what was missing.
    pub first: Vec<RefusedRead>,
}

/// The file system over one flat directory.
#[derive(Debug)]
struct RefusingFs {
    /// The directory itself, below whatever is mounted over its path.
    directory: File,
    /// In order of name, each with the number it has there: another one would say that it is a copy.
    files: Vec<(OsString, INodeNo)>,
    counts: Mutex<ReadCounts>,
    counts_file: PathBuf,
}

/// Mounts over `directory` and serves until it is killed. The file `counts_file` holds
/// [`ReadCounts`] as JSON from the moment the mount stands.
///
/// # Errors
/// When the directory cannot be listed or mounted over.
pub fn serve(directory: &Path, counts_file: &Path) -> Result<()> {
    let fs = RefusingFs::over(directory, counts_file)?;
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("refusing".to_owned())];
    config.acl = SessionACL::All;
    write_counts(&fs.counts_file, &ReadCounts::default())?;
    let session = Session::new(fs, directory, &config)
        .with_context(|| format!("mounting over {}", directory.display()))?;
    Ok(session.run()?)
}

impl RefusingFs {
    fn over(path: &Path, counts_file: &Path) -> Result<Self> {
        let directory = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push((entry.file_name(), INodeNo(entry.ino())));
            }
        }
        files.sort();
        Ok(Self { directory, files, counts: Mutex::default(), counts_file: counts_file.to_owned() })
    }

    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let directory = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        if number == INodeNo::ROOT {
            return Some(attributes(number, FileType::Directory, &fs::metadata(directory).ok()?));
        }
        let metadata = fs::metadata(Path::new(&directory).join(self.name(number)?)).ok()?;
        Some(attributes(number, FileType::RegularFile, &metadata))
    }

    fn name(&self, number: INodeNo) -> Option<&OsString> {
        self.files.iter().find(|(_, file)| *file == number).map(|(name, _)| name)
    }

    fn refuse(&self, number: INodeNo, offset: u64, bytes: u32) {
        let mut counts = self.counts.lock();
        counts.reads += 1;
        counts.bytes += u64::from(bytes);
        if counts.first.len() < DESCRIBED_READS {
            let file = self.name(number).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            counts.first.push(RefusedRead { file, offset, bytes });
        }
        if let Err(error) = write_counts(&self.counts_file, &counts) {
            eprintln!("cannot count a read: {error}");
        }
    }
}

impl Filesystem for RefusingFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let file = self.files.iter().find(|(known, _)| known == name).filter(|_| parent == INodeNo::ROOT);
        match file.and_then(|(_, number)| self.attributes(*number)) {
            Some(attributes) => reply.entry(&NO_CACHING, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number) {
            Some(attributes) => reply.attr(&NO_CACHING, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _req: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Without the page cache, so that what is counted is what was asked for.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _req: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        bytes: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.refuse(number, offset, bytes);
        reply.error(Errno::EIO);
    }

    fn readdir(
        &self,
        _req: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let files = (1..).zip(&self.files).skip(usize::try_from(offset).unwrap_or(usize::MAX));
        for (next, (name, number)) in files {
            if reply.add(*number, next, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }
}

fn attributes(number: INodeNo, kind: FileType, metadata: &Metadata) -> FileAttr {
    let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
    let changed = UNIX_EPOCH + Duration::new(changed, u32::try_from(metadata.ctime_nsec()).unwrap_or(0));
    FileAttr {
        ino: number,
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: metadata.accessed().unwrap_or(UNIX_EPOCH),
        mtime: metadata.modified().unwrap_or(UNIX_EPOCH),
        ctime: changed,
        crtime: changed,
        kind,
        perm: if kind == FileType::Directory { 0o555 } else { 0o444 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// As a whole at once: a reader never sees half of it.
fn write_counts(file: &Path, counts: &ReadCounts) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(counts)?)?;
    Ok(fs::rename(new, file)?)
}
