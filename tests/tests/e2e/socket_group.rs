//! Overlays for users other than root: members of the group of the agent's socket.

use crate::setting::{Setting, assert_says, inside};
use bootstash_tests::lab::programs;
use bootstash_tests::lab::run::Finished;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

const USER: u32 = 54321;
/// `daemon`, which every Debian has.
const GROUP: u32 = 1;

/// Runs the command as the user, in these groups.
fn as_user(setting: &Setting, groups: &str, args: &[&str]) -> Finished {
    let (user, groups) = (USER.to_string(), format!("--groups={groups}"));
    let place = ["--reuid", &user, "--regid", &user, &groups, "--no-new-privs", "--"];
    let call = setting.lab.host("node1").command("setpriv", place);
    call.args([inside("bootstash")]).args(args).finish().unwrap()
}

#[test]
fn a_member_of_the_socket_group_makes_overlays_with_rights_of_its_own() {
    let setting = Setting::without_daemons(1, |plan| plan.agent("socket_group = \"daemon\"").unwrap());
    // The build directory may be closed to others.
    fs::copy(programs::path("bootstash"), setting.file("bootstash")).unwrap();
    fs::set_permissions(setting.file("bootstash"), Permissions::from_mode(0o755)).unwrap();
    setting.lab.start_daemons().unwrap();
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();
    let node = setting.lab.host("node1");
    let (owned, of_root) = (node.dir().join("owned"), node.dir().join("of_root"));
    let within = |directory: &std::path::Path| directory.join("a.qcow2").display().to_string();
    for directory in [&owned, &of_root] {
        fs::create_dir(directory).unwrap();
    }
    for above in owned.ancestors().skip(1).filter(|above| above.starts_with(node.dir())) {
        fs::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
    }
    chown(&owned, Some(USER), Some(USER)).unwrap();

    let outsider = as_user(&setting, "54321", &["overlays"]).failure().unwrap();
    assert_says(&outsider, &["Permission denied", "group"]);
    let member = |args: &[&str]| as_user(&setting, &GROUP.to_string(), args);
    member(&["overlay", "create", "a", &within(&owned)]).success().unwrap();
    let made = fs::metadata(owned.join("a.qcow2")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (USER, 0o600));
    assert_says(&member(&["overlays"]).success().unwrap(), &[&within(&owned)]);

    let refused = member(&["overlay", "create", "a", &within(&of_root)]).failure().unwrap();
    assert_says(&refused, &["user 54321 may not make", &within(&of_root)]);
    node.bootstash(["overlay", "create", "a", &within(&of_root)]).unwrap().success().unwrap();
    let refused = member(&["overlay", "remove", &within(&of_root)]).failure().unwrap();
    assert_says(&refused, &["user 54321 may not remove", &within(&of_root)]);
    assert!(of_root.join("a.qcow2").exists());
    assert_says(&member(&["gc"]).failure().unwrap(), &["only root may collect"]);

    member(&["overlay", "remove", &within(&owned)]).success().unwrap();
    assert!(!owned.join("a.qcow2").exists());
    node.bootstash(["overlay", "remove", &within(&of_root)]).unwrap().success().unwrap();
    setting.lab.finish().unwrap();
}
