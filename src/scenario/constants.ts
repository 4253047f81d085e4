/**
 * Linux constants by name, with the values of x86-64 user space headers (6.18). What `A|B` means is
 * computed from this table only, so a name that is not here cannot be used by mistake for 0.
 */
import { errnoByName } from './errno.ts';

/** PROT_*: mmap, mprotect. */
const protConstants = {
  PROT_READ: 1,
  PROT_WRITE: 2,
  PROT_EXEC: 4,
  PROT_SEM: 8,
  PROT_NONE: 0,
  PROT_GROWSDOWN: 0x1000000,
  PROT_GROWSUP: 0x2000000,
};

/** MAP_*: mmap. */
const mapConstants = {
  MAP_FIXED: 0x10,
  MAP_ANONYMOUS: 0x20,
  MAP_POPULATE: 0x8000,
  MAP_NONBLOCK: 0x10000,
  MAP_STACK: 0x20000,
  MAP_HUGETLB: 0x40000,
  MAP_SYNC: 0x80000,
  MAP_FIXED_NOREPLACE: 0x100000,
  MAP_UNINITIALIZED: 0x4000000,
  MAP_FILE: 0,
  MAP_GROWSDOWN: 0x100,
  MAP_DENYWRITE: 0x800,
  MAP_EXECUTABLE: 0x1000,
  MAP_LOCKED: 0x2000,
  MAP_NORESERVE: 0x4000,
  MAP_SHARED: 1,
  MAP_PRIVATE: 2,
  MAP_SHARED_VALIDATE: 3,
  MAP_ANON: 0x20,
  MAP_32BIT: 0x40,
  MAP_ABOVE4G: 0x80,
  MAP_DROPPABLE: 8,
  MAP_HUGE_2MB: 0x54000000,
  MAP_HUGE_1GB: 0x78000000,
};

/** MADV_*: madvise. */
const madvConstants = {
  MADV_NORMAL: 0,
  MADV_RANDOM: 1,
  MADV_SEQUENTIAL: 2,
  MADV_WILLNEED: 3,
  MADV_DONTNEED: 4,
  MADV_FREE: 8,
  MADV_REMOVE: 9,
  MADV_DONTFORK: 10,
  MADV_DOFORK: 11,
  MADV_HWPOISON: 100,
  MADV_SOFT_OFFLINE: 101,
  MADV_MERGEABLE: 12,
  MADV_UNMERGEABLE: 13,
  MADV_HUGEPAGE: 14,
  MADV_NOHUGEPAGE: 15,
  MADV_DONTDUMP: 16,
  MADV_DODUMP: 17,
  MADV_WIPEONFORK: 18,
  MADV_KEEPONFORK: 19,
  MADV_COLD: 20,
  MADV_PAGEOUT: 21,
  MADV_POPULATE_READ: 22,
  MADV_POPULATE_WRITE: 23,
  MADV_DONTNEED_LOCKED: 24,
  MADV_COLLAPSE: 25,
  MADV_GUARD_INSTALL: 102,
  MADV_GUARD_REMOVE: 103,
};

/** MREMAP_*: mremap. */
const mremapConstants = {
  MREMAP_MAYMOVE: 1,
  MREMAP_FIXED: 2,
  MREMAP_DONTUNMAP: 4,
};

/** MLOCK_*: mlock2. */
const mlockConstants = {
  MLOCK_ONFAULT: 1,
};

/** MCL_*: mlockall. */
const mclConstants = {
  MCL_CURRENT: 1,
  MCL_FUTURE: 2,
  MCL_ONFAULT: 4,
};

/** MS_*: msync. */
const msConstants = {
  MS_ASYNC: 1,
  MS_INVALIDATE: 2,
  MS_SYNC: 4,
};

/** FOLL_*: pin. Kernel-internal (include/linux/mm_types.h); 0 pins for a device that reads. */
const follConstants = {
  FOLL_WRITE: 1,
  FOLL_FORCE: 8,
  FOLL_LONGTERM: 0x100,
};

