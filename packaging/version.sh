# What packages are called and dated by: the workspace's version, and the commit's time, so that two builds of one commit
# are alike. To be sourced, in the tree's root.
# shellcheck shell=bash disable=SC2034
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
