# Registrar and agent on one host, from installation to purge: each step starts from what the one before it left. To be
# sourced.
# shellcheck shell=bash

# shellcheck disable=SC2034 # test-package.sh goes through them
ROAD_ONE=(a_fresh_host install_starts_nothing init_the_registrar invite_and_join register_and_make_an_overlay
  a_vm_with_autostart timer_and_collection reload_good_and_bad reboot power_cut upgrade_under_the_vm purge_under_the_vm)

a_fresh_host() {
  CPUS=$(nproc)
  guest_start host 1
  guest_wait
  has 'ZFS' 'zfs-kmod-2.3' "$(inside zfs version)"
  has 'systemd' 'systemd 252' "$(inside systemctl --version)"
  inside sh -ec 'mount -r /dev/vdc /mnt; zpool create -m none tank /dev/vdb'
}

install_starts_nothing() {
  local out unit files
  files=$(packages old bootstash bootstash-agent bootstash-registrar)
  # shellcheck disable=SC2086 # three words
  out=$(apt install $files) || die "apt: $out"
  has 'the agent says what is missing' 'bootstash-agent join' "$out"
  has 'the registrar says what is missing' 'bootstash-registrar init' "$out"
  for unit in bootstash-agent bootstash-registrar; do
    is "$unit" 'enabled inactive no 0' "$(property "$unit" UnitFileState) $(property "$unit" ActiveState) \
$(property "$unit" ConditionResult) $(property "$unit" NRestarts)"
  done
  is 'the timer' 'active' "$(property bootstash-gc.timer ActiveState)"
  is 'file systems' 'tank' "$(inside zfs list -H -o name)"
  is 'units that failed' '' "$(failed_units)"
}

init_the_registrar() {
  inside bootstash-registrar init >/dev/null
  inside systemctl start bootstash-registrar
  is 'registrar' 'active' "$(property bootstash-registrar ActiveState)"
  has 'its status' 'serving tank/bootstash-registrar' "$(property bootstash-registrar StatusText)"
}

invite_and_join() {
  local token
  token=$(inside bootstash node invite c1 --json | sed -n 's/.*"token": "\(.*\)",/\1/p')
  has 'joined' 'c1' "$(inside bootstash-agent join https://127.0.0.1:7430 "$token")"
  inside systemctl start bootstash-agent
  is 'both' 'active active' "$(states)"
  is 'both examples unchanged: one pool, two file systems' 'tank/bootstash-agent tank/bootstash-registrar' \
    "$(inside zfs list -H -o name -d 1 -r tank | grep / | sort | paste -sd ' ')"
}

register_and_make_an_overlay() {
  share_image
  register_with_cache
  make_overlay
}

a_vm_with_autostart() {
  inside sh -ec 'virsh -q define /mnt/vm.xml; virsh -q autostart vm1; virsh -q start --paused vm1'
  is 'the VM' 'paused' "$(vm_state)"
  has 'confined' 'libvirt-' "$(inside cat "/proc/$(vm_pid)/attr/current")"
  inside virsh -q resume vm1
  vm_has_booted 'resumed' 1
  has 'overlays' 'running' "$(inside bootstash overlays)"
}

# The timer each ten seconds in place of each day.
timer_and_collection() {
  local before
  before=$(property bootstash-gc.service ExecMainExitTimestampMonotonic)
  inside sh -ec 'mkdir -p /run/systemd/system/bootstash-gc.timer.d
    printf "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/10\nRandomizedDelaySec=0\nAccuracySec=1s\n" \
      >/run/systemd/system/bootstash-gc.timer.d/soon.conf
    systemctl daemon-reload; systemctl restart bootstash-gc.timer'
  eventually 60 sh -c "[ \$(systemctl show -P ExecMainExitTimestampMonotonic bootstash-gc.service) != $before ]" ||
    die 'the timer started no collection'
  is 'what the timer started' 'success 0' \
    "$(property bootstash-gc.service Result) $(property bootstash-gc.service ExecMainStatus)"
  inside sh -ec 'rm -r /run/systemd/system/bootstash-gc.timer.d; systemctl daemon-reload; systemctl restart bootstash-gc.timer'
  is 'the view that the VM needs' 'running' "$(vm_state)"
}