/** MFD_*: memfd_create. */
const mfdConstants = {
  MFD_CLOEXEC: 1,
  MFD_ALLOW_SEALING: 2,
  MFD_HUGETLB: 4,
  MFD_NOEXEC_SEAL: 8,
  MFD_EXEC: 0x10,
  MFD_HUGE_2MB: 0x54000000,
  MFD_HUGE_1GB: 0x78000000,
};

/** PIDFD_*: process_madvise. */
const pidfdConstants = {
  PIDFD_SELF: -10000,
  PIDFD_SELF_THREAD: -10000,
  PIDFD_SELF_PROCESS: -10001,
  PIDFD_SELF_THREAD_GROUP: -10001,
};

/** CLONE_*: clone, clone3. */
const cloneConstants = {
  CLONE_VM: 0x100,
  CLONE_FS: 0x200,
  CLONE_FILES: 0x400,
  CLONE_SIGHAND: 0x800,
  CLONE_PIDFD: 0x1000,
  CLONE_PTRACE: 0x2000,
  CLONE_VFORK: 0x4000,
  CLONE_PARENT: 0x8000,
  CLONE_THREAD: 0x10000,
  CLONE_NEWNS: 0x20000,
  CLONE_SYSVSEM: 0x40000,
  CLONE_SETTLS: 0x80000,
  CLONE_PARENT_SETTID: 0x100000,
  CLONE_CHILD_CLEARTID: 0x200000,
  CLONE_DETACHED: 0x400000,
  CLONE_UNTRACED: 0x800000,
  CLONE_CHILD_SETTID: 0x1000000,
  CLONE_NEWCGROUP: 0x2000000,
  CLONE_NEWUTS: 0x4000000,
  CLONE_NEWIPC: 0x8000000,
  CLONE_NEWUSER: 0x10000000,
  CLONE_NEWPID: 0x20000000,
  CLONE_NEWNET: 0x40000000,
  CLONE_IO: 0x80000000,
  CLONE_CLEAR_SIGHAND: 0x100000000,
  CLONE_INTO_CGROUP: 0x200000000,
  CLONE_NEWTIME: 0x80,
};

/** O_*: open, openat. */
const openConstants = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0x40,
  O_EXCL: 0x80,
  O_NOCTTY: 0x100,
  O_TRUNC: 0x200,
  O_APPEND: 0x400,
  O_NONBLOCK: 0x800,
  O_DSYNC: 0x1000,
  O_DIRECT: 0x4000,
  O_LARGEFILE: 0x8000,
  O_DIRECTORY: 0x10000,
  O_NOFOLLOW: 0x20000,
  O_NOATIME: 0x40000,
  O_CLOEXEC: 0x80000,
  O_PATH: 0x200000,
  O_NDELAY: 0x800,
  O_SYNC: 0x101000,
  O_TMPFILE: 0x410000,
};

/** FALLOC_FL_*: fallocate. */
const fallocateConstants = {
  FALLOC_FL_KEEP_SIZE: 1,
  FALLOC_FL_PUNCH_HOLE: 2,
  FALLOC_FL_NO_HIDE_STALE: 4,
  FALLOC_FL_COLLAPSE_RANGE: 8,
  FALLOC_FL_ZERO_RANGE: 0x10,
  FALLOC_FL_INSERT_RANGE: 0x20,
  FALLOC_FL_UNSHARE_RANGE: 0x40,
};

/** F_*: fcntl. */
const fcntlConstants = {
  F_DUPFD: 0,
  F_GETFD: 1,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  F_DUPFD_CLOEXEC: 1030,
  F_ADD_SEALS: 1033,
  F_GET_SEALS: 1034,
  F_SEAL_SEAL: 1,
  F_SEAL_SHRINK: 2,
  F_SEAL_GROW: 4,
  F_SEAL_WRITE: 8,
  F_SEAL_FUTURE_WRITE: 16,
  F_SEAL_EXEC: 32,
};

