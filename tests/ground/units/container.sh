# A container with systemd as its init, on a machine with no systemd and no virtualisation: namespaces, cgroup2, an
# overlay over a root of systemd-root.sh. To be sourced; needs root.
#
# Promises: it ends with whoever started it, however that ends; what it changes lies in its own directory, so that it
# comes up again with it (a reboot, a power cut).
# shellcheck shell=bash

# container_start NAME ROOT: returns once systemd has started everything.
container_start() {
  container_boot "$@"
  local try state=''
  for try in {1..60}; do
    state=$(inside systemctl is-system-running 2>/dev/null) || true
    case $state in running | degraded) return ;; esac
    sleep 1
  done
  echo "container: systemd has not started everything after $try s" >&2
  inside systemctl list-jobs >&2
  return 1
}

# container_boot NAME ROOT: returns once there is a systemd.
container_boot() {
  local name=$1 root=$2
  CONTAINER=$CONTAINERS/$name
  CONTAINER_CGROUP=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)/bootstash-units-$name-$$
  mkdir -p "$CONTAINER"/{upper,work,root} "$CONTAINER_CGROUP"
  (
    echo "$BASHPID" >"$CONTAINER_CGROUP/cgroup.procs"
    exec setpriv --pdeathsig KILL unshare --mount --pid --fork --uts --ipc --net --cgroup --propagation private \
      --kill-child bash -euc "$(declare -f container_init); container_init \"\$@\"" init "$CONTAINER" "$root" "$name"
  ) >>"$CONTAINER/console" 2>&1 </dev/null &
  CONTAINER_JOB=$!
  until CONTAINER_INIT=$(pgrep -P "$CONTAINER_JOB" 2>/dev/null) &&
    [[ $(cat "/proc/$CONTAINER_INIT/comm" 2>/dev/null) == systemd ]]; do
    kill -0 "$CONTAINER_JOB" 2>/dev/null || { cat "$CONTAINER/console" >&2; return 1; }
    sleep 0.1
  done
}

# The way from a namespace of its own to init.
container_init() {
  local dir=$1 root=$2 name=$3 at=$1/root node
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$dir/upper,workdir=$dir/work" "$at"
  mount -t proc proc "$at/proc"
  # Settings of the kernel are this machine's.
  mount --bind "$at/proc/sys" "$at/proc/sys"
  mount -o remount,bind,ro "$at/proc/sys"
  mount -t sysfs -o ro sysfs "$at/sys"
  mount -t cgroup2 cgroup2 "$at/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$at/dev"
  mkdir "$at/dev/pts" "$at/dev/shm"
  for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'fuse 10 229'; do
    # shellcheck disable=SC2086 # three words
    set -- $node
    mknod -m 666 "$at/dev/$1" c "$2" "$3"
  done
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$at/dev/pts"
  ln -s pts/ptmx "$at/dev/ptmx"
  ln -s /proc/self/fd "$at/dev/fd"
  mount -t tmpfs -o mode=755 tmpfs "$at/run"
  mount -t tmpfs -o mode=1777 tmpfs "$at/tmp"
  ip link set lo up
  hostname "$name"
  cd "$at" || exit
  mkdir -p .old
  pivot_root . .old
  cd /
  umount -l /.old
  mount --make-rshared /
  exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target \
    --log-target=journal --show-status=no </dev/null
}

# inside COMMAND...: runs it in the container, for at most two minutes.
inside() {
  timeout 120 nsenter -t "$CONTAINER_INIT" -m -p -u -i -n -C --root="/proc/$CONTAINER_INIT/root" --wd=/ -- \
    env -i -C / PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive "$@"
}

# As when the power fails: nothing in it comes to do anything any more.
container_kill() {
  [[ -n ${CONTAINER_INIT:-} ]] || return 0
  kill -KILL "$CONTAINER_INIT" 2>/dev/null || true
  wait "$CONTAINER_JOB" 2>/dev/null || true
  CONTAINER_INIT=''
  local try
  for try in {1..50}; do
    find "$CONTAINER_CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [[ -d $CONTAINER_CGROUP ]] || return 0
    sleep 0.1
  done
  echo "container: $CONTAINER_CGROUP stays after $try tries" >&2
}
