"""Drives the executor, turns its raw facts into the canonical state, checks them against /proc."""
import contextlib
import errno as _errno
import fcntl
import json
import os
import platform
import signal
import subprocess
import time

import statefmt

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(HERE, "build")
LOCK = "/run/lock/rmap-oracle.lock"     # of the machine: its settings are changed, whatever copy does it
PAGE = 4096
PMD = 2 << 20
ARENA = (0x1000000000, 0x1004000000)
BRK = 0x1003000000
MAX_CHILD = 38

# ---- names <-> numbers -------------------------------------------------------------------------

PROT = {"r": 1, "w": 2, "x": 4}
MAP = {"shared": 1, "private": 2, "shared_validate": 3, "fixed": 0x10, "anon": 0x20, "growsdown": 0x100,
       "locked": 0x2000, "noreserve": 0x4000, "populate": 0x8000, "nonblock": 0x10000, "stack": 0x20000,
       "hugetlb": 0x40000, "fixed_noreplace": 0x100000}
REMAP = {"maymove": 1, "fixed": 2, "dontunmap": 4}
ADV = {"normal": 0, "random": 1, "sequential": 2, "willneed": 3, "dontneed": 4, "free": 8, "remove": 9,
       "dontfork": 10, "dofork": 11, "mergeable": 12, "unmergeable": 13, "hugepage": 14, "nohugepage": 15,
       "dontdump": 16, "dodump": 17, "wipeonfork": 18, "keeponfork": 19, "cold": 20, "pageout": 21,
       "populate_read": 22, "populate_write": 23, "dontneed_locked": 24, "collapse": 25,
       "guard_install": 102, "guard_remove": 103}
MSYNC = {"async": 1, "invalidate": 2, "sync": 4}
FD = {None: -1, "f0": 4, "m0": 5, "r0": 7}

OPC = {n: i for i, n in enumerate(
    "nop mmap munmap mprotect mremap madvise mlock mlock2 munlock brk load store fork exit msync ftruncate "
    "punch fill mseal prctl_merge mlockall munlockall".split())}

SIG = {11: "SEGV", 7: "BUS"}
SIGCODE = {("SEGV", 1): "MAPERR", ("SEGV", 2): "ACCERR", ("BUS", 2): "ADRERR", ("BUS", 3): "OBJERR", ("BUS", 4): "MCEERR_AR"}

# vm_flags bits -> the two letters of smaps "VmFlags"
VMF = [(0, "rd"), (1, "wr"), (2, "ex"), (3, "sh"), (4, "mr"), (5, "mw"), (6, "me"), (7, "ms"), (8, "gd"), (9, "um"),
       (10, "pf"), (11, "gu"), (12, "uw"), (13, "lo"), (14, "io"), (15, "sr"), (16, "rr"), (17, "dc"), (18, "de"), (19, "lf"), (20, "ac"),
       (21, "nr"), (22, "ht"), (23, "sf"), (24, "ar"), (25, "wf"), (26, "dd"), (27, "sd"), (28, "mm"), (29, "hg"),
       (30, "nh"), (31, "mg"), (41, "ui"), (42, "sl")]
VMF_KNOWN = sum(1 << b for b, _ in VMF)


def num(v):
    if v is None:
        return 0
    if isinstance(v, str):
        return int(v, 0)
    return v


def bits(v, table):
    """"rw" or ["private","anon","0x80000000"] or a number -> number"""
    if v is None:
        return 0
    if isinstance(v, int):
        return v
    if isinstance(v, str):
        if v.startswith("0x"):
            return int(v, 16)
        v = list(v) if table is PROT else [v]
    r = 0
    for x in v:
        if x in ("-", "none"):
            continue
        r |= table[x] if x in table else int(x, 0)
    return r


def fdn(v):
    return v if isinstance(v, int) else FD[v]