/** AT_*: openat and its kin. */
const atConstants = {
  AT_FDCWD: -100,
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_EMPTY_PATH: 0x1000,
};

/** PR_*: prctl. */
const prctlConstants = {
  PR_SET_NAME: 15,
  PR_SET_THP_DISABLE: 41,
  PR_GET_THP_DISABLE: 42,
  PR_SET_MDWE: 65,
  PR_GET_MDWE: 66,
  PR_SET_MEMORY_MERGE: 67,
  PR_GET_MEMORY_MERGE: 68,
  PR_SET_VMA: 0x53564d41,
};

/** SIG*: signals. */
const sigConstants = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGIOT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGLOST: 29,
  SIGPWR: 30,
  SIGSYS: 31,
  SIGUNUSED: 31,
};

/** Families: the prefix their names share, and their members. */
const families: readonly (readonly [prefix: string, members: Readonly<Record<string, number>>])[] =
  [
    ['PROT_', protConstants],
    ['MAP_', mapConstants],
    ['MADV_', madvConstants],
    ['MREMAP_', mremapConstants],
    ['MLOCK_', mlockConstants],
    ['MCL_', mclConstants],
    ['MS_', msConstants],
    ['FOLL_', follConstants],
    ['MFD_', mfdConstants],
    ['PIDFD_', pidfdConstants],
    ['CLONE_', cloneConstants],
    ['O_', openConstants],
    ['FALLOC_FL_', fallocateConstants],
    ['F_', fcntlConstants],
    ['AT_', atConstants],
    ['PR_', prctlConstants],
    ['SIG', sigConstants],
  ];

const valueByName = new Map<string, number>([['NULL', 0]]);
for (const [, members] of families) {
  for (const [name, value] of Object.entries(members)) valueByName.set(name, value);
}

/** The value of a constant's name; errno names are their positive numbers. */
export function constantValue(name: string): number | undefined {
  return valueByName.get(name) ?? errnoByName.get(name);
}

/** Every name of the family with this prefix, `PROT_` for example; empty when there is none. */
export function constantsWithPrefix(prefix: string): readonly string[] {
  const family = families.find(([known]) => known === prefix);
  return family === undefined ? [] : Object.keys(family[1]);
}

/** The prefix of the family that `name` belongs to, or claims to: `MAP_` for `MAP_PRIVAT`. */
export function familyPrefixOf(name: string): string | undefined {
  return families.find(([prefix]) => name.startsWith(prefix) && name.length > prefix.length)?.[0];
}

/** Every constant's name, errno names not included. */
export function constantNames(): Iterable<string> {
  return valueByName.keys();
}

/** The names of a family whose bits make up `value`, joined with `|`; what is left over in hex. */
export function flagNames(prefix: string, value: number): string {
  const family = families.find(([known]) => known === prefix)?.[1] ?? {};
  const whole = Object.entries(family).find(([, bits]) => bits === value);
  if (whole !== undefined) return whole[0];
  const names: string[] = [];
  let rest = value;
  for (const [name, bits] of Object.entries(family)) {
    if (bits > 0 && exactAnd(rest, bits) === bits) {
      names.push(name);
      rest -= bits;
    }
  }
  if (rest !== 0 || names.length === 0) names.push(`0x${rest.toString(16)}`);
  return names.join('|');
}

const twoTo32 = 0x1_0000_0000;

/** `a | b` for whole numbers from 0 to 2^53: JavaScript's own operator keeps 32 bits only. */
export function exactOr(a: number, b: number): number {
  const high = (Math.floor(a / twoTo32) | Math.floor(b / twoTo32)) >>> 0;
  return high * twoTo32 + (((a % twoTo32) | (b % twoTo32)) >>> 0);
}

/** `a & b` for whole numbers from 0 to 2^53. */
export function exactAnd(a: number, b: number): number {
  const high = (Math.floor(a / twoTo32) & Math.floor(b / twoTo32)) >>> 0;
  return high * twoTo32 + (((a % twoTo32) & (b % twoTo32)) >>> 0);
}
