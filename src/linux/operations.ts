/**
 * From an operation of a scenario to a kernel function: the system call table, user memory accesses and
 * the work of kernel tasks. Arguments are already evaluated (numbers, texts, arrays, null for what a
 * trace did not tell). What the driver knows besides is in `options`:
 *
 *   pid     fork: the child's pid            fd      open, dup, memfd_create: the descriptor
 *   name    fork: the child's name           size, kind, missing   open, execve: the file
 *   image, brk, mmapBase   execve            place   mmap, mremap: where it went in the recording
 *   file    {path, kind, size, readable, writable} behind the descriptor of mmap, ftruncate, fallocate
 *
 * A result is what the system call returns: negative errno on failure. Accesses that fault return
 * -EFAULT after signal:signal_deliver. Fidelity: the checks of the system call entry points themselves
 * (mm/mmap.c: ksys_mmap_pgoff() and the like) are in their kernel files; here is only what a C library
 * and the entry code do, @stepless: without steps of its own.
 */
import { assert, InternalError } from '../base/assert.ts';
import type { Operation } from '../sim/machine.ts';
import { currentTask } from '../sim/task.ts';
import type { K } from '../sim/wait.ts';
import { user_load, user_store } from './arch/x86/mm/fault.ts';
import { EBADF, EINVAL, EOPNOTSUPP } from './errno.ts';
import { do_execve } from './fs/exec.ts';
import { close, dup, dup2, fileAt, ksys_dup3 } from './fs/file.ts';
import { task_work_run } from './fs/fput.ts';
import { O_CREAT, O_TRUNC, O_WRONLY } from './fs/fs.ts';
import {
  type FileFacts,
  ftruncate,
  installRecordedFile,
  memfd_create,
  openFile,
  punch_hole,
} from './fs/open.ts';
import { current, current_mm } from './kernel/current.ts';
import { checkReturnToUser, do_exit, do_group_exit, putDeadTask } from './kernel/exit.ts';
import { kernel_clone } from './kernel/fork.ts';
import { rcu_do_batch, synchronize_rcu } from './kernel/rcu.ts';
import {
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
  PF_EXITING,
  SIGKILL,
} from './kernel/sched.ts';
import { sys_prctl } from './kernel/sys.ts';
import { memory_manager } from './kernel.ts';
import { compactRange } from './mm/compaction.ts';
import { failNextAllocation } from './mm/failslab.ts';
import { FOLL_WRITE } from './mm/gup_ref.ts';
import { collapseAt } from './mm/khugepaged.ts';
import { scanHugeMemory } from './mm/khugepaged_scan.ts';
import { scanMergeablePages } from './mm/ksm_scan.ts';
import { storeKsmSetting } from './mm/ksm_sysfs.ts';
import { kswapdRound } from './mm/kswapd.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  VM_WRITE,
} from './mm/mm.ts';
import { do_mseal } from './mm/mseal.ts';
import { sys_msync } from './mm/msync.ts';
import { NODE_DATA } from './mm/node.ts';
import type { mlock_ops } from './mm/ops.ts';
import { sys_pkey_alloc, sys_pkey_free } from './mm/pkeys.ts';
import { type iovec, process_madvise } from './mm/process_madvise.ts';
import { remap_file_pages } from './mm/remap_file_pages.ts';
import { splitAt } from './mm/split_at.ts';
import { lru_add_drain } from './mm/swap.ts';
import { swapoff } from './mm/swapoff.ts';
import { deviceLoad, deviceStore, pinAt, unpinAt } from './mm/user_pin.ts';
import { vmaTreeFind, vmaTreeWalk } from './mm/vma_tree.ts';
import { mkcleanAt } from './mm/writeback_at.ts';
import type { files_struct } from './mm_types.ts';

type Handler = (op: Operation) => K<number>;

// ---------------------------------------------------------------- arguments

function numberArg(op: Operation, index: number, otherwise = 0): number {
  const value = op.args[index];
  return typeof value === 'number' ? value : otherwise;
}

