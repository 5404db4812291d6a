"""calls.py ACTION ARGUMENT...: the system calls that coreutils have no command for, or wrap in others."""

import ctypes, hashlib, mmap, os, stat, sys

libc = ctypes.CDLL(None, use_errno=True)
action, *words = [os.fsencode(word) for word in sys.argv[1:]]
action = action.decode()


def text(word):
    """No word can hold a NUL: it is written \\0."""
    return word.replace(b"\\0", b"\0")


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def opened(path, flags):
    return os.open(path, flags | os.O_NONBLOCK, 0o644)


def told(fd):
    os.lseek(fd, 0, os.SEEK_SET)
    print(repr(os.read(fd, 1 << 20)))


def entries(fd):
    buffer = ctypes.create_string_buffer(280)  # one entry of any name
    number = 61 if os.uname().machine == "aarch64" else 217
    while (size := libc.syscall(number, fd, buffer, 280)) > 0:
        at, some = 0, []
        while at < size:
            length = int.from_bytes(buffer.raw[at + 16 : at + 18], "little")
            some.append(buffer.raw[at + 19 : at + length].split(b"\0")[0])
            at += length
        yield some


def tree(since, root):
    first = {}
    for directory, folders, files in os.walk(root):
        for path in [directory] + [os.path.join(directory, name) for name in files] + [
            os.path.join(directory, name) for name in folders if os.path.islink(os.path.join(directory, name))
        ]:
            try:
                s = os.lstat(path)
            except OSError as error:
                yield path, error.strerror
                continue
            is_file, is_link = stat.S_ISREG(s.st_mode), stat.S_ISLNK(s.st_mode)
            content = open(path, "rb").read() if is_file else os.readlink(path) if is_link else b""
            digest = hashlib.md5(content).hexdigest() if len(content) > 60 else repr(content)
            time = "now" if s.st_mtime_ns >= since * 10**9 else s.st_mtime_ns
            names = sorted(os.listxattr(path, follow_symlinks=False))
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
            link = path if stat.S_ISDIR(s.st_mode) else first.setdefault(s.st_ino, path)
            mode = stat.filemode(s.st_mode) if not is_link else "link"
            yield path, f"{mode} {s.st_uid}:{s.st_gid} {time} {digest} {xattrs} {link if link != path else ''}"


try:
    if action == "create":
        os.close(os.open(words[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, int(words[1], 8)))
    elif action == "mkdir":
        os.mkdir(words[0], int(words[1], 8))
    elif action in ("replace", "append", "write"):
        flags = {"replace": os.O_CREAT | os.O_TRUNC, "append": os.O_APPEND, "write": 0}[action]
        fd = opened(words[0], os.O_WRONLY | flags)
        os.pwrite(fd, text(words[1]), int(words[2])) if action == "write" else os.write(fd, text(words[1]))
    elif action == "truncate":
        os.truncate(words[0], int(words[1]))
    elif action == "allocate":
        fd = opened(words[0], os.O_RDWR)
        check(libc.fallocate(fd, int(words[1]), ctypes.c_int64(int(words[2])), ctypes.c_int64(int(words[3]))))
    elif action == "map":
        fd = opened(words[0], os.O_RDWR)
        mmap.mmap(fd, len(text(words[1])))[: len(text(words[1]))] = text(words[1])
    elif action == "link":
        os.link(words[0], words[1], follow_symlinks=False)
    elif action == "rename":
        check(libc.renameat2(-100, words[0], -100, words[1], int(words[2])))
    elif action == "utimens":
        os.utime(words[0], ns=(int(words[1]),) * 2, follow_symlinks=False)
    elif action == "setxattr":
        os.setxattr(words[0], words[1], text(words[2]), int(words[3]), follow_symlinks=False)
    elif action == "unlink open":
        fd = opened(words[0], os.O_RDWR)
        os.pread(fd, 1, 0)
        os.unlink(words[0])
        os.pwrite(fd, text(words[1]), 0)
        told(fd)
    elif action == "write open":
        fd = opened(words[0], os.O_RDONLY)
        os.pwrite(opened(words[0], os.O_WRONLY), text(words[1]), 0)
        told(fd)
    elif action == "list changing":
        listing = entries(os.open(words[0], os.O_RDONLY | os.O_DIRECTORY))
        names = next(listing, [])
        try:
            os.close(os.open(os.path.join(words[0], words[1]), os.O_CREAT | os.O_EXCL, 0o644))
        except OSError:
            pass
        try:
            os.unlink(os.path.join(words[0], words[2]))
        except OSError:
            pass
        names += [name for some in listing for name in some]
        print(sorted(name for name in names if name not in (b".", b"..", words[1], words[2])))
    elif action == "tree":
        for path, line in sorted(tree(int(words[0]), words[1])):
            print(path, line)
except OSError as error:
    sys.exit(f"{action}: {error.strerror}")
