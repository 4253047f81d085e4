/**
 * include/linux/mm.h, include/uapi/asm-generic/mman*.h, arch/x86/include/asm/page_64_types.h v6.18: the
 * constants of the memory manager and the one-line helpers on VMAs. Fidelity: dup, except that the
 * flags of Linux above bit 31 take free bits below it (see VM_SEALED) and that limits are those of the
 * machine that DESIGN calls the recorder.
 */
import type { mm_struct, vm_area_struct } from '../mm_types.ts';

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const PMD_SIZE = 0x200000;
export const PUD_SIZE = 0x40000000;

/** x86-64, 4-level page tables: one page short of the canonical half. */
export const TASK_SIZE = 2 ** 47 - PAGE_SIZE;
export const DEFAULT_MAP_WINDOW = TASK_SIZE;
export const STACK_TOP_MAX = TASK_SIZE;

/** Addresses are exact up to 2^53; this stands in for ULONG_MAX where the kernel means "no limit". */
export const ULONG_MAX = Number.MAX_SAFE_INTEGER;

// ---- vm_flags. 32 bits, kept as int32 (`| 0`); compare masks with 0.
export const VM_READ = 0x1;
export const VM_WRITE = 0x2;
export const VM_EXEC = 0x4;
export const VM_SHARED = 0x8;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
export const VM_GROWSDOWN = 0x100;
/** Bit 40 in Linux; bit 9 is userfaultfd's there. */
export const VM_DROPPABLE = 0x200;
export const VM_PFNMAP = 0x400;
/** 6.18.44 and 6.19; only set where has('maybe_guard'). */
export const VM_MAYBE_GUARD = 0x800;
export const VM_UFFD_WP = 0x1000;
export const VM_LOCKED = 0x2000;
export const VM_IO = 0x4000;
export const VM_SEQ_READ = 0x8000;
export const VM_RAND_READ = 0x10000;
export const VM_DONTCOPY = 0x20000;
export const VM_DONTEXPAND = 0x40000;
export const VM_LOCKONFAULT = 0x80000;
export const VM_ACCOUNT = 0x100000;
export const VM_NORESERVE = 0x200000;
export const VM_HUGETLB = 0x400000;
export const VM_SYNC = 0x800000;
/** Bit 42 in Linux; bit 24 is VM_ARCH_1 there, unused on x86. */
export const VM_SEALED = 0x1000000;
export const VM_WIPEONFORK = 0x2000000;
export const VM_DONTDUMP = 0x4000000;
/** CONFIG_MEM_SOFT_DIRTY is off. */
export const VM_SOFTDIRTY = 0;
export const VM_MIXEDMAP = 0x10000000;
export const VM_HUGEPAGE = 0x20000000;
export const VM_NOHUGEPAGE = 0x40000000;
export const VM_MERGEABLE = 0x80000000 | 0;
/** No shadow stacks on this machine. */
export const VM_SHADOW_STACK = 0;

export const VM_STACK = VM_GROWSDOWN;
export const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;
export const VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP;
export const VM_LOCKED_MASK = VM_LOCKED | VM_LOCKONFAULT;
/** What a new mm takes over from the def_flags of the forking one. */
export const VM_INIT_DEF_MASK = VM_NOHUGEPAGE;
/** Marks the temporary stack of execve(). */
export const VM_STACK_INCOMPLETE_SETUP = VM_RAND_READ | VM_SEQ_READ;
export const VM_DATA_FLAGS_TSK_EXEC = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
export const VM_STACK_FLAGS = VM_STACK | VM_DATA_FLAGS_TSK_EXEC | VM_ACCOUNT;
/** Differences in these do not keep VMAs from merging (mergeable_vma()). */
export const VM_IGNORE_MERGE = VM_SOFTDIRTY | VM_MAYBE_GUARD;
/** 6.18.44: these spread over a merge (VM_STICKY of 6.19). */
export const VM_STICKY = VM_SOFTDIRTY | VM_MAYBE_GUARD;
/** Flags that fork must copy page tables for (VM_COPY_ON_FORK of 6.19; 6.18.44 with maybe_guard). */
export const VM_COPY_ON_FORK = VM_PFNMAP | VM_MIXEDMAP | VM_UFFD_WP | VM_MAYBE_GUARD;