/** A protection key: an int, whose upper half nobody looks at. */
function keyArg(op: Operation, index: number): number {
  return Number(BigInt.asIntN(32, BigInt(numberArg(op, index))));
}

function textArg(op: Operation, index: number): string {
  const value = op.args[index];
  return typeof value === 'string' ? value : '';
}

function numberOption(op: Operation, name: string): number | undefined {
  const value = op.options?.[name];
  return typeof value === 'number' ? value : undefined;
}

function textOption(op: Operation, name: string): string | undefined {
  const value = op.options?.[name];
  return typeof value === 'string' ? value : undefined;
}

/** Size, kind and absence of the file an operation opens. */
function fileFacts(facts: Readonly<Record<string, unknown>> | undefined): FileFacts {
  const size = facts?.size;
  const kind = facts?.kind;
  return {
    ...(typeof size === 'number' ? { size } : {}),
    ...(typeof kind === 'string' ? { kind } : {}),
    ...(facts?.missing === true ? { missing: true } : {}),
  };
}

/** Makes a descriptor refer to what the recording says. 0, or a negative errno. */
function recordedFile(op: Operation, fd: number): number {
  const file = op.options?.file as Readonly<Record<string, unknown>> | undefined;
  if (file === undefined || fd < 0) {
    return 0;
  }
  const path = typeof file.path === 'string' ? file.path : `fd ${fd}`;
  const facts = fileFacts(file);
  return installRecordedFile(fd, path, facts, file.readable !== false, file.writable === true);
}

// ---------------------------------------------------------------- memory

/**
 * Whether a mapping can be made where a recording shows it. A hint would not do: a file's huge-page
 * alignment searches for more than the length and passes a hint over.
 */
function isPlaceFree(op: Operation, len: number, flags: number): boolean {
  const place = numberOption(op, 'place');
  if (place === undefined || len <= 0 || (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
    return false;
  }
  return vmaTreeFind(current_mm(), place, place + len) === null;
}

function* op_mmap(op: Operation): K<number> {
  const len = numberArg(op, 1);
  const prot = numberArg(op, 2);
  const flags = numberArg(op, 3);
  const fd = numberArg(op, 4, -1);
  const off = numberArg(op, 5);
  if ((flags & MAP_ANONYMOUS) === 0) {
    const error = recordedFile(op, fd);
    if (error !== 0) {
      return error;
    }
  }
  if (isPlaceFree(op, len, flags)) {
    const place = numberOption(op, 'place') ?? 0;
    return yield* memory_manager().mmap(place, len, prot, flags | MAP_FIXED_NOREPLACE, fd, off);
  }
  return yield* memory_manager().mmap(numberArg(op, 0), len, prot, flags, fd, off);
}

function* op_munmap(op: Operation): K<number> {
  return yield* memory_manager().munmap(numberArg(op, 0), numberArg(op, 1));
}

function* op_mprotect(op: Operation): K<number> {
  return yield* memory_manager().mprotect(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2), -1);
}

function* op_pkey_mprotect(op: Operation): K<number> {
  const prot = numberArg(op, 2);
  return yield* memory_manager().mprotect(numberArg(op, 0), numberArg(op, 1), prot, keyArg(op, 3));
}

function* op_pkey_alloc(op: Operation): K<number> {
  return yield* sys_pkey_alloc(numberArg(op, 0), numberArg(op, 1));
}

function* op_pkey_free(op: Operation): K<number> {
  return yield* sys_pkey_free(keyArg(op, 0));
}

function* op_remap_file_pages(op: Operation): K<number> {
  const [prot, pgoff, flags] = [numberArg(op, 2), numberArg(op, 3), numberArg(op, 4)];
  return yield* remap_file_pages(numberArg(op, 0), numberArg(op, 1), prot, pgoff, flags);
}

/** The array of struct iovec that an argument stands for. */
function iovecArg(op: Operation, index: number): iovec[] {
  const value = op.args[index];
  return (Array.isArray(value) ? value : []).map((part: unknown) => {
    const [base, len] = Array.isArray(part) ? (part as unknown[]) : [];
    return {
      iov_base: typeof base === 'number' ? base : 0,
      iov_len: typeof len === 'number' ? len : 0,
    };
  });
}

