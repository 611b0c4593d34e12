# What is looked at in the container, in this order: each check starts from what the one before it left.
# shellcheck shell=bash

# shellcheck disable=SC2034 # test-units.sh goes through them
CHECKS=(packages_install_and_start_nothing registrar_starts_configured agent_joins_and_follows an_overlay_for_a_vm
  journal_has_priorities hangup_and_termination reload_with_a_bad_file collection_without_daemons start_that_takes_long
  daemon_that_hangs limits network_that_is_not_there power_cut upgrade_under_a_vm purge_under_a_vm)

# install_packages old|new
install_packages() {
  local debs=/proc/$CONTAINER_INIT/root/root/debs
  rm -rf "$debs"
  mkdir "$debs"
  cp "$TARGET/units-debs/$1"/*.deb "$debs"
  inside sh -c 'dpkg -i /root/debs/*.deb' 2>&1
}

packages_install_and_start_nothing() {
  local out
  out=$(install_packages old) || die "dpkg: $out"
  has 'the agent says what is missing' 'bootstash-agent join' "$out"
  has 'the registrar says what is missing' 'bootstash-registrar init' "$out"
  local unit
  for unit in bootstash-agent bootstash-registrar; do
    is "$unit unconfigured" 'enabled inactive no 0' "$(property "$unit" UnitFileState) $(property "$unit" ActiveState) \
$(property "$unit" ConditionResult) $(property "$unit" NRestarts)"
    inside systemctl start "$unit"
    is "$unit started unconfigured" 'inactive success' "$(property "$unit" ActiveState) $(property "$unit" Result)"
  done
  is 'timer' 'active' "$(property bootstash-gc.timer ActiveState)"
  inside systemctl start bootstash-gc.service
  is 'collecting without a daemon' 'success' "$(property bootstash-gc.service Result)"
  is 'configuration files' '2' "$(inside dpkg-query -W -f '${Conffiles}\n' 'bootstash*' | grep -c 'bootstash/.*toml')"
  has 'group' 'bootstash' "$(inside getent group bootstash)"
  is 'what systemd says of the units' '' "$(inside systemd-analyze verify --man=no bootstash-agent.service bootstash-registrar.service \
    bootstash-gc.service bootstash-gc.timer 2>&1 | grep bootstash || true)"
}

registrar_starts_configured() {
  inside sh -ec 'systemctl start zfs-fuse; truncate -s 1G /var/pool; zpool create -m none tank /var/pool'
  inside systemctl reset-failed
  inside bootstash-registrar init >/dev/null
  inside systemctl start bootstash-registrar
  is 'registrar' 'active' "$(property bootstash-registrar ActiveState)"
  has 'its status' 'serving tank/bootstash-registrar on 0.0.0.0:7430' "$(property bootstash-registrar StatusText)"
}

agent_joins_and_follows() {
  local token
  token=$(inside bootstash node invite c1 --json | sed -n 's/.*"token": "\(.*\)",/\1/p')
  inside bootstash-agent join https://127.0.0.1:7430 "$token" >/dev/null
  inside systemctl start bootstash-agent
  is 'agent' 'active' "$(property bootstash-agent ActiveState)"
  is 'both examples unchanged: one pool, two file systems' 'tank/bootstash-agent tank/bootstash-registrar' \
    "$(inside zfs list -H -o name -d 1 -r tank | grep / | sort | paste -sd ' ')"
}

an_overlay_for_a_vm() {
  inside sh -ec 'mkdir -p /srv/images /var/lib/vms; cd /srv/images; head -c 8000000 /dev/urandom >x.raw
    truncate -s 64M x.raw; qemu-img create -q -f qcow2 -F raw -b /srv/images/x.raw /srv/cache.qcow2
    qemu-io -C -f qcow2 -c "read 0 4M" /srv/cache.qcow2 >/dev/null'
  inside bootstash register x /srv/images/x.raw --cache /srv/cache.qcow2 >/dev/null
  wait_until_it_says bootstash-agent 'in step at bs-000001'
  ok "the agent's status: $(property bootstash-agent StatusText)"
  eventually 30 bootstash overlay create x /var/lib/vms/a.qcow2 || die 'no overlay'
  wait_until_it_says bootstash-agent '1 view'
  ok "with an overlay: $(property bootstash-agent StatusText)"
  # In place of libvirt, which starts VMs when its daemon starts: one that cannot read its disk fails.
  inside sh -ec 'cat >/etc/systemd/system/libvirtd.service <<UNIT
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/qemu-io -r -f qcow2 -c "read 0 64k" /var/lib/vms/a.qcow2
[Install]
WantedBy=multi-user.target
UNIT
  systemctl -q enable libvirtd.service; systemctl start libvirtd.service'
}

journal_has_priorities() {
  local unit entries
  for unit in bootstash-agent bootstash-registrar; do
    entries=$(inside journalctl --no-pager -o cat -u "$unit" SYSLOG_IDENTIFIER="$unit")
    if grep -qE ' INFO |ERROR|[0-9]{4}-[0-9]{2}-[0-9]{2}T' <<<"$entries"; then die "$unit: time or level twice: $entries"; fi
  done
  ok 'one time, one level an entry'
  # A pool that is not there, in a unit of the same kind, so that the error is an entry.
  inside sh -ec 'sed "s#tank/bootstash-agent#nowhere/b#; s/^# metrics_listen.*/metrics_listen = \"127.0.0.1:7439\"/" \
      /etc/bootstash/agent.toml >/root/nowhere.toml
    mkdir -p /root/state; cp -r /var/lib/bootstash/agent/identity /root/state
    printf "state_dir = \"/root/state\"\nsocket = \"/run/nowhere.sock\"\n" | cat - /root/nowhere.toml >/root/n.toml'
  inside systemd-run -q --wait --unit nowhere bootstash-agent --config /root/n.toml || true
  entries=$(inside journalctl --no-pager -o cat -u nowhere SYSLOG_IDENTIFIER=bootstash-agent -p err)
  is 'entries of an error' 1 "$(grep -c . <<<"$entries")"
  ok "of priority err: $entries"
}

