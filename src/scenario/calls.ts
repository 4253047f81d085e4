/** The calls a scenario may make: what they take, for checking, completion and the manual. */

/** What an argument may be; `describeKind` says it in words. */
export type ArgKind =
  | 'address'
  | 'length'
  | 'number'
  | 'fd'
  | 'task'
  /** A process, or PIDFD_SELF. */
  | 'pidfd'
  | 'path'
  | 'any'
  | `flags:${string}`;

export interface Param {
  readonly name: string;
  readonly kind: ArgKind;
}

export interface CallSpec {
  readonly name: string;
  readonly params: readonly Param[];
  /** How many of `params` must be given; the rest may be left out from the end. */
  readonly required: number;
  /** A Linux system call: exists in strace logs. The others exist in scenarios only. */
  readonly isSystemCall: boolean;
  /** Makes a task: `NAME = call(…)` names it. */
  readonly makesTask: boolean;
  readonly help: string;
}

/**
 * One line per call: `name(param: kind, …, [optional: kind])`, then what it does. `*` marks a call
 * that exists in scenarios only.
 */
const table = `
mmap(addr: address, length: length, prot: PROT_, flags: MAP_, fd: fd, offset: length) -- map memory; the result is its address
munmap(addr: address, length: length) -- unmap a range
mprotect(addr: address, length: length, prot: PROT_) -- change protection of a range
pkey_mprotect(addr: address, length: length, prot: PROT_, pkey: number) -- mprotect with a protection key
pkey_alloc(flags: number, rights: number) -- ask for a protection key; this processor has none to give
pkey_free(pkey: number) -- give a protection key back
mremap(addr: address, old_length: length, new_length: length, [flags: MREMAP_], [new_addr: address]) -- move or resize a mapping
brk(addr: address) -- set the end of the heap; the result is the end afterwards
madvise(addr: address, length: length, advice: MADV_) -- advise, discard, guard, merge or collapse a range
mlock(addr: address, length: length) -- lock a range in memory
mlock2(addr: address, length: length, flags: MLOCK_) -- mlock, with flags
munlock(addr: address, length: length) -- undo mlock
mlockall(flags: MCL_) -- lock all mappings, present or future
munlockall() -- undo mlockall
mseal(addr: address, length: length, flags: number) -- forbid changes to a range
msync(addr: address, length: length, flags: MS_) -- write a file mapping back
remap_file_pages(addr: address, length: length, prot: PROT_, pgoff: number, flags: MAP_) -- show other pages of the file in a range
fork() -- make a process with a copy of the address space; the result names it
vfork() -- make a process that borrows the address space until exec or exit
clone(flags: CLONE_, [stack: any], [parent_tid: any], [child_tid: any], [tls: any]) -- make a process or thread, as the flags say
clone3(args: any, [size: length]) -- clone, with its arguments in a struct
execve(path: path, [argv: any], [envp: any]) -- replace the address space by a new image
execveat(dirfd: fd, path: path, argv: any, envp: any, flags: any) -- execve relative to a directory
exit(status: number) -- end this thread
exit_group(status: number) -- end this process
open(path: path, flags: O_, [mode: number]) -- open a file; the result is a descriptor
openat(dirfd: fd, path: path, flags: O_, [mode: number]) -- open, relative to a directory
creat(path: path, mode: number) -- make a file and open it for writing
memfd_create(name: path, flags: MFD_) -- make an unnamed file in memory
ftruncate(fd: fd, length: length) -- set a file's size; pages beyond it leave every mapping
fallocate(fd: fd, mode: FALLOC_FL_, offset: length, length: length) -- allocate or punch a range of a file
close(fd: fd) -- close a descriptor; mappings keep the file
prctl(option: PR_, [arg2: any], [arg3: any], [arg4: any], [arg5: any]) -- PR_SET_MEMORY_MERGE, PR_SET_THP_DISABLE
process_madvise(pidfd: pidfd, iov: any, count: number, advice: MADV_, flags: number) -- madvise several ranges of a process: [{addr, length}, …]
*store(addr: address, [byte: number], [length: length]) -- write a byte (0) to every byte of a range (one byte)
*load(addr: address, [length: length]) -- read a range (one byte); the result is the first byte
*touch(addr: address, [length: length]) -- access as a recorded page fault: store where allowed, else load
*reclaim(task: task, addr: address) -- swap out or drop the page mapped there
*referenced(task: task, addr: address) -- the reference walk of reclaim: count and clear accessed bits
*kswapd([rounds: number]) -- rounds (one) of background reclaim, each scanning more, until enough memory is free
*compact([first: number], [frames: number]) -- move the pages of a range of frames to its upper end; the result is how many moved
*migrate(task: task, addr: address) -- move the page mapped there to another frame
*mkclean(task: task, addr: address) -- write-protect every mapping of the file page there
*ksm_scan(passes: number) -- that many full passes of ksmd
*ksm_set(name: path, value: number) -- write a number to a file of /sys/kernel/mm/ksm: run (2 un-merges everything), use_zero_pages, max_page_sharing, smart_scan
*collapse(task: task, addr: address) -- khugepaged: collapse the huge range that holds the address
*khugepaged_scan([times: number]) -- khugepaged wakes up (once): looks at up to 4096 pages; the result is how many huge pages it made
*split(task: task, addr: address) -- split the huge page mapped there
*swapoff() -- bring every swapped page back
*pin(task: task, addr: address, [flags: FOLL_]) -- pin the page for a device, as direct I/O does (FOLL_WRITE: for it to write to)
*unpin(task: task, addr: address) -- drop the newest pin of that address
*device_store(task: task, addr: address, [byte: number]) -- the device writes a byte (0) to the page pinned at that address
*device_load(task: task, addr: address) -- the device reads a byte of the page pinned at that address
*fail_next_alloc([nth: number]) -- make the nth (first) allocation from here on fail
*punch(fd: fd, offset: length, length: length) -- punch a hole into a file, keeping its size
*settle() -- let RCU callbacks, deferred flushes and writeback finish
`;