function* op_process_madvise(op: Operation): K<number> {
  const vec = iovecArg(op, 1);
  const [behavior, flags] = [numberArg(op, 3), numberArg(op, 4)];
  return yield* process_madvise(numberArg(op, 0), vec, numberArg(op, 2), behavior, flags);
}

function* op_mremap(op: Operation): K<number> {
  const addr = numberArg(op, 0);
  const new_len = numberArg(op, 2);
  let flags = numberArg(op, 3);
  let new_addr = numberArg(op, 4);
  const place = numberOption(op, 'place');
  // A recorded move went where its kernel chose; the same move is made to a fixed place if that is free.
  if (place !== undefined && place !== addr && (flags & (MREMAP_MAYMOVE | MREMAP_FIXED)) === 1) {
    if (vmaTreeFind(current_mm(), place, place + new_len) === null) {
      flags = flags | MREMAP_FIXED;
      new_addr = place;
    }
  }
  return yield* memory_manager().mremap(addr, numberArg(op, 1), new_len, flags, new_addr);
}

function* op_brk(op: Operation): K<number> {
  return yield* memory_manager().brk(numberArg(op, 0));
}

function* op_madvise(op: Operation): K<number> {
  return yield* memory_manager().madvise(
    current_mm(),
    numberArg(op, 0),
    numberArg(op, 1),
    numberArg(op, 2),
  );
}

/** mlock() and its relatives as the running kernel has them. */
function mlock_hooks(): mlock_ops {
  const { mlock } = memory_manager();
  assert(mlock !== undefined, 'mlock is not missing');
  return mlock;
}

function* op_mlock(op: Operation): K<number> {
  return yield* mlock_hooks().mlock(numberArg(op, 0), numberArg(op, 1));
}

