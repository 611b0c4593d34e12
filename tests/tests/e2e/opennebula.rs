//! OpenNebula's transfer driver of packaging/opennebula, with the real agent. OpenNebula itself is stood for by what lies
//! in tests/ground/opennebula: two commands, its functions for drivers, and two scripts of its driver `local`.

use crate::setting::{Setting, assert_says};
use bootstash_disk::qcow2::read_backing;
use bootstash_tests::guest::TinyGuest;
use bootstash_tests::lab::run::Call;
use bootstash_tests::lab::{Host, Program, programs};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// Of the lab, seen under one path everywhere; what OpenNebula has in /var/lib/one/datastores.
const DATASTORES: &str = "/srv/images";
const VM: &str = "7";
const IMAGES: &str = "1";
/// Of libvirt's QEMU in Debian.
const OWNER: u32 = 64055;
/// OpenNebula's own user, and the group of the agent's socket: `daemon`, which every Debian has.
const ONEADMIN: u32 = 9869;
const SOCKET_GROUP: u32 = 1;

/// A front-end with OpenNebula on the node itself, and the driver installed there.
struct FrontEnd<'a> {
    node: &'a Host,
    location: PathBuf,
    user: u32,
}

impl<'a> FrontEnd<'a> {
    fn on(node: &'a Host) -> Self {
        let location = node.dir().join("one");
        let drivers = location.join("var/remotes/tm");
        fs::create_dir_all(location.join("var/remotes/datastore")).unwrap();
        fs::create_dir_all(location.join("bin")).unwrap();
        fs::create_dir(&drivers).unwrap();
        for (stub, place) in [
            ("tm_common.sh", "var/remotes/tm/tm_common.sh"),
            ("local", "var/remotes/tm/local"),
            ("xpath.rb", "var/remotes/datastore/xpath.rb"),
            ("show", "bin/onevm"),
            ("show", "bin/onedatastore"),
            ("ssh", "bin/ssh"),
        ] {
            symlink(repository().join("tests/ground/opennebula").join(stub), location.join(place)).unwrap();
        }
        let front_end = Self { node, location, user: 0 };
        front_end.describe_datastore("");
        for _again in 0..2 {
            front_end.call(&repository().join("packaging/opennebula/install.sh"), &[]).output().unwrap();
        }
        front_end
    }

    /// What `onedatastore show` says of the datastore of images.
    fn describe_datastore(&self, attributes: &str) {
        let xml = format!("<DATASTORE><ID>{IMAGES}</ID><TEMPLATE>{attributes}</TEMPLATE></DATASTORE>");
        fs::write(self.location.join(format!("onedatastore-{IMAGES}.xml")), xml).unwrap();
    }

    /// What `onevm show` says of the VM's disks: the second is another's.
    fn describe_vm(&self, attributes: &str) {
        let disks = format!(
            "<DISK><DISK_ID>0</DISK_ID>{attributes}</DISK><DISK><DISK_ID>1</DISK_ID><FORMAT>raw</FORMAT></DISK>"
        );
        let xml = format!("<VM><ID>{VM}</ID><TEMPLATE>{disks}</TEMPLATE></VM>");
        fs::write(self.location.join(format!("onevm-{VM}.xml")), xml).unwrap();
    }

    fn call(&self, program: &Path, args: &[String]) -> Call {
        let ours = programs::path("bootstash").parent().unwrap().display().to_string();
        let path = format!("{ours}:{}:/usr/bin:/bin", self.location.join("bin").display());
        let user = ["--reuid", "--regid"].map(|option| format!("{option}={}", self.user));
        let call = self.node.command("setpriv", user).args([format!("--groups={SOCKET_GROUP}")]);
        let call = call.args([program]).args(args).env("PATH", path);
        call.env("ONE_LOCATION", &self.location).env("SSH", self.location.join("bin/ssh"))
    }

    fn driver(&self, script: &str) -> PathBuf {
        self.location.join("var/remotes/tm/bootstash").join(script)
    }

