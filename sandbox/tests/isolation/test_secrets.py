"""What hostile code cannot find out: the daemon's environment, descriptors, options, and whose session it is."""

from sandbox.tests.isolation.hosts import Tenant

SEARCH = """
wanted = [each[::-1].encode() for each in reversed_words]  # as they are they would be found in this very code
"""


def test_the_daemons_environment_is_nowhere(tenant: Tenant) -> None:
    """E1: not in an environment, nor in the memory of the session's first process; nor are the owner's names."""
    words = [tenant.host.canary, tenant.key.tenant_id, tenant.key.thread_id, str(tenant.host.socket)]
    told = tenant.probe(
        SEARCH
        + """
found = []
def search(where, data):
    found.extend(f"{where}: {i}" for i, word in enumerate(wanted) if word in data)

search("own", repr(dict(os.environ)).encode())
looked = []
for pid in [p for p in (os.listdir("/proc") if has_proc else ()) if p.isdigit()]:
    for name in ("environ", "cmdline", "maps", "mountinfo", "status"):
        try:
            search(f"{pid}/{name}", open(f"/proc/{pid}/{name}", "rb").read())
        except OSError:
            pass
    if pid == str(os.getpid()):
        continue  # it has the words that it looks for
    try:
        maps = [line.split() for line in open(f"/proc/{pid}/maps")]
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for parts in maps:
                if "r" in parts[1] and parts[-1] not in ("[vvar]", "[vsyscall]"):
                    first, last = (int(side, 16) for side in parts[0].split("-"))
                    try:
                        memory.seek(first)
                        search(f"{pid}/mem", memory.read(min(last - first, 1 << 26)))
                    except (OSError, OverflowError, ValueError):
                        pass
        looked.append(pid)
    except OSError:
        pass
tell({"found": found, "looked": looked, "names": sorted(os.environ)})
""",
        reversed_words=[word[::-1] for word in words],
    )

    assert told["found"] == []
    allowed = {"PATH", "HOME", "LANG", "PWD", "USER", "TERM", "COLUMNS", "LINES", "SHLVL", "PYTHONDONTWRITEBYTECODE"}
    ours = (
        "MPL",
        "OPENBLAS",
        "OMP",
        "LC_",
        "IPYTHON",
        "XDG",
        "MKL",
        "NUMEXPR",
        "TMPDIR",
        "KMP",
        "JOBLIB",
        "LOKY",
        "TZ",
    )
    assert [name for name in told["names"] if name not in allowed and not name.startswith(ours)] == []


def test_the_memory_of_the_sessions_first_process_is_out_of_reach(tenant: Tenant) -> None:
    """E1: with it, code could make its sandbox outlive the daemon."""
    told = tenant.probe(
        """
def first_bytes(path):
    with open("/proc/1/maps") as maps:
        address = int(maps.readline().split("-")[0], 16)
    with open(path, "rb", 0) as memory:
        memory.seek(address)
        if memory.read(4) != b"\\x7fELF":
            raise OSError(errno.ENODATA, "nothing is there")

paths = ["/proc/1/mem", "/proc/1/task/1/mem", "/proc/1/root/proc/1/mem", "/proc/thread-self/../../1/mem"]
tell({path: tried(first_bytes, path) for path in paths})
"""
    )

    assert "ok" not in told.values(), told


def test_descriptors_lead_to_nothing_of_the_host(tenant: Tenant) -> None:
    """E2: its own, and those of every process it sees, are sockets, pipes, events and /dev/null."""
    told = tenant.probe(
        """
def kind(number):
    state = os.fstat(number)
    if stat.S_ISSOCK(state.st_mode):
        return "socket"
    if stat.S_ISFIFO(state.st_mode):
        return "pipe"
    if stat.S_ISCHR(state.st_mode):
        return f"device {os.major(state.st_rdev)}:{os.minor(state.st_rdev)}"
    return "anonymous" if state.st_mode & 0o170000 == 0 else f"{oct(state.st_mode)}"

kinds = {}
for number in range(2048):
    try:
        kinds[str(number)] = kind(number)
    except OSError:
        pass

shown, reopened = {}, []
for pid in [p for p in (os.listdir("/proc") if has_proc else ()) if p.isdigit()]:
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for number in numbers:
        path = f"/proc/{pid}/fd/{number}"
        try:
            leads = os.readlink(path)
        except OSError:
            continue
        shown[path] = leads
        for flags in (os.O_RDONLY, os.O_RDWR):
            try:
                os.close(os.open(path, flags | os.O_NONBLOCK))
                reopened.append(leads)
            except OSError:
                pass
tell({"kinds": kinds, "shown": shown, "reopened": sorted(set(reopened))})
"""
    )

    assert set(told["kinds"].values()) <= {"socket", "pipe", "device 1:3", "anonymous"}, told["kinds"]
    good = ("socket:", "pipe:", "/dev/null", "anon_inode:", "/proc")
    assert [leads for leads in told["shown"].values() if not leads.startswith(good)] == []
    # Its own pipes and /proc are its own; a socket cannot be opened anew.
    assert [leads for leads in told["reopened"] if not leads.startswith(("pipe:", "/dev/null", "/proc"))] == []


def test_neither_options_nor_the_owners_names_are_shown(tenant: Tenant) -> None:
    """E3"""
    told = tenant.probe(
        SEARCH
        + """
places = {}
for path in ("/proc/1/cmdline", "/proc/self/mountinfo", "/proc/self/cmdline", "/proc/self/cgroup", "/etc/passwd"):
    try:
        places[path] = open(path).read()
    except OSError:
        places[path] = ""
everything = "".join(places.values()) + repr(os.uname()) + repr(os.environ)
found = [word.decode() for word in wanted if word.decode() in everything]
tell({"cmdline": places["/proc/1/cmdline"].split("\\0"), "found": found})
""",
        reversed_words=[word[::-1] for word in (tenant.key.tenant_id, tenant.key.thread_id, tenant.host.folder.name)],
    )

    assert told["found"] == []
    assert not any(word.startswith(("--bind", "--ro-bind", "--setenv", "--tmpfs")) for word in told["cmdline"]), told
    if tenant.host.setup.proc:
        assert "--args" in told["cmdline"], told