def encode(op):
    """Operation object -> command line body for the executor (without the dump flag)."""
    k = op["op"]
    p = op.get("p", 0)
    a = None
    if k == "fork":
        return "F", "%d %d" % (p, op["child"])
    if k == "exit":
        return "E", "%d" % p
    if k == "ksm":
        return "K", "%d" % op.get("passes", 4)
    if k in ("settle", "ksm_set"):
        return "W", ""
    code = OPC.get(k)
    if k == "mmap":
        a = [num(op.get("addr")), num(op["len"]), bits(op["prot"], PROT), bits(op["flags"], MAP),
             fdn(op.get("fd")), num(op.get("off"))]
    elif k == "munmap":
        a = [num(op["addr"]), num(op["len"])]
    elif k == "mprotect":
        a = [num(op["addr"]), num(op["len"]), bits(op["prot"], PROT)]
    elif k == "mremap":
        a = [num(op["addr"]), num(op["len"]), num(op["new_len"]), bits(op.get("flags"), REMAP), num(op.get("new_addr"))]
    elif k == "madvise":
        adv = op["adv"]
        a = [num(op["addr"]), num(op["len"]), ADV[adv] if adv in ADV else int(adv)]
    elif k == "mlock":
        a = [num(op["addr"]), num(op["len"])]
        if "flags" in op:
            code = OPC["mlock2"]
            a.append(bits(op["flags"], {"onfault": 1}))
    elif k in ("munlock", "mseal"):
        a = [num(op["addr"]), num(op["len"])]
    elif k == "brk":
        a = [num(op["addr"])]
    elif k == "load":
        a = [num(op["addr"]), op.get("n", 1)]
    elif k == "store":
        a = [num(op["addr"]), op.get("n", 1), op["val"]]
    elif k == "msync":
        a = [num(op["addr"]), num(op["len"]), bits(op["flags"], MSYNC)]
    elif k == "ftruncate":
        a = [fdn(op["fd"]), num(op["len"])]
    elif k == "punch":
        a = [fdn(op["fd"]), num(op["off"]), num(op["len"])]
    elif k == "prctl_merge":
        a = [1 if op["on"] else 0]
    elif k == "nop":
        a = []
    else:
        raise ValueError("unknown operation " + k)
    a = [x & 0xffffffffffffffff for x in a] + [0] * (8 - len(a))
    return "X", "%d %d %s" % (p, code, " ".join("0x%x" % x for x in a))


def decode_res(op, raw):
    k = op["op"]
    if raw.get("sig"):
        s = SIG.get(raw["sig"], str(raw["sig"]))
        r = {"sig": s, "code": SIGCODE.get((s, raw["code"]), str(raw["code"])), "at": hex(raw["at"]), "n": raw["ret"]}
        if k == "load":
            r["vals"] = raw["vals"]
        return r
    if raw.get("err"):
        return {"err": _errno.errorcode.get(raw["err"], str(raw["err"]))}
    if k in ("mmap", "mremap", "brk"):
        return {"ret": hex(raw["ret"] & 0xffffffffffffffff)}
    if k == "load":
        return {"vals": raw["vals"]}
    if k == "store":
        return {"n": raw["ret"]}
    if k == "fork":
        return {"child": op["child"]}
    return {"ret": raw["ret"]}


def vmflags(v):
    s = [n for b, n in VMF if v >> b & 1]
    rest = v & ~VMF_KNOWN
    if rest:
        s.append("+0x%x" % rest)
    return " ".join(s)


# ---- canonical state ---------------------------------------------------------------------------