hangup_and_termination() {
  local before unit
  for unit in bootstash-agent bootstash-registrar; do
    before=$(property "$unit" MainPID)
    inside systemctl kill -s HUP --kill-whom=main "$unit"
    sleep 1
    is "$unit after SIGHUP" "active $before" "$(property "$unit" ActiveState) $(property "$unit" MainPID)"
    inside kill -TERM "$before"
    eventually 30 sh -c "systemctl is-active -q $unit && [ \$(systemctl show -P MainPID $unit) != $before ]" ||
      die "$unit was not restarted after a SIGTERM that nobody meant"
    ok "$unit is restarted after a SIGTERM that no systemctl sent"
  done
}

reload_with_a_bad_file() {
  local before
  before=$(property bootstash-registrar MainPID)
  inside sh -ec 'cp /etc/bootstash/registrar.toml /root/good.toml; echo "nonsense = 1" >>/etc/bootstash/registrar.toml'
  if inside systemctl reload bootstash-registrar 2>/dev/null; then die 'a reload with a bad file succeeded'; fi
  is 'after a reload with a bad file' "active $before" \
    "$(property bootstash-registrar ActiveState) $(property bootstash-registrar MainPID)"
  inside cp /root/good.toml /etc/bootstash/registrar.toml
  inside systemctl reload bootstash-registrar || die 'a reload with a good file failed'
  is 'after a reload with a good file' "$before" "$(property bootstash-registrar MainPID)"
}

collection_without_daemons() {
  inside systemctl start bootstash-gc.service
  is 'collecting' 'success' "$(property bootstash-gc.service Result)"
  inside systemctl stop bootstash-agent bootstash-registrar
  # By hand, where nothing removes its socket.
  inside sh -c 'bootstash-agent & pid=$!; for i in $(seq 100); do [ -S /run/bootstash/agent.sock ] && break; sleep 0.1; done
    sleep 1; kill -KILL $pid; wait $pid' >/dev/null 2>&1 || true
  inside test -S /run/bootstash/agent.sock || die 'the killed agent left no socket'
  inside systemctl start bootstash-gc.service || die 'a socket that nobody listens on failed the collection'
  is 'collecting with the socket of a killed daemon' 'success 69' \
    "$(property bootstash-gc.service Result) $(property bootstash-gc.service ExecMainStatus)"
  inside systemctl start bootstash-agent bootstash-registrar
}

# A ZFS that takes longer than the time a start is given.
start_that_takes_long() {
  local zfs
  zfs=$(inside sh -c 'command -v zfs')
  inside sh -ec "mkdir -p /run/systemd/system/bootstash-agent.service.d
    printf '#!/bin/sh\nsleep 1\nexec $zfs \"\$@\"\n' >/usr/local/bin/slow-zfs
    chmod +x /usr/local/bin/slow-zfs
    printf '[Service]\nEnvironment=BOOTSTASH_ZFS=/usr/local/bin/slow-zfs\nTimeoutStartSec=3s\n' \
      >/run/systemd/system/bootstash-agent.service.d/slow.conf
    systemctl daemon-reload"
  local start=$SECONDS
  inside systemctl restart bootstash-agent || die 'a start that takes long failed, though the agent asks for more time'
  ((SECONDS - start > 3)) || die 'that start took no longer than it may'
  ok "a start of $((SECONDS - start)) s with TimeoutStartSec=3s"
  inside sh -ec 'rm -r /run/systemd/system/bootstash-agent.service.d; systemctl daemon-reload; systemctl restart bootstash-agent'
}

daemon_that_hangs() {
  local unit before
  for unit in bootstash-agent bootstash-registrar; do
    inside sh -ec "mkdir -p /run/systemd/system/$unit.service.d
      printf '[Service]\nWatchdogSec=6s\n' >/run/systemd/system/$unit.service.d/watchdog.conf
      systemctl daemon-reload; systemctl restart $unit"
    before=$(property "$unit" MainPID)
    sleep 12
    is "$unit feeds its watchdog" "$before" "$(property "$unit" MainPID)"
    inside kill -STOP "$before"
    eventually 60 sh -c "[ \$(systemctl show -P NRestarts $unit) = 1 ] && systemctl is-active -q $unit" ||
      die "$unit hangs and is not restarted"
    ok "$unit that hangs is restarted by the watchdog"
    inside sh -ec "rm -r /run/systemd/system/$unit.service.d; systemctl daemon-reload; systemctl restart $unit"
  done
}