    /// Has the disk of the VM made, as oned does; says what stands in its log.
    fn clone_disk(&self, image: &str) -> String {
        let source = format!("front-end:{DATASTORES}/{IMAGES}/{image}");
        let args = [source, format!("node1:{}", disk().display()), VM.to_owned(), IMAGES.to_owned()];
        let done = self.call(&self.driver("clone"), &args).finish().unwrap();
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stderr
    }

    fn delete_disk(&self) {
        let args = [format!("node1:{}", disk().parent().unwrap().display()), VM.to_owned(), "0".to_owned()];
        self.call(&self.driver("delete"), &args).output().unwrap();
        assert!(!self.outside().exists());
    }

    /// Calls the libvirt hook for the VM, as OpenNebula describes it to libvirt; returns what it said.
    fn hook(&self, operation: &str, sub_operation: &str) -> String {
        let xml = format!(
            "<domain type='kvm'><name>one-{VM}</name><devices><disk type='file' device='disk'>\
             <source file='{}'/><target dev='vda'/><driver name='qemu' type='qcow2'/></disk></devices></domain>",
            disk().display()
        );
        let file = self.location.join("deployment.0");
        fs::write(&file, xml).unwrap();
        let script = "exec bootstash hook libvirt one-7 \"$1\" \"$2\" - <\"$3\"";
        let args =
            ["-c", script, "hook", operation, sub_operation, file.to_str().unwrap()].map(str::to_owned);
        let done = self.call(Path::new("sh"), &args).finish().unwrap();
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stderr
    }

    /// The disk's file, from outside the lab.
    fn outside(&self) -> PathBuf {
        self.node.outside(disk().with_extension("0.snap").join("0"))
    }