reload_good_and_bad() {
  local before
  before=$(main_pids)
  inside sed -i 's/^# downloads = 16/downloads = 8/' /etc/bootstash/registrar.toml
  inside systemctl reload bootstash-registrar || die 'a reload with a good file failed'
  eventually 10 sh -c 'journalctl --no-pager -o cat -u bootstash-registrar | grep -q "read anew.*changed=true"' ||
    die 'the registrar does not say that it read the file anew'
  inside sh -ec 'cp /etc/bootstash/registrar.toml /root/good.toml; echo "nonsense = 1" >>/etc/bootstash/registrar.toml'
  if inside systemctl reload bootstash-registrar 2>/dev/null; then die 'a reload with a bad file succeeded'; fi
  inside cp /root/good.toml /etc/bootstash/registrar.toml
  is 'both after a reload with a good and a bad file' "active active $before" "$(states) $(main_pids)"
}

reboot() {
  guest_reboot inside systemctl reboot
  all_is_up_again 'a reboot' bootstash-registrar
  wait_until_it_says bootstash-agent 'in step at bs-000001'
  is 'units that failed' '' "$(failed_units)"
  is 'what was stopped before' 'libvirt-guests bootstash-agent' "$(inside journalctl -b -1 --no-pager -o cat -g '^Stopped' \
    -u libvirt-guests -u bootstash-agent | sed 's/^Stopped \([a-z-]*\)\.service.*/\1/' | paste -sd ' ')"
}

power_cut() {
  guest_reboot power_fails
  all_is_up_again 'a power cut' bootstash-registrar
  wait_until_it_says bootstash-agent 'in step at bs-000001'
  is 'units that failed' '' "$(failed_units)"
}

upgrade_under_the_vm() {
  local vm daemons agent registrar out files mounts
  vm=$(vm_pid)
  daemons=$(main_pids)
  mounts=$(mounted_views)
  files=$(packages new bootstash bootstash-agent bootstash-registrar)
  # shellcheck disable=SC2086 # three words
  out=$(apt install $files) || die "apt: $out"
  is 'version' "$NEW" "$(inside dpkg-query -W -f '${Version}' bootstash-agent)"
  is 'both after the upgrade' 'active active' "$(states)"
  read -r agent registrar <<<"$(main_pids)"
  [[ $agent != "${daemons% *}" && $registrar != "${daemons#* }" ]] || die 'an upgrade restarted no daemon'
  ok 'an upgrade restarts the daemons'
  is 'the VM' "running $vm" "$(vm_state) $(vm_pid)"
  is 'the mounts' "$mounts" "$(mounted_views)"
  has 'what the operator configured' 'downloads = 8' "$(inside grep downloads /etc/bootstash/registrar.toml)"
  wait_until_it_says bootstash-agent '1 view'
}

# With the mounts' own numbers: one that was unmounted and mounted again has another.
mounted_views() { inside grep /var/lib/bootstash/views/ /proc/self/mountinfo | cut -d' ' -f1,5 | sort; }

# What a VM, and a later installation, needs: names only.
kept() {
  inside sh -c 'zfs list -H -o name -t all -r tank; find /var/lib/bootstash/agent/identity /var/lib/bootstash/agent/overlays \
    /var/lib/bootstash/registrar/identity -type f' | sort
  mounted_views
}

purge_under_the_vm() {
  local before out vm
  before=$(kept)
  vm=$(vm_pid)
  out=$(apt purge bootstash-agent bootstash-registrar bootstash) || die "apt: $out"
  has 'purge says what it keeps' 'bootstash-agent: kept: /var/lib/bootstash/agent' "$out"
  has 'purge says what it keeps' 'bootstash-registrar: kept: /var/lib/bootstash/registrar' "$out"
  if [[ $(kept) != "$before" ]]; then die "purge removed: $(diff <(echo "$before") <(kept))"; fi
  ok "purge kept $(wc -l <<<"$before") file systems, snapshots, mounts, keys and records"
  is 'units, and what dpkg knows' '' \
    "$(inside sh -c 'systemctl list-unit-files --no-legend "bootstash*"; dpkg-query -W "bootstash*" 2>/dev/null || true')"
  is 'the VM' "running $vm" "$(vm_state) $(vm_pid)"
  inside virsh -q reset vm1
  vm_has_booted 'reset without any package' 2
  is 'units that failed' '' "$(failed_units)"
  guest_stop
}
