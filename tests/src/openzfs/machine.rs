//! How a guest is started: QEMU's command line.

use super::serial_protocol::{PORT_NAME, PORTS};
use crate::lab::run::Call;
use anyhow::{Result, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What guests boot from.
#[derive(Clone, Debug)]
pub struct MadeGuest {
    dir: PathBuf,
    init: PathBuf,
}

/// A point-to-point network link between two guests: a socket file, and nothing of the host's network.
#[derive(Clone, Debug)]
pub enum Cable {
    /// The end that is plugged in first.
    First(PathBuf),
    /// The end of one whose first end is plugged in.
    Second(PathBuf),
}

/// What a guest shall be.
#[derive(Clone, Debug)]
pub struct GuestOptions {
    /// Its host name.
    pub name: String,
    /// Its folder: console, sockets, disk, and `share`, which it sees as `/share` and may write to.
    pub dir: PathBuf,
    /// Its memory. Half of it and a bit is room for files.
    pub memory_mib: u32,
    /// Size of an empty disk, `/dev/vda`.
    pub disk_bytes: u64,
    /// Its network cards, each with its address and the length of its network's prefix.
    pub cables: Vec<(Cable, String)>,
}

impl MadeGuest {
    /// What `make openzfs` left in the cache; `init` is the program that becomes a guest's first.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn find(init: &Path) -> Result<Self> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache =
            cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
        let dir = cache.join("bootstash/openzfs/guest");
        ensure!(dir.join("vmlinux").exists(), "there is no guest with OpenZFS: run `make openzfs`");
        // The kernel's command line knows no quoting.
        let init = init.canonicalize()?;
        ensure!(!init.display().to_string().contains(' '), "{} has a space in it", init.display());
        let hidden = ["/run", "/dev", "/proc", "/sys"].iter().any(|dir| init.starts_with(dir));
        ensure!(!hidden, "{} cannot be seen in a guest; build somewhere else", init.display());
        Ok(Self { dir, init })
    }

    /// QEMU for a guest; it ends with the thread that starts it.
    pub(super) fn call(&self, options: &GuestOptions) -> Result<Call> {
        File::create(options.dir.join("disk"))?.set_len(options.disk_bytes)?;
        Ok(Call::new("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-m".to_owned(), options.memory_mib.to_string()])
            .args(["-serial".to_owned(), format!("file:{}", options.dir.join("console").display())])
            .args(["-kernel".into(), self.dir.join("vmlinux")])
            .args(["-initrd".into(), self.dir.join("ramdisk")])
            .args(["-append".to_owned(), self.kernel_words(options)])
            .args(self.devices(options)))
    }

    fn kernel_words(&self, options: &GuestOptions) -> String {
        let addresses: Vec<_> = options.cables.iter().map(|(_, address)| address.as_str()).collect();
        format!(
            "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check \
             guest.name={} guest.init={} guest.addresses={}",
            options.name,
            self.init.display(),
            addresses.join(",")
        )
    }

    fn devices(&self, options: &GuestOptions) -> Vec<String> {
        let mut words = vec!["-device".to_owned(), "virtio-rng-pci".to_owned()];
        words.extend(files("host", Path::new("/"), true));
        words.extend(files("layer", &self.dir.join("layer"), true));
        words.extend(files("share", &options.dir.join("share"), false));
        let disk = options.dir.join("disk");
        words.extend([
            "-blockdev".to_owned(),
            format!("driver=file,filename={},node-name=disk,cache.no-flush=on,discard=unmap", disk.display()),
            "-device".to_owned(),
            "virtio-blk-pci,drive=disk".to_owned(),
        ]);
        words.extend(["-device".to_owned(), "virtio-serial-pci".to_owned()]);
        words.extend((0..PORTS).flat_map(|port| serial(port, &port_socket(&options.dir, port))));
        words.extend(options.cables.iter().enumerate().flat_map(|(card, (cable, _))| network(card, cable)));
        words
    }
}

/// Where the host meets a port of the guest.
pub(super) fn port_socket(dir: &Path, port: usize) -> PathBuf {
    dir.join(format!("port{port}"))
}

fn files(tag: &str, path: &Path, read_only: bool) -> [String; 4] {
    let switch = if read_only { "on" } else { "off" };
    [
        "-fsdev".to_owned(),
        format!(
            "local,id={tag},path={},security_model=none,readonly={switch},multidevs=remap",
            path.display()
        ),
        "-device".to_owned(),
        format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]
}

fn serial(port: usize, socket: &Path) -> [String; 4] {
    [
        "-chardev".to_owned(),
        format!("socket,id=port{port},path={},server=on,wait=off", socket.display()),
        "-device".to_owned(),
        format!("virtserialport,chardev=port{port},name={PORT_NAME}{port}"),
    ]
}

fn network(card: usize, cable: &Cable) -> [String; 4] {
    let (server, socket) = match cable {
        Cable::First(socket) => ("on", socket),
        Cable::Second(socket) => ("off", socket),
    };
    // Both ends number their cards from 0: what differs must come from the end.
    let end = if server == "on" { "a0" } else { "b0" };
    let (low, high) = (card, std::process::id() % 251);
    [
        "-netdev".to_owned(),
        format!("stream,id=net{card},server={server},addr.type=unix,addr.path={}", socket.display()),
        "-device".to_owned(),
        format!("virtio-net-pci,netdev=net{card},mac=52:54:00:{high:02x}:{end}:{low:02x}"),
    ]
}