    /// What the disk is chained onto.
    fn backing(&self) -> PathBuf {
        // Resolved where it was made: all that lies above it is a link.
        let link = fs::read_link(self.node.outside(disk())).unwrap();
        assert_eq!(link, Path::new("disk.0.snap/0"));
        read_backing(&self.outside()).unwrap().unwrap().backing
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn disk() -> PathBuf {
    Path::new(DATASTORES).join("0").join(VM).join("disk.0")
}

fn image(name: &str) -> PathBuf {
    Path::new(DATASTORES).join(IMAGES).join(name)
}

/// A lab where one image of OpenNebula's is registered, and another is not.
fn setting() -> Setting {
    let setting = Setting::without_daemons(1, |plan| plan.agent("socket_group = \"daemon\"").unwrap());
    setting.lab.start_daemons().unwrap();
    fs::create_dir(setting.file(IMAGES)).unwrap();
    for (name, seed) in [("registered", 1), ("other", 2)] {
        TinyGuest::booting(seed).write(&setting.file(IMAGES).join(name)).unwrap();
    }
    let register = ["register", "tiny", "/srv/images/1/registered"];
    setting.lab.storage().bootstash(register).unwrap().success().unwrap();
    setting.lab.wait_in_step().unwrap();
    setting
}

#[test]
fn opennebula_has_disks_on_boot_caches_and_on_images_where_there_are_none() {
    let setting = setting();
    let node = setting.lab.host("node1");
    let one = FrontEnd::on(node);
    one.describe_vm("<FORMAT>qcow2</FORMAT><SIZE>3</SIZE><ORIGINAL_SIZE>3</ORIGINAL_SIZE>");
    // As `onevm recover --retry` does.
    for _again in 0..2 {
        assert_says(&one.clone_disk("registered"), &["created", "for tiny"]);
    }
    let overlays = node.overlays().unwrap();
    assert_eq!((overlays.len(), &overlays[0].cache), (1, &one.backing()));
    let chain = node.command("qemu-img", ["info", "--backing-chain"]).args([disk()]).output().unwrap();
    assert_says(&chain, &["cache.qcow2", "/srv/images/1/registered"]);
    one.delete_disk();

    assert_says(&one.clone_disk("other"), &["onto the image and not", "other is the file of no image"]);
    assert_eq!(one.backing(), image("other"));
    one.delete_disk();

    node.stop(Program::Agent).unwrap();
    assert_says(&one.clone_disk("registered"), &["onto the image and not", "no agent on this host"]);
    assert_eq!(one.backing(), image("registered"));
    node.command("qemu-img", ["check", "-q"]).args([disk()]).output().unwrap();
    node.start(Program::Agent).unwrap();
    setting.lab.wait_in_step().unwrap();
    assert_says(&one.hook("prepare", "begin"), &["starts from the boot cache of tiny"]);
    assert!(one.backing().ends_with("images/tiny/cache.qcow2"));
    assert_says(&one.hook("release", "end"), &["registered again"]);
    setting.lab.finish().unwrap();
}

#[test]
fn opennebulas_own_user_needs_no_more_than_to_be_in_the_agents_group() {
    let setting = setting();
    let node = setting.lab.host("node1");
    fs::create_dir(setting.file("0")).unwrap();
    chown(setting.file("0"), Some(ONEADMIN), Some(ONEADMIN)).unwrap();
    let one = FrontEnd { user: ONEADMIN, ..FrontEnd::on(node) };
    for above in one.location.ancestors().skip(1).filter(|above| above.starts_with(node.dir())) {
        fs::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
    }
    one.describe_vm("<FORMAT>qcow2</FORMAT><SIZE>3</SIZE><ORIGINAL_SIZE>3</ORIGINAL_SIZE>");
    assert_says(&one.clone_disk("registered"), &["created", "for tiny"]);
    assert_eq!(fs::metadata(one.outside()).unwrap().uid(), ONEADMIN);
    one.delete_disk();
    setting.lab.finish().unwrap();
}

#[test]
fn opennebulas_sizes_and_owners_are_those_of_the_disk_and_the_rest_is_its_own_drivers() {
    let setting = setting();
    let node = setting.lab.host("node1");
    let one = FrontEnd::on(node);
    one.describe_datastore(&format!("<BOOTSTASH_OWNER>{OWNER}:{OWNER}</BOOTSTASH_OWNER>"));
    one.describe_vm("<FORMAT>qcow2</FORMAT><SIZE>64</SIZE><ORIGINAL_SIZE>3</ORIGINAL_SIZE>");
    for image in ["registered", "other"] {
        one.clone_disk(image);
        let size = read_backing(&one.outside()).unwrap().unwrap().virtual_size_bytes;
        assert_eq!(size, 64 << 20, "{image}");
        let owner = fs::metadata(one.outside()).unwrap().uid();
        // Of the second nobody was asked who could give it away.
        assert_eq!(owner, if image == "registered" { OWNER } else { 0 });
        one.delete_disk();
    }

    let copied = [
        ("registered", "<FORMAT>raw</FORMAT><SIZE>3</SIZE>", "is of format raw; local clones it"),
        (
            "registered",
            "<FORMAT>qcow2</FORMAT><SIZE>3</SIZE><QCOW2_STANDALONE>YES</QCOW2_STANDALONE>",
            "stand alone; local clones it",
        ),
        ("snapshots", "<FORMAT>qcow2</FORMAT><SIZE>3</SIZE>", "it has snapshots; local clones it"),
    ];
    fs::copy(setting.file(IMAGES).join("other"), setting.file(IMAGES).join("snapshots")).unwrap();
    fs::create_dir(setting.file(IMAGES).join("snapshots.snap")).unwrap();
    for (name, disk_of_vm, says) in copied {
        one.describe_vm(disk_of_vm);
        assert_says(&one.clone_disk(name), &[says]);
        let made = fs::read(node.outside(disk())).unwrap();
        assert!(made == fs::read(setting.file(IMAGES).join(name)).unwrap(), "{name}");
        one.delete_disk();
    }
    setting.lab.finish().unwrap();
}

#[test]
fn the_driver_of_opennebula_is_its_own_but_for_clone() {
    let setting = Setting::without_daemons(1, |plan| plan);
    let one = FrontEnd::on(setting.lab.host("node1"));
    let entries = fs::read_dir(one.driver("")).unwrap().map(|entry| entry.unwrap());
    let mut links: Vec<_> = entries
        .filter(|entry| entry.file_type().unwrap().is_symlink())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_link(entry.path()).unwrap()))
        .collect();
    links.sort();
    let linked = |name: &str, to: &str| (name.to_owned(), PathBuf::from(to));
    assert_eq!(links, [linked("clone.base", "../local/clone"), linked("delete", "../local/delete")]);
    setting.lab.finish().unwrap();
}