class Canon:
    """Kernel addresses, frame numbers and swap slots -> small numbers in first-seen order."""

    def __init__(self):
        self.vid, self.aid, self.pid_, self.fid, self.sid = {}, {}, {}, {}, {}
        self.parents = {}
        self.nv = self.na = self.np = self.nf = self.ns = 0

    def state(self, raw):
        for o in raw["fo"]:
            self.vid.pop(o, None)
            self.aid.pop(o, None)
        for p in raw["fp"]:
            self.pid_.pop(p, None)
        pg = {p[0]: p for p in raw["pages"]}
        vslot, mapping = {}, {}
        for pr in raw["procs"]:
            for v in pr["v"]:
                vslot[v[0]] = pr["s"]
        mmslot = {pr["mm"]: pr["s"] for pr in raw["procs"]}
        # files first: their names do not depend on the rest
        for f in raw["files"]:
            key = (f[0], f[1])
            if key not in self.fid:
                if f[2]:
                    self.fid[key] = f[2]
                else:
                    self.fid[key] = "s%d" % self.nf
                    self.nf += 1
            mapping[f[3]] = self.fid[key]
        avs_alive = {a[0] for a in raw["avs"]}
        for d, alive in ((self.vid, vslot), (self.aid, avs_alive), (self.pid_, pg)):
            for k in [k for k in d if k not in alive]:
                del d[k]

        def av(p):
            if not p:
                return None
            if p not in self.aid:
                self.na += 1
                self.aid[p] = self.na
            return self.aid[p]

        def vma(p):
            if p not in vslot:
                return None
            if p not in self.vid:
                self.nv += 1
                self.vid[p] = self.nv
            return self.vid[p]

        def page(pfn):
            """-> (kind, reference)"""
            g = pg[pfn]
            kpf, mp = g[2], g[4]
            if kpf >> 24 & 1:
                return "z", None
            if mp & 3 == 0 and mp:
                return "f", "%s:%d" % (mapping.get(mp, "?"), g[5])
            if not mp:
                return "?", pfn
            if pfn not in self.pid_:
                self.np += 1
                self.pid_[pfn] = self.np
            return "p", self.pid_[pfn]

        procs, pages, swaps_seen = {}, {}, set()
        # first pass: ids of VMAs and anon_vmas in process, address and chain order
        for pr in raw["procs"]:
            vm = []
            for v in pr["v"]:
                o = {"id": vma(v[0]), "s": hex(v[1]), "e": hex(v[2]), "f": vmflags(v[3]), "off": hex(v[4])}
                if v[5]:
                    o["file"] = self.fid[(v[5], v[6])]
                if v[7]:
                    o["av"] = av(v[7])
                if v[8]:
                    o["avc"] = [av(x) for x in v[8]]
                vm.append(o)
            procs[str(pr["s"])] = {"locked": pr["locked"], "vmas": vm, "ptes": []}
        page_order = []
        for pr in raw["procs"]:
            runs = []
            for va, k, pfn, val in pr["e"]:
                n, b = 1, ""
                if k in "pP":
                    kind, ref = page(pfn)
                    if k == "P":
                        n = 512
                        kind = {"z": "Z", "p": "P", "f": "F"}.get(kind, kind)
                        for i in range(512):
                            page(pfn + i)
                            page_order.append(pfn + i)
                    elif kind != "z":
                        page_order.append(pfn)
                    if val & 2:
                        b += "w"
                    if val & 0x40 or val >> 58 & 1:
                        b += "d"
                    if not val & 1:
                        b += "n"
                elif k == "s":
                    typ = val >> 59
                    off = ((~val & 0xffffffffffffffff) << 5 & 0xffffffffffffffff) >> 14
                    if typ == 31:
                        kind, ref, b = "m", {4: "guard", 1: "uffd_wp", 2: "poison"}.get(off, str(off)), ""
                    elif typ < 24:
                        if (typ, off) not in self.sid:
                            self.ns += 1
                            self.sid[(typ, off)] = self.ns
                        kind, ref = "s", self.sid[(typ, off)]
                        swaps_seen.add((typ, off))
                        b = "x" if val & 8 else ""
                    else:
                        kind, ref = "t", typ
                else:
                    kind, ref = "?", val
                if runs:
                    q = runs[-1]
                    if (q[2] == kind and kind not in "PZF" and q[4] == b and int(q[0], 16) + q[1] * PAGE == va and
                            (kind in "zm" and q[3] == ref or kind in "pfs" and statefmt.page_key(q[3], q[1]) == ref)):
                        q[1] += 1
                        continue
                runs.append([hex(va), n, kind, ref, b])
            procs[str(pr["s"])]["ptes"] = runs
        for s in [s for s in self.sid if s not in swaps_seen]:
            del self.sid[s]

        for pfn in page_order:
            kind, ref = page(pfn)
            if kind == "z" or ref in pages:
                continue
            g = pg[pfn]
            _, head, kpf, kpc, mp, index, refc, flags, byte, large, entire, ksmlen, items = g
            o = {}
            compound = bool(kpf >> 15 & 3)
            sc = kpf >> 13 & 1
            if kind == "f":
                o["k"] = "file"
            elif mp & 3 == 3:
                o["k"] = "ksm"
                o["rm"] = [[mmslot.get(m), hex(a & ~0xfff), av(x)] for m, a, x in items]
            else:
                o["k"] = "anon"
                o["av"] = av(mp & ~3)
                o["ix"] = hex(index)
            o["mc"] = kpc
            if kind == "p" and not sc:
                o["rc"] = refc
            if kind == "p" and compound:
                o["h"] = page(head)[1] if head in pg else "out"
                if head == pfn or head not in pg:
                    o["em"], o["lm"] = entire, large
            fl = []
            if kind == "p":
                if flags >> 11 & 1:
                    fl.append("excl")
                if kpf >> 14 & 1:
                    fl.append("sb")
                if kpf >> 4 & 1:
                    fl.append("dirty")
                if sc:
                    fl.append("sc")
            if not kpf >> 5 & 1:
                fl.append("nolru")
            if kpf >> 18 & 1:
                fl.append("unev")
            if kpf >> 33 & 1:
                fl.append("ml")
            o["fl"] = " ".join(fl)
            o["b"] = byte
            pages[ref] = o

        avs = {}
        pend = [a for a in raw["avs"]]
        for a in pend:          # ids for those reached only through a root pointer or a KSM item
            av(a[0])
        for a in sorted(pend, key=lambda a: self.aid[a[0]]):
            # A parent never changes; one that is gone may have left its place to another.
            me, par = self.aid[a[0]], self.aid.get(a[2])
            if par is not None and self.parents.setdefault(me, par) != par:
                par = None
            o = {"root": av(a[1]), "par": par, "rc": a[3], "nc": a[4], "na": a[5],
                 "tree": [[vslot.get(x), vma(x)] for x in a[6]]}
            avs[str(self.aid[a[0]])] = o
        files = {}
        for f in raw["files"]:
            files[self.fid[(f[0], f[1])]] = {"tree": [[vslot.get(x), vma(x)] for x in f[4]]}
        return {"procs": procs, "avs": avs, "files": files, "pages": pages}