function* op_mlock2(op: Operation): K<number> {
  return yield* mlock_hooks().mlock2(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
}

function* op_munlock(op: Operation): K<number> {
  return yield* mlock_hooks().munlock(numberArg(op, 0), numberArg(op, 1));
}

function* op_mlockall(op: Operation): K<number> {
  return yield* mlock_hooks().mlockall(numberArg(op, 0));
}

function* op_munlockall(_op: Operation): K<number> {
  return yield* mlock_hooks().munlockall();
}

function* op_mseal(op: Operation): K<number> {
  return yield* do_mseal(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
}

/** Reads a range; the result is its first byte. */
function* op_load(op: Operation): K<number> {
  const from = numberArg(op, 0);
  const end = from + numberArg(op, 1, 1);
  const first = yield* user_load(from);
  let at = from - (from % PAGE_SIZE) + PAGE_SIZE;
  let result = first;
  while (result >= 0 && at < end) {
    result = yield* user_load(at);
    at = at + PAGE_SIZE;
  }
  return result < 0 ? result : first;
}

/** Writes a byte to every byte of a range. */
function* op_store(op: Operation): K<number> {
  const from = numberArg(op, 0);
  const byte = numberArg(op, 1);
  const end = from + numberArg(op, 2, 1);
  let at = from;
  while (at < end) {
    const next = Math.min(end, at - (at % PAGE_SIZE) + PAGE_SIZE);
    const result = yield* user_store(at, byte, next - at);
    if (result < 0) {
      return result;
    }
    at = next;
  }
  return 0;
}

/** Whether the VMA at an address may be written. Read without a lock, as the program would know it. */
function mayWrite(addr: number): boolean {
  const vma = vmaTreeWalk(current_mm(), addr);
  return vma !== null && (vma.vm_flags & VM_WRITE) !== 0;
}

/** A recorded page fault: each page of the range is written (its content unchanged) where that is allowed, else read. */
function* op_touch(op: Operation): K<number> {
  const from = numberArg(op, 0);
  const end = from + numberArg(op, 1, 1);
  let at = from;
  while (at < end) {
    const result = mayWrite(at) ? yield* user_store(at, 0, 0) : yield* user_load(at);
    if (result < 0) {
      return result;
    }
    at = at - (at % PAGE_SIZE) + PAGE_SIZE;
  }
  return 0;
}

// ---------------------------------------------------------------- tasks

function* clone_with(op: Operation, flags: number): K<number> {
  const name = textOption(op, 'name');
  const pid = numberOption(op, 'pid');
  return yield* kernel_clone({
    flags,
    ...(name === undefined ? {} : { name }),
    ...(pid === undefined ? {} : { pid }),
  });
}

function* op_fork(op: Operation): K<number> {
  return yield* clone_with(op, 0);
}

function* op_vfork(op: Operation): K<number> {
  return yield* clone_with(op, CLONE_VFORK | CLONE_VM);
}

/** clone(2): the low byte of the flags is the exit signal. */
function* op_clone(op: Operation): K<number> {
  const flags = numberArg(op, 0);
  return yield* clone_with(op, flags - (flags % 256));
}

/** clone3(2): the flags are the first member of its struct, without a signal. */
function* op_clone3(op: Operation): K<number> {
  const args = op.args[0];
  const first = Array.isArray(args) ? args[0] : args;
  return yield* clone_with(op, typeof first === 'number' ? first : 0);
}

/** A thread as pthread_create() makes it, with fewer words. */
function* op_thread(op: Operation): K<number> {
  return yield* clone_with(op, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | 0x600);
}

function execOptions(op: Operation): Parameters<typeof do_execve>[1] {
  const brkOption = numberOption(op, 'brk');
  const mmapBase = numberOption(op, 'mmapBase');
  return {
    ...fileFacts(op.options),
    ...(op.options?.image === false ? { image: false } : {}),
    ...(brkOption === undefined ? {} : { brk: brkOption }),
    ...(mmapBase === undefined ? {} : { mmapBase }),
  };
}

function* op_execve(op: Operation): K<number> {
  return yield* do_execve(textArg(op, 0), execOptions(op));
}

function* op_execveat(op: Operation): K<number> {
  return yield* do_execve(textArg(op, 1), execOptions(op));
}

function* op_exit(op: Operation): K<number> {
  return yield* do_exit(current(), (numberArg(op, 0) % 256) * 256);
}

function* op_exit_group(op: Operation): K<number> {
  return yield* do_group_exit((numberArg(op, 0) % 256) * 256);
}

// ---------------------------------------------------------------- files

function* op_open(op: Operation): K<number> {
  const facts = fileFacts(op.options);
  return yield* openFile(textArg(op, 0), numberArg(op, 1), facts, numberOption(op, 'fd'));
}

function* op_openat(op: Operation): K<number> {
  const facts = fileFacts(op.options);
  return yield* openFile(textArg(op, 1), numberArg(op, 2), facts, numberOption(op, 'fd'));
}

function* op_creat(op: Operation): K<number> {
  const flags = O_CREAT | O_WRONLY | O_TRUNC;
  return yield* openFile(textArg(op, 0), flags, fileFacts(op.options), numberOption(op, 'fd'));
}

function* op_memfd_create(op: Operation): K<number> {
  return yield* memfd_create(textArg(op, 0), numberArg(op, 1), numberOption(op, 'fd'));
}

function* op_close(op: Operation): K<number> {
  return yield* close(numberArg(op, 0));
}

function* op_dup(op: Operation): K<number> {
  return yield* dup(numberArg(op, 0), numberOption(op, 'fd'));
}

function* op_dup2(op: Operation): K<number> {
  return yield* dup2(numberArg(op, 0), numberArg(op, 1));
}

function* op_dup3(op: Operation): K<number> {
  return yield* ksys_dup3(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
}

function* op_ftruncate(op: Operation): K<number> {
  const fd = numberArg(op, 0);
  const error = recordedFile(op, fd);
  if (error !== 0) {
    return error;
  }
  return yield* ftruncate(fd, numberArg(op, 1));
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** fallocate(2): only hole punching has an effect on memory; growing sets the size. */
function* op_fallocate(op: Operation): K<number> {
  const fd = numberArg(op, 0);
  const mode = numberArg(op, 1);
  const offset = numberArg(op, 2);
  const length = numberArg(op, 3);
  const error = recordedFile(op, fd);
  if (error !== 0) {
    return error;
  }
  const punches = memory_manager().missing.punch === undefined ? FALLOC_FL_PUNCH_HOLE : 0;
  if ((mode & ~(FALLOC_FL_KEEP_SIZE | punches)) !== 0) {
    return -EOPNOTSUPP;
  }
  if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) {
    return (mode & FALLOC_FL_KEEP_SIZE) === 0 ? -EOPNOTSUPP : yield* punch_hole(fd, offset, length);
  }
  const inode = fileAt(current().files as files_struct, fd)?.f_inode;
  if (inode === null || inode === undefined) {
    return -EBADF;
  }
  if (length <= 0 || offset < 0) {
    return -EINVAL;
  }
  if (mode === 0) {
    inode.i_size = Math.max(inode.i_size, offset + length);
  }
  return 0;
}

function* op_punch(op: Operation): K<number> {
  return yield* punch_hole(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
}

// ---------------------------------------------------------------- kernel tasks

function* op_reclaim(op: Operation): K<number> {
  return yield* memory_manager().reclaimAt(numberArg(op, 0), numberArg(op, 1));
}

function* op_referenced(op: Operation): K<number> {
  return yield* memory_manager().referencedAt(numberArg(op, 0), numberArg(op, 1));
}

/** compact(first frame, number of frames): everything by default. */
function* op_compact(op: Operation): K<number> {
  return yield* compactRange(numberArg(op, 0), numberArg(op, 1, NODE_DATA().spanned_pages));
}

/** Rounds of kswapd, one unless told, until it sleeps. Pages reclaimed. */
function* op_kswapd(op: Operation): K<number> {
  let nr_reclaimed = 0;
  for (
    let left = numberArg(op, 0, 1);
    left > 0 && NODE_DATA().kswapd_awake === 1;
    left = left - 1
  ) {
    const era = memory_manager();
    nr_reclaimed += era.kswapd === undefined ? yield* kswapdRound() : yield* era.kswapd();
  }
  return nr_reclaimed;
}

function* op_migrate(op: Operation): K<number> {
  return yield* memory_manager().migrateAt(numberArg(op, 0), numberArg(op, 1));
}

function* op_collapse(op: Operation): K<number> {
  return yield* collapseAt(numberArg(op, 0), numberArg(op, 1));
}

/** Wake-ups of khugepaged, one unless told. Huge pages made. */
function* op_khugepaged_scan(op: Operation): K<number> {
  return yield* scanHugeMemory(numberArg(op, 0, 1));
}

function* op_split(op: Operation): K<number> {
  return yield* splitAt(numberArg(op, 0), numberArg(op, 1));
}

function* op_swapoff(_op: Operation): K<number> {
  const era = memory_manager();
  return era.swapoff === undefined ? yield* swapoff() : yield* era.swapoff();
}

/** What writeback does before it writes a page: folio_mkclean() under the folio lock. Entries that were cleaned. */
function* op_mkclean(op: Operation): K<number> {
  return yield* mkcleanAt(numberArg(op, 0), numberArg(op, 1));
}

function* op_fail_next_alloc(op: Operation): K<number> {
  const nth = numberArg(op, 0, 1);
  if (nth < 0) {
    return -EINVAL;
  }
  failNextAllocation(nth);
  return 0;
}

function* op_pin(op: Operation): K<number> {
  return yield* pinAt(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2, FOLL_WRITE));
}

function* op_unpin(op: Operation): K<number> {
  return yield* unpinAt(numberArg(op, 0), numberArg(op, 1));
}

function* op_device_store(op: Operation): K<number> {
  return yield* deviceStore(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
}

function* op_device_load(op: Operation): K<number> {
  return yield* deviceLoad(numberArg(op, 0), numberArg(op, 1));
}

function* op_ksm_scan(op: Operation): K<number> {
  return yield* scanMergeablePages(numberArg(op, 0, 1));
}

function* op_ksm_set(op: Operation): K<number> {
  return yield* storeKsmSetting(textArg(op, 0), numberArg(op, 1));
}

function* op_prctl(op: Operation): K<number> {
  return yield* sys_prctl(numberArg(op, 0), numberArg(op, 1));
}

function* op_synchronize_rcu(_op: Operation): K<number> {
  yield* synchronize_rcu();
  return 0;
}

function* op_rcu_do_batch(_op: Operation): K<number> {
  return yield* rcu_do_batch();
}

/** Lets RCU callbacks and queued file releases finish, and empties the LRU batch of the CPU. */
function* op_settle(_op: Operation): K<number> {
  lru_add_drain();
  yield* task_work_run();
  yield* rcu_do_batch();
  return 0;
}

function* op_msync(op: Operation): K<number> {
  const era = memory_manager();
  if (era.msync !== undefined) {
    return yield* era.msync(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
  }
  return yield* sys_msync(numberArg(op, 0), numberArg(op, 1), numberArg(op, 2));
}

const table: Readonly<Record<string, Handler>> = {
  mmap: op_mmap,
  munmap: op_munmap,
  mprotect: op_mprotect,
  pkey_mprotect: op_pkey_mprotect,
  pkey_alloc: op_pkey_alloc,
  pkey_free: op_pkey_free,
  remap_file_pages: op_remap_file_pages,
  process_madvise: op_process_madvise,
  mremap: op_mremap,
  brk: op_brk,
  madvise: op_madvise,
  mlock: op_mlock,
  mlock2: op_mlock2,
  munlock: op_munlock,
  mlockall: op_mlockall,
  munlockall: op_munlockall,
  mseal: op_mseal,
  msync: op_msync,
  prctl: op_prctl,
  load: op_load,
  store: op_store,
  touch: op_touch,
  fork: op_fork,
  vfork: op_vfork,
  clone: op_clone,
  clone3: op_clone3,
  thread: op_thread,
  execve: op_execve,
  execveat: op_execveat,
  exit: op_exit,
  exit_group: op_exit_group,
  open: op_open,
  openat: op_openat,
  creat: op_creat,
  memfd_create: op_memfd_create,
  close: op_close,
  dup: op_dup,
  dup2: op_dup2,
  dup3: op_dup3,
  ftruncate: op_ftruncate,
  fallocate: op_fallocate,
  punch: op_punch,
  reclaim: op_reclaim,
  referenced: op_referenced,
  migrate: op_migrate,
  kswapd: op_kswapd,
  compact: op_compact,
  collapse: op_collapse,
  split: op_split,
  khugepaged_scan: op_khugepaged_scan,
  swapoff: op_swapoff,
  mkclean: op_mkclean,
  fail_next_alloc: op_fail_next_alloc,
  pin: op_pin,
  unpin: op_unpin,
  device_store: op_device_store,
  device_load: op_device_load,
  ksm_scan: op_ksm_scan,
  ksm_set: op_ksm_set,
  synchronize_rcu: op_synchronize_rcu,
  rcu_do_batch: op_rcu_do_batch,
  settle: op_settle,
};

/** Names of the operations that there are. */
export function operationNames(): readonly string[] {
  return Object.keys(table);
}

/** What the end of an operation leaves: the checks of the way to user space, or a dead task. */
function leave(result: number): number {
  const task = current();
  if ((task.flags & PF_EXITING) === 0) {
    checkReturnToUser();
  } else {
    currentTask().dead = 1;
    putDeadTask(task);
  }
  return result;
}

/**
 * Starts the kernel function that an operation names: do_syscall_64() and exit_to_user_mode_loop(), that is
 * the call, then task work, then a pending SIGKILL.
 */
export function* startOperation(op: Operation): K<number> {
  const handler = Object.hasOwn(table, op.name) ? table[op.name] : undefined;
  if (handler === undefined) {
    throw new InternalError(`no operation named ${op.name}`);
  }
  const result = yield* handler(op);
  const task = current();
  if ((task.flags & PF_EXITING) === 0) {
    yield* task_work_run();
    if (task.sigkill === 1) {
      yield* do_exit(task, SIGKILL);
    }
  }
  return leave(result);
}
