# Registrar and agent on two hosts with a cable between them. To be sourced.
# shellcheck shell=bash

# shellcheck disable=SC2034 # test-package.sh goes through them
ROAD_TWO=(two_fresh_hosts install_on_both join_over_the_network register_on_the_storage_node boot_on_the_compute_node
  power_cut_with_the_cable_unplugged)

# on HOST COMMAND...: with that host as the one that is spoken to.
on() {
  local GUEST=$1
  "${@:2}"
}

# on_both COMMAND...: at once.
on_both() {
  local storage node
  on storage "$@" &
  storage=$!
  on c17 "$@" &
  node=$!
  wait "$storage"
  wait "$node"
}

two_fresh_hosts() {
  local cable=$SOCKETS/cable try
  CPUS=1
  guest_start storage 1 "stream,server=on,addr.type=unix,addr.path=$cable"
  for try in {1..100}; do
    [[ ! -S $cable ]] || break
    sleep 0.1
  done
  [[ -S $cable ]] || die "QEMU has made no socket after $try tries: $(cat "$GUESTS/storage/qemu.log")"
  guest_start c17 2 "stream,server=off,addr.type=unix,addr.path=$cable"
  on_both guest_wait
  on storage plug_in 10.77.0.1
  on c17 plug_in 10.77.0.2
  on_both inside sh -ec 'mount -r /dev/vdc /mnt; zpool create -m none tank /dev/vdb'
  on c17 eventually 30 timeout 2 bash -c ': </dev/tcp/storage/22' || die 'the hosts do not reach each other'
  ok 'two hosts that reach each other'
}

# plug_in ADDRESS
plug_in() {
  inside sh -ec "printf '[Match]\nName=eth1\n[Network]\nAddress=$1/24\n' >/etc/systemd/network/cable.network
    echo '10.77.0.1 storage' >>/etc/hosts
    hostname $GUEST
    networkctl reload"
}

install_on_both() {
  on_both install_this_hosts_part
}

install_this_hosts_part() {
  local part=bootstash-registrar out files
  if [[ $GUEST == c17 ]]; then part=bootstash-agent; fi
  files=$(packages old bootstash "$part")
  # shellcheck disable=SC2086 # two words
  out=$(apt install $files) || die "apt: $out"
  is "$GUEST: $part" 'inactive no' "$(property "$part" ActiveState) $(property "$part" ConditionResult)"
}

join_over_the_network() {
  local token
  on storage inside sh -ec 'bootstash-registrar init >/dev/null; systemctl start bootstash-registrar'
  token=$(on storage inside bootstash node invite c17 --json | sed -n 's/.*"token": "\(.*\)",/\1/p')
  has 'joined' 'c17' "$(on c17 inside bootstash-agent join https://storage:7430 "$token")"
  on c17 inside systemctl start bootstash-agent
  is 'agent' 'active' "$(on c17 property bootstash-agent ActiveState)"
  has 'the registrar serves it' '10.77.0.2' "$(on storage inside ss -Htn state established 'sport = 7430')"
  has 'member' 'c17' "$(on storage inside bootstash members)"
  is 'the log for the node, and for who has no certificate' '200 401' "$(on c17 answer --cert "$IDENTITY" --key "$IDENTITY") \
$(on c17 answer)"
}

# answer OPTION...: the HTTP status with which the registrar answers.
IDENTITY=/var/lib/bootstash/agent/identity/identity.pem
answer() { inside curl --silent --insecure --output /dev/null --write-out '%{http_code}' "$@" "https://storage:7430/v1/log?wait_seconds=0"; }

register_on_the_storage_node() {
  on_both share_image
  on storage register_with_cache
  on c17 wait_until_it_says bootstash-agent 'in step at bs-000001'
  ok "the agent's status: $(on c17 property bootstash-agent StatusText)"
  on storage eventually 30 sh -c 'bootstash nodes | grep c17 | grep -q bs-000001' || die 'the registrar does not know it'
  ok "the registrar's view: $(on storage inside bootstash nodes | grep c17)"
}

# From a base in which there is nothing: all that the VM reads is the node's own.
boot_on_the_compute_node() {
  on c17 make_overlay
  on c17 inside sh -ec 'truncate -s 0 /srv/images/x.raw; truncate -s 64M /srv/images/x.raw
    virsh -q define /mnt/vm.xml; virsh -q autostart vm1; virsh -q start vm1'
  on c17 vm_has_booted 'with an empty base' 1
  is 'units that failed' '' "$(on storage failed_units)$(on c17 failed_units)"
}

# VMs of a node that reaches nobody start, and it follows again once it can.
power_cut_with_the_cable_unplugged() {
  on c17 guest_monitor 'set_link cable off'
  on c17 guest_reboot power_fails
  on c17 all_is_up_again 'a power cut without a network'
  is 'what nothing waited for' 'inactive' "$(on c17 property network-online.target ActiveState)"
  on storage inside bootstash deregister x --publish >/dev/null
  on c17 guest_monitor 'set_link cable on'
  on c17 wait_until_it_says bootstash-agent 'in step at bs-000002'
  on c17 wait_until_it_says bootstash-agent '1 view'
  ok "plugged in again: $(on c17 property bootstash-agent StatusText)"
  on c17 guest_stop
  on storage guest_stop
}
