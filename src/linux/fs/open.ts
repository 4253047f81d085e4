/**
 * fs/open.c, fs/namei.c, mm/memfd.c v6.18: open, ftruncate, memfd_create.
 *
 * There is no disk: a path that nobody named before is a file that "was there". Its size is what the
 * operation says, else DEFAULT_FILE_SIZE, which is larger than any mapping of it, because write() is not
 * simulated and a recorded program rarely says how large its files are. O_TRUNC and O_CREAT|O_EXCL
 * make an empty file. Fidelity: custom; permissions, symbolic links and directories are not here.
 */
import { assert } from '../../base/assert.ts';
import type { K } from '../../sim/wait.ts';
import { EACCES, EBADF, EEXIST, EFBIG, EINVAL, EISDIR, ENODEV, ENOENT } from '../errno.ts';
import { current } from '../kernel/current.ts';
import { down_write, up_write } from '../kernel/locking/rwsem.ts';
import { FMODE_WRITE, FS_DEV_ZERO, FS_DISK, FS_TMPFS } from '../mm/mm.ts';
import { shmemPunchHole } from '../mm/shmem.ts';
import { truncate_pagecache_range, truncate_setsize } from '../mm/truncate.ts';
import type { address_space, file, files_struct, inode } from '../mm_types.ts';
import { fd_install, fileAt, get_unused_fd } from './file.ts';
import { alloc_file_pseudo, fput, get_file } from './file_table.ts';
import {
  FS_DIRECTORY,
  FS_NO_MMAP,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_NOEXEC_SEAL,
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
} from './fs.ts';
import { alloc_inode, linkInode, lookupInode } from './inode.ts';

/** Size of a file of which nobody says how large it is: 1 GiB. */
export const DEFAULT_FILE_SIZE = 2 ** 30;
/** MAX_LFS_FILESIZE, cut down to what a page offset of the simulator holds exactly. */
const MAX_FILE_SIZE = 2 ** 48;

/** What an operation may say about the file it opens or maps. */
export interface FileFacts {
  readonly size?: number | null;
  /** `disk`, `tmpfs`, `zero`, `device`, `directory`; also the words of a recording: `file`, `memfd`. */
  readonly kind?: string;
  /** The file is not there: open() without O_CREAT gives ENOENT. */
  readonly missing?: boolean;
}

const kinds: Readonly<Record<string, number>> = {
  file: FS_DISK,
  disk: FS_DISK,
  tmpfs: FS_TMPFS,
  memfd: FS_TMPFS,
  shm: FS_TMPFS,
  zero: FS_DEV_ZERO,
  device: FS_NO_MMAP,
  pipe: FS_NO_MMAP,
  socket: FS_NO_MMAP,
  other: FS_NO_MMAP,
  directory: FS_DIRECTORY,
};

/** Which file system a path is on, when nobody says. */
function kind_of_path(path: string): number {
  if (path === '/dev/zero') {
    return FS_DEV_ZERO;
  }
  if (path.startsWith('/dev/shm/') || path.startsWith('/memfd:') || path.startsWith('memfd:')) {
    return FS_TMPFS;
  }
  if (path.startsWith('/dev/') || path.startsWith('/proc/') || path.startsWith('/sys/')) {
    return FS_NO_MMAP;
  }
  return FS_DISK;
}

/** The inode of a path, met before or new, with a reference. */
export function findOrMakeInode(path: string, facts: FileFacts, newSize: number): inode {
  const known = lookupInode(path);
  if (known !== null) {
    return known;
  }
  const kind = kinds[facts.kind ?? ''] ?? kind_of_path(path);
  const inode = alloc_inode(path, kind, facts.size ?? newSize);
  linkInode(inode);
  return inode;
}

function is_regular(inode: inode): boolean {
  return inode.i_kind === FS_DISK || inode.i_kind === FS_TMPFS;
}