limits() {
  is 'files, and a child out of memory' '16384 continue 16384 continue' "$(property bootstash-agent LimitNOFILE) \
$(property bootstash-agent OOMPolicy) $(property bootstash-registrar LimitNOFILE) $(property bootstash-registrar OOMPolicy)"
  local pid
  pid=$(property bootstash-agent MainPID)
  has "the agent's own" '16384' "$(inside grep 'open files' "/proc/$pid/limits")"
}

# The cable is not plugged in: nobody reaches network-online.target, and the address for peers is not there.
network_that_is_not_there() {
  inside sh -ec 'cat >/etc/systemd/system/never-online.service <<UNIT
[Unit]
Before=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sleep 600
[Install]
WantedBy=network-online.target
UNIT
    printf "[Unit]\nWants=network-online.target\n" >/etc/systemd/system/wants-online.service
    printf "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n" >>/etc/systemd/system/wants-online.service
    systemctl -q enable never-online.service wants-online.service
    sed -i "s/^# listen = .*/listen = \"192.0.2.17:7432\"/" /etc/bootstash/agent.toml
    sync'
}

power_cut() {
  local start=$SECONDS
  container_kill
  container_boot "$SUITE" "$SYSTEMD/$SUITE"
  all_become_active 60 bootstash-agent bootstash-registrar libvirtd
  ok "all up $((SECONDS - start)) s after a power cut, with a network that never comes"
  is 'the VM found its disk' 'success' "$(property libvirtd Result)"
  ready_before bootstash-agent libvirtd
  is 'network-online.target' 'inactive' "$(property network-online.target ActiveState)"
  inside sh -ec 'ip addr add 192.0.2.17/24 dev lo; timeout 5 bash -c ": </dev/tcp/192.0.2.17/7432"' ||
    die 'the agent does not serve on the address that came'
  ok 'it serves other nodes once the address is there'
}

# A process that has the view open, in a unit of its own, as VMs are.
start_vm() {
  inside systemd-run -q --unit vm qemu-system-x86_64 -S -display none -nodefaults -machine q35,accel=tcg -m 64 \
    -drive file=/var/lib/vms/a.qcow2,format=qcow2,if=virtio
  eventually 20 systemctl is-active -q vm
  VM=$(property vm MainPID)
}

upgrade_under_a_vm() {
  start_vm
  local agent registrar out
  agent=$(property bootstash-agent MainPID)
  registrar=$(property bootstash-registrar MainPID)
  out=$(install_packages new) || die "dpkg: $out"
  is 'version' "$NEW" "$(inside dpkg-query -W -f '${Version}' bootstash-agent)"
  is 'both after the upgrade' 'active active' "$(property bootstash-agent ActiveState) $(property bootstash-registrar ActiveState)"
  [[ $(property bootstash-agent MainPID) != "$agent" && $(property bootstash-registrar MainPID) != "$registrar" ]] ||
    die 'an upgrade restarted no daemon'
  ok 'an upgrade restarts the daemons'
  is 'the VM after the upgrade' "active $VM" "$(property vm ActiveState) $(property vm MainPID)"
  has 'what the operator configured' '192.0.2.17' "$(inside cat /etc/bootstash/agent.toml)"
}

# What a VM, and a later installation, needs: names only.
kept() {
  inside sh -c 'zfs list -H -o name -r tank; findmnt -n -l -o TARGET | grep bootstash; find /var/lib/bootstash/agent/identity \
    /var/lib/bootstash/agent/overlays /var/lib/bootstash/registrar/identity -type f' | sort
}

purge_under_a_vm() {
  local before out
  before=$(kept)
  out=$(inside dpkg --purge bootstash-agent bootstash-registrar bootstash 2>&1) || die "dpkg: $out"
  has 'purge says what it keeps' 'bootstash-agent: kept: /var/lib/bootstash/agent' "$out"
  is 'the VM after purge' "active $VM" "$(property vm ActiveState) $(property vm MainPID)"
  is 'daemons after purge' 'inactive inactive' "$(property bootstash-agent ActiveState) $(property bootstash-registrar ActiveState)"
  if [[ $(kept) != "$before" ]]; then die "purge removed: $(diff <(echo "$before") <(kept))"; fi
  ok "purge kept $(wc -l <<<"$before") file systems, mounts, keys and records"
  inside qemu-io -r -U -f qcow2 -c 'read 0 64k' /var/lib/vms/a.qcow2 >/dev/null || die 'the disk cannot be read after purge'
  out=$(install_packages new) || die "dpkg: $out"
  wait_until_it_says bootstash-agent '1 view'
  ok "installed again, it goes on: $(property bootstash-agent StatusText)"
}
