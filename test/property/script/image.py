"""Layers as an image: "layer DIRECTORY TAR" makes the tar of a layer that is on disk as overlayfs has it; "layout DIRECTORY NAME
TAR..." an OCI layout of some, base first, and prints where a store of layerctl unpacks them, top first."""

import hashlib, json, os, platform, stat, sys, tarfile

PREFIX = ".wh."


def layer(directory, target):
    first = {}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for parent, folders, files in os.walk(directory):
            folders.sort()
            for path in sorted(os.path.join(parent, name) for name in folders + files):
                add(tar, directory, path, first)


def add(tar, directory, path, first):
    s = os.lstat(path)
    name = os.path.relpath(path, directory)
    if stat.S_ISCHR(s.st_mode):
        whiteout = os.path.join(os.path.dirname(name), PREFIX + os.path.basename(name))
        return tar.addfile(tarfile.TarInfo(whiteout))
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid
    info.pax_headers = {"mtime": f"{s.st_mtime_ns // 10**9}.{s.st_mtime_ns % 10**9:09}"}
    xattrs = {each: os.getxattr(path, each, follow_symlinks=False) for each in os.listxattr(path, follow_symlinks=False)}
    is_opaque = xattrs.pop("trusted.overlay.opaque", None) is not None
    for each, value in xattrs.items():
        info.pax_headers["SCHILY.xattr." + each] = os.fsdecode(value)
    if not stat.S_ISDIR(s.st_mode) and s.st_ino in first:
        info.type, info.linkname = tarfile.LNKTYPE, first[s.st_ino]
        return tar.addfile(info)
    first[s.st_ino] = name
    if stat.S_ISREG(s.st_mode):
        info.size = s.st_size
        with open(path, "rb") as file:
            return tar.addfile(info, file)
    if stat.S_ISLNK(s.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    else:
        info.type = tarfile.DIRTYPE if stat.S_ISDIR(s.st_mode) else tarfile.FIFOTYPE
    tar.addfile(info)
    if is_opaque:
        tar.addfile(tarfile.TarInfo(os.path.join(name, PREFIX + PREFIX + ".opq")))


def layout(directory, name, tars):
    os.makedirs(f"{directory}/blobs/sha256")

    def blob(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        with open(f"{directory}/blobs/sha256/{digest}", "wb") as file:
            file.write(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + digest, "size": len(content)}

    def document(kind, value):
        return blob(kind + "+json", json.dumps(value).encode())

    layers = [blob("layer.v1.tar", open(tar, "rb").read()) for tar in tars]
    ids = [each["digest"] for each in layers]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    described = {"architecture": machine, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}
    config = document("config.v1", described)
    manifest = document("manifest.v1", {"schemaVersion": 2, "config": config, "layers": layers})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    with open(f"{directory}/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
    with open(f"{directory}/oci-layout", "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)
    chain, chains = "", []
    for each in ids:
        chain = each if chain == "" else "sha256:" + hashlib.sha256(f"{chain} {each}".encode()).hexdigest()
        chains.insert(0, chain.removeprefix("sha256:"))
    print(" ".join(chains))


if sys.argv[1] == "layer":
    layer(*sys.argv[2:])
else:
    layout(sys.argv[2], sys.argv[3], sys.argv[4:])