// ---- system call arguments
export const PROT_NONE = 0;
export const PROT_READ = 0x1;
export const PROT_WRITE = 0x2;
export const PROT_EXEC = 0x4;
export const PROT_SEM = 0x8;
export const PROT_GROWSDOWN = 0x01000000;
export const PROT_GROWSUP = 0x02000000;

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_SHARED_VALIDATE = 0x03;
export const MAP_DROPPABLE = 0x08;
export const MAP_TYPE = 0x0f;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_32BIT = 0x40;
export const MAP_ABOVE4G = 0x80;
export const MAP_GROWSDOWN = 0x0100;
export const MAP_DENYWRITE = 0x0800;
export const MAP_EXECUTABLE = 0x1000;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x008000;
export const MAP_NONBLOCK = 0x010000;
export const MAP_STACK = 0x020000;
export const MAP_HUGETLB = 0x040000;
export const MAP_SYNC = 0x080000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const MAP_UNINITIALIZED = 0x4000000;
/** Size bits of MAP_HUGETLB: the upper six. */
const MAP_HUGE_MASK = 0xfc000000;
/** What MAP_SHARED accepted before MAP_SHARED_VALIDATE; anything else is ignored there. */
export const LEGACY_MAP_MASK =
  MAP_SHARED |
  MAP_PRIVATE |
  MAP_FIXED |
  MAP_ANONYMOUS |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_UNINITIALIZED |
  MAP_GROWSDOWN |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB |
  MAP_32BIT |
  MAP_ABOVE4G |
  MAP_HUGE_MASK |
  0;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;

export const MLOCK_ONFAULT = 1;
export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;
export const MCL_ONFAULT = 4;

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_DONTFORK = 10;
export const MADV_DOFORK = 11;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_DONTDUMP = 16;
export const MADV_DODUMP = 17;
export const MADV_WIPEONFORK = 18;
export const MADV_KEEPONFORK = 19;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_DONTNEED_LOCKED = 24;
export const MADV_COLLAPSE = 25;
export const MADV_HWPOISON = 100;
export const MADV_SOFT_OFFLINE = 101;
export const MADV_GUARD_INSTALL = 102;
export const MADV_GUARD_REMOVE = 103;

// ---- limits of the recorder
/** DEFAULT_MAX_MAP_COUNT. */
export const DEFAULT_MAX_MAP_COUNT = 65530;
export const stack_guard_gap = 256 * PAGE_SIZE;
/** max(dac_mmap_min_addr, CONFIG_LSM_MMAP_MIN_ADDR). */
export const mmap_min_addr = 65536;
/** Every simulated task is root: CAP_IPC_LOCK, CAP_SYS_RAWIO, no resource limit but the stack's. */
export const RLIM_INFINITY = ULONG_MAX;

// ---- mm->flags (MMF_*), as masks
export const MMF_VM_MERGEABLE = 1 << 16;
export const MMF_VM_HUGEPAGE = 1 << 17;
export const MMF_HUGE_ZERO_FOLIO = 1 << 23;
export const MMF_OOM_SKIP = 1 << 21;
export const MMF_UNSTABLE = 1 << 22;
export const MMF_HAS_PINNED = 1 << 27;
export const MMF_VM_MERGE_ANY = 1 << 29;
export const MMF_TOPDOWN = 1 << 30;

// ---- files
export const FMODE_READ = 1;
export const FMODE_WRITE = 2;
/** inode.i_kind of what can be mapped; fs/fs.ts has the others. */
export const FS_DISK = 1;
/** tmpfs, memfd, shared anonymous memory: pages live in swap-backed memory. */
export const FS_TMPFS = 2;
/** /dev/zero: a private mapping is anonymous memory, a shared one is shmem. */
export const FS_DEV_ZERO = 3;

/** vma.vm_ops: which operations table. 0 is NULL: the VMA is anonymous. */
export const VM_OPS_NONE = 0;
/** A disk file system: generic_file_vm_ops with page_mkwrite. */
export const VM_OPS_FILE = 1;
export const VM_OPS_SHMEM = 2;
/** shmem_anon_vm_ops: MAP_SHARED | MAP_ANONYMOUS and /dev/zero. */
export const VM_OPS_SHMEM_ANON = 3;
/** A mapping with a close() hook and may_split() refusing, as special mappings have. */
export const VM_OPS_SPECIAL = 4;

/** PAGE_ALIGN(); wraps to 0 at 2^64, as an unsigned long does. */
export function PAGE_ALIGN(addr: number): number {
  const aligned = Math.ceil(addr / PAGE_SIZE) * PAGE_SIZE;
  return aligned >= 2 ** 64 ? 0 : aligned;
}