# ---- machine settings --------------------------------------------------------------------------

KSM = "/sys/kernel/mm/ksm/"
KHP = "/sys/kernel/mm/transparent_hugepage/khugepaged/"
THP = "/sys/kernel/mm/transparent_hugepage/"


def rd(p):
    with open(p) as f:
        return f.read().strip()


def wr(p, v):
    with open(p, "w") as f:
        f.write(str(v))


KSM_DEFAULTS = [("use_zero_pages", 0), ("max_page_sharing", 256), ("smart_scan", 0)]


def ksm_set(name, value):
    """Writes a setting; 2 for run, which un-merges everything, is 0 again afterwards.  -> name of the error or None"""
    try:
        wr(KSM + name, value)
    except OSError as e:
        return _errno.errorcode[e.errno]
    if name == "run":
        wr(KSM + "run", 0)
    return None


class OracleError(Exception):
    pass


class Settings:
    """Applies what a recording needs, restores the former values on leaving."""

    def __init__(self, tmp, swap=False):
        self.tmp, self.swap = tmp, swap
        self.saved = []
        self.swapfile = None

    def put(self, p, v):
        old = rd(p)
        if "[" in old:
            old = old.split("[")[1].split("]")[0]
        self.saved.append((p, old))
        wr(p, v)

    def __enter__(self):
        try:
            self._enter()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _enter(self):
        # one recording at a time; a termination request still restores the settings
        self.lock = open(LOCK, "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
        # other users of swap or KSM would change what is recorded
        if len(rd("/proc/swaps").splitlines()) > 1:
            raise OracleError("swap space is in use on this machine; a recording needs it off")
        if rd(KSM + "run") != "0":
            raise OracleError("KSM is running on this machine; a recording needs it stopped")
        self.put(KSM + "run", 0)
        self.put(KSM + "pages_to_scan", 1000000)
        self.put(KSM + "sleep_millisecs", 10000000)
        for name, value in KSM_DEFAULTS:
            self.put(KSM + name, value)
        self.put(KHP + "max_ptes_none", 0)
        self.put(KHP + "scan_sleep_millisecs", 3600000)
        if self.swap:
            f = os.path.join(self.tmp, "swap.%d" % os.getpid())
            with open(f, "wb") as h:
                os.fchmod(h.fileno(), 0o600)
                h.write(b"\0" * (64 << 20))
                h.flush()
                os.fsync(h.fileno())
            subprocess.run(["mkswap", f], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.swapfile = f
            subprocess.run(["swapon", f], check=True)
        time.sleep(0.1)

    def __exit__(self, *a):
        if self.swapfile:
            subprocess.run(["swapoff", self.swapfile])
            os.unlink(self.swapfile)
            self.swapfile = None
        if self.saved:
            with contextlib.suppress(OSError):
                wr(KSM + "run", 2)     # unmerge whatever a crashed run left
                wr(KSM + "run", 0)
        for p, v in reversed(self.saved):
            with contextlib.suppress(OSError):
                wr(p, v)
        self.saved = []
        self.lock.close()

    def config(self):
        c = {"thp": rd(THP + "enabled").split("[")[1].split("]")[0],
             "fault_around_bytes": 65536,
             "swap": bool(self.swap), "khugepaged": False, "ksm_smart_scan": False,
             "ksm_max_page_sharing": int(rd(KSM + "max_page_sharing")),
             "max_map_count": int(rd("/proc/sys/vm/max_map_count")),
             "overcommit_memory": int(rd("/proc/sys/vm/overcommit_memory")),
             "per_vma_lock": True}
        return c


# ---- the executor ------------------------------------------------------------------------------

class Oracle:
    def __init__(self, tmp, cpu=None):
        exe = os.path.join(BUILD, "oracle")
        if not os.path.exists(exe):
            raise OracleError("not built: run make")
        cpu = (os.cpu_count() or 1) - 1 if cpu is None else cpu
        self.p = subprocess.Popen([exe, tmp, str(cpu)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1 << 20)
        self._line()
        self.canon = Canon()
        self.raw = None

    def _line(self):
        l = self.p.stdout.readline()
        if not l:
            raise OracleError("the executor ended (status %s)" % self.p.wait())
        return json.loads(l)

    def _cmd(self, s):
        self.p.stdin.write(s + "\n")
        self.p.stdin.flush()

    def reset(self):
        ksm_set("run", 2)
        for name, value in KSM_DEFAULTS:
            ksm_set(name, value)
        self._cmd("R")
        self._line()
        self.canon = Canon()

    def step(self, op, dump=True):
        """Run one operation -> (result, expanded state or None)"""
        c, body = encode(op)
        err = ksm_set(op["name"], op["value"]) if op["op"] == "ksm_set" else None
        self._cmd("%s %d %s" % (c, 1 if dump else 0, body))
        try:
            raw = self._line()
        except (OracleError, ValueError):
            raise OracleError("the executor failed at " + json.dumps(op)) from None
        self.raw = raw
        res = {"err": err} if err else decode_res(op, raw)
        return res, (self.canon.state(raw) if dump else None)

    def bench(self, ops, runs):
        self._cmd("B %d" % runs)
        for op in ops:
            c, body = encode(op)
            self._cmd("%s 0 %s" % (c, body))
        self._cmd(".")
        return self._line()

    def close(self):
        try:
            self._cmd("Q")
            self.p.stdin.close()
            self.p.wait(30)
        except Exception:
            self.p.kill()
            self.p.wait()


def header(settings, profile, seed, nops=None, note=None):
    h = {"t": "header", "format": statefmt.FORMAT, "kernel": platform.release(), "arch": platform.machine(),
         "page": PAGE, "pmd": PMD, "arena": [hex(ARENA[0]), hex(ARENA[1])], "brk": hex(BRK),
         "files": {"f0": {"kind": "disk", "pages": 32}, "m0": {"kind": "tmpfs", "pages": 32}},
         "profile": profile, "seed": seed, "config": settings.config()}
    if nops is not None:
        h["ops"] = nops
    if note:
        h["note"] = note
    return h


def write_recording(path, head, steps):
    """steps: [(op, res, state)]"""
    old = statefmt.empty_state()
    with statefmt.open_any(path, "w") as f:
        f.write(statefmt.dumps(head) + "\n")
        for i, (op, res, st) in enumerate(steps):
            r = {"t": "op", "i": i, "op": op, "res": res}
            if st is not None:
                r["d"] = statefmt.delta(old, st)
                old = st
            f.write(statefmt.dumps(r) + "\n")


# ---- cross-check against /proc -----------------------------------------------------------------

def verify(raw):
    """Compare a raw dump with maps, smaps and pagemap of every process.  -> list of complaints"""
    bad = []
    for pr in raw["procs"]:
        pid = pr["pid"]
        vm, cur = [], None
        for line in open("/proc/%d/smaps" % pid):
            w = line.split()
            if "-" in w[0] and not w[0].endswith(":"):
                s, e = (int(x, 16) for x in w[0].split("-"))
                cur = None
                if s < ARENA[1] and e > ARENA[0]:
                    cur = [s, e, w[1], int(w[2], 16), w[4], ""]
                    vm.append(cur)
            elif cur is not None and w[0] == "VmFlags:":
                cur[5] = " ".join(w[1:])
        if len(vm) != len(pr["v"]):
            bad.append("slot %d: %d VMAs in smaps, %d in the dump" % (pr["s"], len(vm), len(pr["v"])))
            continue
        for a, b in zip(vm, pr["v"]):
            if (a[0], a[1]) != (b[1], b[2]):
                bad.append("slot %d: range %x-%x / %x-%x" % (pr["s"], a[0], a[1], b[1], b[2]))
            if a[5] != vmflags(b[3]):
                bad.append("slot %d %x: VmFlags %r / %r" % (pr["s"], a[0], a[5], vmflags(b[3])))
            if b[5] and a[3] != b[4] * PAGE:
                bad.append("slot %d %x: offset" % (pr["s"], a[0]))
        ent = {}
        for va, k, pfn, val in pr["e"]:
            for i in range(512 if k == "P" else 1):
                ent[va + i * PAGE] = (k, pfn + i, val)
        g = {p[0]: p for p in raw["pages"]}
        with open("/proc/%d/pagemap" % pid, "rb") as f:
            for b in pr["v"]:
                f.seek(b[1] // PAGE * 8)
                data = f.read((b[2] - b[1]) // PAGE * 8)
                for i in range(0, len(data), 8):
                    w = int.from_bytes(data[i:i + 8], "little")
                    va = b[1] + i // 8 * PAGE
                    e = ent.get(va)
                    present, swapped, fileb, excl = w >> 63 & 1, w >> 62 & 1, w >> 61 & 1, w >> 56 & 1
                    if e is None:
                        if present or swapped:
                            bad.append("slot %d %x: pagemap has %x, no PTE seen" % (pr["s"], va, w))
                    elif e[0] in "pP":
                        if not present or w & (1 << 55) - 1 != e[1]:
                            bad.append("slot %d %x: pagemap %x, PTE frame %x" % (pr["s"], va, w, e[1]))
                        mp = g[e[1]][4]
                        anon = mp & 1
                        if g[e[1]][2] >> 24 & 1:      # zero page
                            continue
                        if bool(fileb) != (not anon):
                            bad.append("slot %d %x: file bit %d, mapping %x" % (pr["s"], va, fileb, mp))
                        # for a PMD mapping the kernel reports the bit of the first small page for all
                        if e[0] == "p" and bool(excl) != (g[e[1]][3] == 1):
                            bad.append("slot %d %x: exclusive bit %d, mapcount %d" % (pr["s"], va, excl, g[e[1]][3]))
                    elif e[0] == "s":
                        typ = e[2] >> 59
                        if typ < 24 and not swapped:
                            bad.append("slot %d %x: swap PTE %x, pagemap %x" % (pr["s"], va, e[2], w))
    return bad
