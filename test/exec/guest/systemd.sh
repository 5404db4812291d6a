# Runs in the virtual machine of systemd.test.ts, which has put before it what LAYERCTL and IMAGE are. Prints sections, two at
# a time being worked on: everything is slow here.
mkdir /run/test /run/test/go
cd /run/test || exit
layerctl() { "$LAYERCTL" -q --root /run/test/store "$@"; }
groups() { find /sys/fs/cgroup -type d -name "layerctl-$1-*" | sed 's/-[0-9a-f]*-[0-9a-f]*\(\.scope\)\{0,1\}$/-*\1/'; }
scopes() { systemctl list-units --all --plain --no-legend --no-pager "layerctl-$1-*.scope" | sed 's/-[0-9a-f]*-[0-9a-f]*\.scope */ /'; }
# Does what follows until it succeeds, for half a minute at most.
patiently() { for _ in $(seq 150); do if "$@"; then return; fi; sleep 0.2; done; echo "in vain: $*"; }
is_gone() { [ -z "$(groups "$1")" ]; }
is_active() { scopes "$1" | cut -d ' ' -f 2-4 | grep active; }

limits() {
  layerctl run -d --name a -m 32m --memory-reservation 16m --cpus 0.5 --cpu-shares 1024 --pids-limit 20 --cpuset-cpus 1 \
    --cpuset-mems 0 --device-read-bps /dev/loop0:1mb --device-write-iops /dev/loop0:9 --blkio-weight 1000 \
    bb:1 sh -c 'while :; do sleep 0.1; done'
  groups a
  scopes a
  for file in memory.max memory.swap.max memory.low cpu.max cpu.weight pids.max cpuset.cpus cpuset.mems io.max io.weight; do
    echo "$file=$(cat /sys/fs/cgroup/system.slice/layerctl-a-*.scope/container/$file)"
  done
  layerctl exec a cat /proc/self/cgroup /sys/fs/cgroup/memory.max
}

pause() {
  layerctl pause a
  cat /sys/fs/cgroup/system.slice/layerctl-a-*.scope/container/cgroup.events
  layerctl stop -t 0 a
  groups a
  scopes a
}

memory() {
  layerctl run --name b -m 16m bb:1 tail /dev/zero
  echo "exit code $?"
  layerctl ps -a | sed -n 's/^b .*  //p'
}

processes() {
  layerctl run --rm --pids-limit 20 bb:1 sh -c 'cat /sys/fs/cgroup/pids.max; f() { f | f & }; f; sleep 1' 2>errors
  grep -q "can't fork" errors && echo "cannot fork"
}

devices() {
  probe='(: </dev/x) && echo read; (: >/dev/x) || echo "not written"; (: </dev/null) && echo null'
  layerctl run --rm --device /dev/loop-control:/dev/x:r bb:1 sh -c "$probe"
}

cgroupfs() {
  layerctl run -d --name c --cgroup-driver cgroupfs -m 24m bb:1 sh -c 'while :; do :; done'
  groups c
  cat /sys/fs/cgroup/layerctl-c-*/memory.max
  layerctl stats --json c
  layerctl rm -f c
  groups c
}

monitor() {
  layerctl run -d --name d bb:1 sleep 1000
  child=$(head -n 1 /sys/fs/cgroup/system.slice/layerctl-d-*.scope/waiter/cgroup.procs)
  pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$child/status")
  cat "/proc/$pid/cgroup"
  kill -9 "$pid"
  patiently is_gone d
  scopes d
  layerctl ps -a | sed -n 's/^d .*  //p'
}

runtime() {
  wait="until [ -e /go/$1 ]; do sleep 0.1; done"
  layerctl run --name "$1" --runtime "$1" -v /run/test/go:/go -m 32m bb:1 sh -c "cat /sys/fs/cgroup/memory.max; $wait" &
  patiently is_active "$1"
  : >"go/$1"
  wait $!
  patiently is_gone "$1"
}

# A user without privileges, with a systemd of its own, which has controllers.
user() {
  id=1234
  home=/run/user/$id
  echo "guest:x:$id:$id::$home:/bin/sh" >>/etc/passwd
  echo "guest:x:$id:" >>/etc/group
  mkdir -p $home/disk
  truncate -s 64M disk
  mkfs.ext4 -q disk # the kernel's tmpfs has no attributes of users
  mount -o loop disk $home/disk
  cp "$IMAGE" $home/image.tar
  chown -R $id:$id $home
  chmod 700 $home
  chmod 666 /dev/fuse
  printf '%s\n' '[Unit]' DefaultDependencies=no '[Service]' User=$id Type=notify Slice=user-$id.slice \
    'ExecStart=/lib/systemd/systemd --user' 'Delegate=pids memory cpu' "Environment=XDG_RUNTIME_DIR=$home HOME=$home" \
    KillMode=mixed >/run/systemd/system/user@$id.service
  for slice in user user-$id; do
    mkdir -p /run/systemd/system/$slice.slice.d
    printf '[Unit]\nDefaultDependencies=no\n' >/run/systemd/system/$slice.slice.d/early.conf
  done
  systemctl daemon-reload
  systemctl start user@$id.service
  as_user() {
    setpriv --reuid $id --regid $id --clear-groups env HOME=$home XDG_RUNTIME_DIR=$home \
      "$LAYERCTL" -q --root $home/disk/store "$@"
  }
  cd / || return
  as_user import $home/image.tar --rootfs --name bb:1 >/dev/null
  as_user run --rm --cgroupns host -m 32m bb:1 cat /proc/self/cgroup /sys/fs/cgroup/memory.max
}

section() {
  ("$@") >"section-$*" 2>&1
  echo "$(cut -d ' ' -f 1 /proc/uptime) $*" >>times
}

layerctl import "$IMAGE" --rootfs --name bb:1 >/dev/null || exit
(for each in user limits pause processes; do section $each; done) &
for each in memory devices cgroupfs monitor 'runtime crun' 'runtime runc'; do section $each; done
wait
for file in section-*; do printf '\n== %s\n' "${file#section-}"; cat "$file"; done
printf '\n== end\n'
cat times