const taskMakers = new Set(['fork', 'vfork', 'clone', 'clone3']);

/** Every known call by name, in the manual's order. */
export const calls: ReadonlyMap<string, CallSpec> = new Map(
  table
    .trim()
    .split('\n')
    .map((line) => {
      const spec = readSpec(line);
      return [spec.name, spec];
    }),
);

function readSpec(line: string): CallSpec {
  const [signature = '', help = ''] = line.split(' -- ');
  const open = signature.indexOf('(');
  const isSystemCall = !signature.startsWith('*');
  const name = signature.slice(isSystemCall ? 0 : 1, open);
  const inner = signature.slice(open + 1, -1);
  const written = inner === '' ? [] : inner.split(', ');
  const params = written.map((param) => {
    const [paramName = '', kind = ''] = param.replace(/[[\]]/g, '').split(': ');
    const isFlags = kind.endsWith('_');
    return { name: paramName, kind: (isFlags ? `flags:${kind}` : kind) as ArgKind };
  });
  const required = written.filter((param) => !param.startsWith('[')).length;
  return { name, params, required, isSystemCall, makesTask: taskMakers.has(name), help };
}

/** `mremap(addr, old_length, new_length, [flags], [new_addr])`. */
export function signatureOf(spec: CallSpec): string {
  const params = spec.params.map((param, i) =>
    i < spec.required ? param.name : `[${param.name}]`,
  );
  return `${spec.name}(${params.join(', ')})`;
}

/** What an argument of this kind may be, for an error message. */
export function describeKind(kind: ArgKind): string {
  switch (kind) {
    case 'address':
      return 'an address';
    case 'length':
      return 'a number of bytes (4096, 4p, 16K)';
    case 'number':
      return 'a number';
    case 'fd':
      return 'a descriptor';
    case 'pidfd':
      return 'a process, or PIDFD_SELF';
    case 'task':
      return 'a process';
    case 'path':
      return 'a "path"';
    case 'any':
      return 'any value';
    default:
      return `${kind.slice('flags:'.length)}* flags or a number`;
  }
}