export function PAGE_ALIGN_DOWN(addr: number): number {
  return addr - (addr % PAGE_SIZE);
}

/** offset_in_page(). */
export function offset_in_page(addr: number): number {
  return addr % PAGE_SIZE;
}

/** PHYS_PFN() of a virtual length or address. */
export function pages_of(bytes: number): number {
  return Math.floor(bytes / PAGE_SIZE);
}

export function vma_pages(vma: vm_area_struct): number {
  return (vma.vm_end - vma.vm_start) / PAGE_SIZE;
}

/** linear_page_index(): the page offset of an address in its VMA. */
export function linear_page_index(vma: vm_area_struct, address: number): number {
  return Math.floor((address - vma.vm_start) / PAGE_SIZE) + vma.vm_pgoff;
}

/** "Anonymous" means without operations: a private mapping of /dev/zero has a file and is anonymous. */
export function vma_is_anonymous(vma: vm_area_struct): boolean {
  return vma.vm_ops === VM_OPS_NONE;
}

export function vma_set_anonymous(vma: vm_area_struct): void {
  vma.vm_ops = VM_OPS_NONE;
}

export function vma_is_accessible(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_ACCESS_FLAGS) !== 0;
}

/** vma_is_temporary_stack(): the stack of an execve() that is not finished. */
export function vma_is_temporary_stack(vma: vm_area_struct): boolean {
  if ((vma.vm_flags & VM_GROWSDOWN) === 0) {
    return false;
  }
  return (vma.vm_flags & VM_STACK_INCOMPLETE_SETUP) === VM_STACK_INCOMPLETE_SETUP;
}

export function is_shared_maywrite(vm_flags: number): boolean {
  return (vm_flags & (VM_SHARED | VM_MAYWRITE)) === (VM_SHARED | VM_MAYWRITE);
}

/** A private mapping that may be written: its pages are copied on write. */
export function is_cow_mapping(vm_flags: number): boolean {
  return (vm_flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
}

/** Kinds of mappings for the statistics (mm/vma.h). */
export function is_exec_mapping(vm_flags: number): boolean {
  return (vm_flags & (VM_EXEC | VM_WRITE | VM_STACK)) === VM_EXEC;
}

export function is_stack_mapping(vm_flags: number): boolean {
  return (vm_flags & VM_STACK) === VM_STACK;
}

export function is_data_mapping(vm_flags: number): boolean {
  return (vm_flags & (VM_WRITE | VM_SHARED | VM_STACK)) === VM_WRITE;
}

/** First address that a mapping below the VMA must not reach: a stack keeps its guard gap. */
export function vm_start_gap(vma: vm_area_struct): number {
  if ((vma.vm_flags & VM_GROWSDOWN) === 0) {
    return vma.vm_start;
  }
  return Math.max(0, vma.vm_start - stack_guard_gap);
}

/** No VMA grows upwards on x86. */
export function vm_end_gap(vma: vm_area_struct): number {
  return vma.vm_end;
}

/** Whether the VMA's operations have a close() hook: such a VMA must not vanish in a merge. */
export function vma_has_close(vma: vm_area_struct): boolean {
  return vma.vm_ops === VM_OPS_SPECIAL;
}

/** Stands in for vm_flags of `mm`'s def_flags plus protection bits: calc_vm_prot_bits(). */
export function calc_vm_prot_bits(prot: number): number {
  return prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/** calc_vm_flag_bits(): MAP_STACK means VM_NOHUGEPAGE since 6.7. */
export function calc_vm_flag_bits(flags: number): number {
  let vm_flags = 0;
  if ((flags & MAP_GROWSDOWN) !== 0) {
    vm_flags |= VM_GROWSDOWN;
  }
  if ((flags & MAP_LOCKED) !== 0) {
    vm_flags |= VM_LOCKED;
  }
  if ((flags & MAP_SYNC) !== 0) {
    vm_flags |= VM_SYNC;
  }
  if ((flags & MAP_STACK) !== 0) {
    vm_flags |= VM_NOHUGEPAGE;
  }
  return vm_flags;
}

/** mm_flags_test() with a mask. */
export function mm_flags_test(flag: number, mm: mm_struct): boolean {
  return (mm.flags & flag) !== 0;
}

export function mm_flags_set(flag: number, mm: mm_struct): void {
  mm.flags = mm.flags | flag;
}

export function mm_flags_clear(flag: number, mm: mm_struct): void {
  mm.flags = mm.flags & ~flag;
}
