/**
 * fs/file.c v6.18: the descriptor table.
 *
 * Two levels of 512 entries in tables of the page-table pool (mm_types.ts: files_struct). Fidelity:
 * custom. Each change is one atomic step: files->file_lock and the RCU lookup of fget() are not
 * modelled, because nothing about memory management depends on who wins a race for a descriptor.
 */
import { cpu, read_pte, write_pte } from '../../sim/cpu.ts';
import { GRANULE } from '../../sim/struct.ts';
import { allocTable, freeTable, PTRS_PER_TABLE } from '../../sim/table.ts';
import type { K } from '../../sim/wait.ts';
import { EBADF, EINVAL, EMFILE } from '../errno.ts';
import { current } from '../kernel/current.ts';
import type { file, files_struct, task_struct } from '../mm_types.ts';
import { files_cachep } from '../mm_types.ts';
import { fput, get_file } from './file_table.ts';
import { fput_close_sync } from './fput.ts';
import { O_CLOEXEC } from './fs.ts';

/** RLIMIT_NOFILE of the machine; a descriptor that a recording dictates may be higher. */
const RLIMIT_NOFILE = 1024;
const MAX_FD = PTRS_PER_TABLE * PTRS_PER_TABLE;

/** Slot of a descriptor in the pool, or 0 while its leaf table does not exist. */
function fd_slot(files: files_struct, fd: number): number {
  const leaf = read_pte(files.fdt * PTRS_PER_TABLE + Math.floor(fd / PTRS_PER_TABLE));
  return leaf === 0 ? 0 : leaf * PTRS_PER_TABLE + (fd % PTRS_PER_TABLE);
}

function fd_entry(files: files_struct, fd: number): number {
  const slot = fd >= 0 && fd < MAX_FD ? fd_slot(files, fd) : 0;
  return slot === 0 ? 0 : read_pte(slot);
}

function file_of(entry: number): file | null {
  return entry === 0 ? null : (cpu.handles[Math.floor(entry / 2)] as file);
}

function set_fd_entry(files: files_struct, fd: number, entry: number): void {
  if (fd_slot(files, fd) === 0) {
    if (entry === 0) {
      return;
    }
    const leaf = allocTable();
    write_pte(files.fdt * PTRS_PER_TABLE + Math.floor(fd / PTRS_PER_TABLE), leaf);
  }
  write_pte(fd_slot(files, fd), entry);
}

/** Descriptors from 0 to the end of the last leaf table. */
function fd_end(files: files_struct): number {
  for (let leaf = PTRS_PER_TABLE - 1; leaf >= 0; leaf--) {
    if (read_pte(files.fdt * PTRS_PER_TABLE + leaf) !== 0) {
      return (leaf + 1) * PTRS_PER_TABLE;
    }
  }
  return 0;
}

/** An empty table. */
export function alloc_files(): files_struct {
  const files = files_cachep.alloc();
  files.count = 1;
  files.fdt = allocTable();
  return files;
}

function free_files(files: files_struct): void {
  for (let leaf = 0; leaf < PTRS_PER_TABLE; leaf++) {
    const table = read_pte(files.fdt * PTRS_PER_TABLE + leaf);
    if (table !== 0) {
      freeTable(table);
    }
  }
  freeTable(files.fdt);
  files_cachep.free(files);
}

/** File behind a descriptor without a reference, or null. Descriptors of a table for views. */
export function fileAt(files: files_struct, fd: number): file | null {
  return file_of(fd_entry(files, fd));
}

/** Open descriptors in order. */
export function openDescriptors(files: files_struct): number[] {
  const open: number[] = [];
  const end = fd_end(files);
  for (let fd = 0; fd < end; fd++) {
    if (fd_entry(files, fd) !== 0) {
      open.push(fd);
    }
  }
  return open;
}

/** fs/file.c: fget() v6.18: the file behind a descriptor of `current`, with a reference. */
export function fget(fd: number): file | null {
  const files = current().files;
  const file = files === null ? null : fileAt(files, fd);
  return file === null ? null : get_file(file);
}

/** fs/file.c: get_unused_fd_flags() v6.18: the lowest free descriptor from `start`, or -EMFILE. */
export function get_unused_fd(files: files_struct, start = 0): number {
  for (let fd = start; fd < RLIMIT_NOFILE; fd++) {
    if (fd_entry(files, fd) === 0) {
      return fd;
    }
  }
  return -EMFILE;
}

