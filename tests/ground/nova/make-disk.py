"""Has OpenStack Nova make the disk of a new instance, as its libvirt driver does: make-disk.py INSTANCES_PATH BASE GIB

BASE is the name of an image's file in INSTANCES_PATH/_base, which Nova takes for one that it has already. Prints the disk's
path, and the base that Nova itself reads in it. Nothing of a cloud runs: neither services, nor a database, nor Glance.
"""

import os
import sys
import uuid

import nova.conf
import nova.privsep
from oslo_concurrency import lockutils

instances_path, base, gib = sys.argv[1], sys.argv[2], int(sys.argv[3])
nova.conf.CONF([], project="nova", default_config_files=[])
nova.conf.CONF.set_override("instances_path", instances_path)
nova.conf.CONF.set_override("state_path", instances_path)
lockutils.set_defaults(os.path.join(instances_path, "locks"))
# What needs root is done here, and not by a daemon that sudo starts.
nova.privsep.sys_admin_pctxt.set_client_mode(False)

from nova import objects  # noqa: E402 (both read the configuration)
from nova.virt.libvirt import imagebackend, utils  # noqa: E402


def no_glance(target, **_):
    raise SystemExit(f"{target} is not there, and would be fetched")


objects.register_all()
instance = objects.Instance(uuid=str(uuid.uuid4()), id=1)
os.mkdir(os.path.join(instances_path, instance.uuid))
disk = imagebackend.Qcow2(instance, "disk")
disk.cache(no_glance, base, size=gib << 30)
print(disk.path)
print(utils.get_disk_backing_file(disk.path))