/** The errors of do_filp_open() that the simulator can tell, in its order. */
function may_open(inode: inode, existed: boolean, flags: number): number {
  if (existed && (flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) {
    return -EEXIST;
  }
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  if (inode.i_kind === FS_DIRECTORY && (writes || (flags & O_CREAT) !== 0)) {
    return -EISDIR;
  }
  return 0;
}

/**
 * fs/open.c: do_sys_openat2() v6.18 as far as descriptors and sizes go. `fd` forces the descriptor, as a
 * recording dictates; a file open there is dropped. Returns the descriptor or a negative errno.
 */
export function* openFile(path: string, flags: number, facts: FileFacts, fd?: number): K<number> {
  const files = current().files as files_struct;
  const newfd = fd ?? get_unused_fd(files);
  if (newfd < 0) {
    return newfd;
  }
  const known = lookupInode(path);
  if (known === null && facts.missing === true && (flags & O_CREAT) === 0) {
    return -ENOENT;
  }
  const fresh = (flags & O_TRUNC) !== 0 || (flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL);
  const directory = (flags & O_DIRECTORY) !== 0 ? { ...facts, kind: 'directory' } : facts;
  const inode = known ?? findOrMakeInode(path, directory, fresh ? 0 : DEFAULT_FILE_SIZE);
  const error = may_open(inode, known !== null, flags);
  if (error !== 0) {
    inode.i_count = inode.i_count - 1;
    return error;
  }
  const file = alloc_file_pseudo(inode, flags);
  if ((flags & O_PATH) !== 0) {
    file.f_mode = 0;
  }
  if (known !== null && (flags & O_TRUNC) !== 0 && is_regular(inode)) {
    // handle_truncate(): whoever maps the file loses its pages.
    yield* setSizeLocked(inode, 0);
  }
  const old = fileAt(files, newfd);
  fd_install(files, newfd, file, flags);
  if (old !== null) {
    fput(old);
  }
  return newfd;
}

/** mm/memfd.c: memfd_create() v6.18: an empty tmpfs file without a name. */
export function* memfd_create(name: string, mfd_flags: number, fd?: number): K<number> {
  const known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
  // MFD_HUGETLB needs hugetlbfs, which the machine does not have.
  if ((mfd_flags & ~known) !== 0) {
    return -EINVAL;
  }
  if ((mfd_flags & MFD_EXEC) !== 0 && (mfd_flags & MFD_NOEXEC_SEAL) !== 0) {
    return -EINVAL;
  }
  const files = current().files as files_struct;
  const newfd = fd ?? get_unused_fd(files);
  if (newfd < 0) {
    return newfd;
  }
  const inode = alloc_inode(`memfd:${name}`, FS_TMPFS, 0);
  const file = alloc_file_pseudo(inode, O_RDWR);
  const old = fileAt(files, newfd);
  fd_install(files, newfd, file, (mfd_flags & MFD_CLOEXEC) === 0 ? 0 : O_CLOEXEC);
  if (old !== null) {
    fput(old);
  }
  return newfd;
}

/** fs/open.c: do_sys_ftruncate() v6.18. Preconditions: no locks held. */
export function* ftruncate(fd: number, length: number): K<number> {
  if (length < 0) {
    return -EINVAL;
  }
  const files = current().files as files_struct;
  const found = fileAt(files, fd);
  if (found === null) {
    return -EBADF;
  }
  const file = get_file(found);
  const error = yield* do_ftruncate(file, length);
  fput(file);
  return error;
}

/**
 * do_truncate() and the setattr() of file systems: the new size under i_rwsem. On a disk also under
 * invalidate_lock, so that no page is read in behind its back; shmem_setattr() does without.
 */
function* setSizeLocked(inode: inode, length: number): K {
  const mapping = inode.i_mapping as address_space;
  const isDisk = inode.i_kind === FS_DISK;
  yield* down_write(inode.i_rwsem);
  if (isDisk) {
    yield* down_write(mapping.invalidate_lock);
  }
  yield* truncate_setsize(inode, length);
  if (isDisk) {
    up_write(mapping.invalidate_lock);
  }
  up_write(inode.i_rwsem);
}

/** fs/open.c: do_ftruncate() v6.18. */
function* do_ftruncate(file: file, length: number): K<number> {
  const inode = file.f_inode;
  assert(inode !== null, 'an open file has an inode');
  if (!is_regular(inode) || (file.f_mode & FMODE_WRITE) === 0) {
    return -EINVAL;
  }
  if (length > MAX_FILE_SIZE) {
    return -EFBIG;
  }
  yield* setSizeLocked(inode, length);
  return 0;
}

/** fs/open.c: vfs_fallocate() v6.18 with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE. */
export function* punch_hole(fd: number, offset: number, length: number): K<number> {
  if (offset < 0 || length <= 0) {
    return -EINVAL;
  }
  const files = current().files as files_struct;
  const found = fileAt(files, fd);
  const inode = found?.f_inode ?? null;
  if (found === null || inode === null || (found.f_mode & FMODE_WRITE) === 0) {
    return -EBADF;
  }
  const file = get_file(found);
  const error = yield* punchHole(file, offset, length);
  fput(file);
  return error;
}

/** vfs_fallocate() with PUNCH_HOLE and KEEP_SIZE of an open file. Preconditions: a reference to it is held. */
export function* punchHole(file: file, offset: number, length: number): K<number> {
  const inode = file.f_inode;
  if (inode === null || !is_regular(inode)) {
    return -ENODEV;
  }
  yield* down_write(inode.i_rwsem);
  if (inode.i_kind === FS_TMPFS) {
    yield* shmemPunchHole(inode, offset, length);
  } else {
    const mapping = inode.i_mapping as address_space;
    yield* down_write(mapping.invalidate_lock);
    yield* truncate_pagecache_range(inode, offset, offset + length - 1);
    up_write(mapping.invalidate_lock);
  }
  up_write(inode.i_rwsem);
  return 0;
}

/**
 * Makes descriptor `fd` refer to the file that a recording says it referred to, unless it already does.
 * Recordings name the file of each mmap(); descriptors inherited or received over sockets have no open().
 */
export function installRecordedFile(
  fd: number,
  path: string,
  facts: FileFacts,
  readable: boolean,
  writable: boolean,
): number {
  const files = current().files as files_struct;
  const inode = findOrMakeInode(path, facts, DEFAULT_FILE_SIZE);
  if (facts.size !== undefined && facts.size !== null && facts.size > inode.i_size) {
    inode.i_size = facts.size;
  }
  const flags = writable ? (readable ? O_RDWR : O_WRONLY) : O_RDONLY;
  const old = fileAt(files, fd);
  if (old !== null && old.f_inode === inode && (old.f_flags & O_ACCMODE) === flags) {
    inode.i_count = inode.i_count - 1;
    return 0;
  }
  if (!readable && !writable) {
    inode.i_count = inode.i_count - 1;
    return -EACCES;
  }
  fd_install(files, fd, alloc_file_pseudo(inode, flags), 0);
  if (old !== null) {
    fput(old);
  }
  return 0;
}