/** fs/file.c: fd_install() v6.18: the caller's reference becomes the table's. */
export function fd_install(files: files_struct, fd: number, file: file, flags: number): void {
  const cloexec = (flags & O_CLOEXEC) === 0 ? 0 : 1;
  set_fd_entry(files, fd, (file.addr / GRANULE) * 2 + cloexec);
}

/** fs/file.c: file_close_fd() v6.18: takes a file out of the table; its reference becomes the caller's. */
export function file_close_fd(files: files_struct, fd: number): file | null {
  const file = fileAt(files, fd);
  if (file !== null) {
    set_fd_entry(files, fd, 0);
  }
  return file;
}

/** fs/open.c: close() v6.18. */
export function* close(fd: number): K<number> {
  const files = current().files;
  const file = files === null ? null : file_close_fd(files, fd);
  if (file === null) {
    return -EBADF;
  }
  yield* fput_close_sync(file);
  return 0;
}

/** fs/file.c: do_dup2() v6.18: the file that was open there is released on the way out. */
function do_dup2(files: files_struct, file: file, fd: number, flags: number): number {
  const tofree = fileAt(files, fd);
  get_file(file);
  fd_install(files, fd, file, flags);
  if (tofree !== null) {
    fput(tofree);
  }
  return fd;
}

/** fs/file.c: dup() v6.18. `fd` forces the number, as a recording dictates. */
export function* dup(fildes: number, fd?: number): K<number> {
  const files = current().files;
  const file = fget(fildes);
  if (files === null || file === null) {
    return -EBADF;
  }
  const newfd = fd ?? get_unused_fd(files);
  if (newfd < 0) {
    fput(file);
    return newfd;
  }
  fd_install(files, newfd, file, 0);
  return newfd;
}

/** fs/file.c: ksys_dup3() v6.18. */
export function* ksys_dup3(oldfd: number, newfd: number, flags: number): K<number> {
  if ((flags & ~O_CLOEXEC) !== 0) {
    return -EINVAL;
  }
  if (oldfd === newfd) {
    return -EINVAL;
  }
  if (newfd < 0 || newfd >= MAX_FD) {
    return -EBADF;
  }
  const files = current().files;
  const file = files === null ? null : fileAt(files, oldfd);
  if (files === null || file === null) {
    return -EBADF;
  }
  return do_dup2(files, file, newfd, flags);
}

/** fs/file.c: dup2() v6.18: equal descriptors are not an error, unlike dup3(). */
export function* dup2(oldfd: number, newfd: number): K<number> {
  if (oldfd === newfd) {
    const files = current().files;
    return files === null || fileAt(files, oldfd) === null ? -EBADF : oldfd;
  }
  return yield* ksys_dup3(oldfd, newfd, 0);
}

/** fs/file.c: dup_fd() v6.18: a copy of the table; every open file gets one more reference. */
export function dup_fd(oldf: files_struct): files_struct {
  const newf = alloc_files();
  for (const fd of openDescriptors(oldf)) {
    const entry = fd_entry(oldf, fd);
    const file = file_of(entry);
    if (file !== null) {
      get_file(file);
      set_fd_entry(newf, fd, entry);
    }
  }
  return newf;
}

/** fs/file.c: close_files() v6.18: every file goes through filp_close(), and the last references at exit. */
function close_files(files: files_struct): void {
  for (const fd of openDescriptors(files)) {
    const file = file_close_fd(files, fd);
    if (file !== null) {
      fput(file);
    }
  }
}

/** fs/file.c: put_files_struct() v6.18. */
export function put_files_struct(files: files_struct): void {
  files.count = files.count - 1;
  if (files.count === 0) {
    close_files(files);
    free_files(files);
  }
}

/** fs/file.c: exit_files() v6.18. */
export function* exit_files(tsk: task_struct): K {
  const files = tsk.files;
  if (files !== null) {
    // Linux clears the pointer under task_lock(), against /proc/PID/fd.
    tsk.files = null;
    put_files_struct(files);
  }
}

/** kernel/fork.c: unshare_files() v6.18: execve() wants a table of its own. */
export function* unshare_files(): K<number> {
  const task = current();
  const old = task.files;
  if (old === null || old.count === 1) {
    return 0;
  }
  const copy = dup_fd(old);
  task.files = copy;
  put_files_struct(old);
  return 0;
}

/** fs/file.c: do_close_on_exec() v6.18. */
export function* do_close_on_exec(files: files_struct): K {
  for (const fd of openDescriptors(files)) {
    if (fd_entry(files, fd) % 2 === 1) {
      const file = file_close_fd(files, fd);
      if (file !== null) {
        fput(file);
      }
    }
  }
}
