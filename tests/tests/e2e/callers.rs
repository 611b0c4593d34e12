//! Overlays for who is not root: by the agent's socket, in the group it belongs to.

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
    let (hers, ours) = (node.dir().join("hers"), node.dir().join("ours"));
    let within = |directory: &std::path::Path| directory.join("a.qcow2").display().to_string();
    for directory in [&hers, &ours] {
        fs::create_dir(directory).unwrap();
    }
    for above in hers.ancestors().skip(1).filter(|above| above.starts_with(node.dir())) {
        fs::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
    }
    chown(&hers, Some(USER), Some(USER)).unwrap();

    let stranger = as_user(&setting, "54321", &["overlays"]).failure().unwrap();
    assert_says(&stranger, &["Permission denied", "group"]);
    let member = |args: &[&str]| as_user(&setting, &GROUP.to_string(), args);
    member(&["overlay", "create", "a", &within(&hers)]).success().unwrap();
    let made = fs::metadata(hers.join("a.qcow2")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (USER, 0o600));
    assert_says(&member(&["overlays"]).success().unwrap(), &[&within(&hers)]);

    let refused = member(&["overlay", "create", "a", &within(&ours)]).failure().unwrap();
    assert_says(&refused, &["user 54321 may not make", &within(&ours)]);
    node.bootstash(["overlay", "create", "a", &within(&ours)]).unwrap().success().unwrap();
    let refused = member(&["overlay", "remove", &within(&ours)]).failure().unwrap();
    assert_says(&refused, &["user 54321 may not remove", &within(&ours)]);
    assert!(ours.join("a.qcow2").exists());
    assert_says(&member(&["gc"]).failure().unwrap(), &["only root may collect"]);

    member(&["overlay", "remove", &within(&hers)]).success().unwrap();
    assert!(!hers.join("a.qcow2").exists());
    node.bootstash(["overlay", "remove", &within(&ours)]).unwrap().success().unwrap();
    setting.lab.finish().unwrap();
}
