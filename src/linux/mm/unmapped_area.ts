/**
 * mm/mmap.c, mm/vma.c, mm/huge_memory.c, mm/shmem.c and arch/x86/kernel/sys_x86_64.c v6.18: where a new
 * mapping goes. Fidelity: dup for 64-bit tasks with 4-level page tables, THP on, huge shmem off. Reads only.
 *
 * Addresses are numbers; errors are negative errno, as in C.
 */
import { EINVAL, ENOMEM } from '../errno.ts';
import { FS_NO_MMAP } from '../fs/fs.ts';
import { current_mm } from '../kernel/current.ts';
import type { file, mm_struct } from '../mm_types.ts';
import { trace_vm_unmapped_area } from './events.ts';
import {
  DEFAULT_MAP_WINDOW,
  FS_DEV_ZERO,
  FS_DISK,
  MAP_32BIT,
  MAP_ABOVE4G,
  MAP_FIXED,
  MAP_SHARED,
  MMF_TOPDOWN,
  mm_flags_test,
  mmap_min_addr,
  offset_in_page,
  PAGE_ALIGN,
  PAGE_SIZE,
  PMD_SIZE,
  TASK_SIZE,
  VM_GROWSDOWN,
  VM_SHADOW_STACK,
  vm_end_gap,
  vm_start_gap,
} from './mm.ts';
import {
  find_vma,
  vmaTreeAtOrAfter,
  vmaTreeBefore,
  vmaTreeHighestGap,
  vmaTreeLowestGap,
} from './vma_tree.ts';

/** struct vm_unmapped_area_info. No alignment is asked for on x86 (but AMD family 15h file mappings). */
interface vm_unmapped_area_info {
  readonly topdown: boolean;
  readonly length: number;
  readonly low_limit: number;
  readonly high_limit: number;
}

const VM_STARTGAP_FLAGS = VM_GROWSDOWN | VM_SHADOW_STACK;

/** mm/vma.c: unmapped_area() v6.18: the lowest place. */
function unmapped_area(mm: mm_struct, info: vm_unmapped_area_info): number {
  let low_limit = Math.max(info.low_limit, mmap_min_addr);
  for (;;) {
    const found = vmaTreeLowestGap(mm, low_limit, info.high_limit, info.length);
    if (found === null) {
      return -ENOMEM;
    }
    const gap = found.start;
    const next = vmaTreeAtOrAfter(mm, gap);
    if (next !== null && (next.vm_flags & VM_STARTGAP_FLAGS) !== 0) {
      if (vm_start_gap(next) < gap + info.length - 1) {
        low_limit = next.vm_end;
        continue;
      }
    } else {
      const prev = vmaTreeBefore(mm, gap);
      if (prev !== null && vm_end_gap(prev) > gap) {
        low_limit = vm_end_gap(prev);
        continue;
      }
    }
    return gap;
  }
}

/** mm/vma.c: unmapped_area_topdown() v6.18: the highest place. */
function unmapped_area_topdown(mm: mm_struct, info: vm_unmapped_area_info): number {
  const low_limit = Math.max(info.low_limit, mmap_min_addr);
  let high_limit = info.high_limit;
  for (;;) {
    const found = vmaTreeHighestGap(mm, low_limit, high_limit, info.length);
    if (found === null) {
      return -ENOMEM;
    }
    const gap = found.end - info.length;
    const next = vmaTreeAtOrAfter(mm, found.end);
    if (next !== null && (next.vm_flags & VM_STARTGAP_FLAGS) !== 0) {
      // A stack above wants its guard gap: search again below that.
      if (vm_start_gap(next) < found.end) {
        high_limit = vm_start_gap(next);
        continue;
      }
    } else {
      const prev = vmaTreeBefore(mm, gap);
      if (prev !== null && vm_end_gap(prev) > gap) {
        high_limit = prev.vm_start;
        continue;
      }
    }
    return gap;
  }
}

/** mm/mmap.c: vm_unmapped_area() v6.18. */
function vm_unmapped_area(mm: mm_struct, info: vm_unmapped_area_info): number {
  const addr = info.topdown ? unmapped_area_topdown(mm, info) : unmapped_area(mm, info);
  trace_vm_unmapped_area({
    addr,
    length: info.length,
    low_limit: info.low_limit,
    high_limit: info.high_limit,
  });
  return addr;
}

/** arch/x86/kernel/sys_x86_64.c: arch_get_unmapped_area() v6.18: bottom up. */
function arch_get_unmapped_area(mm: mm_struct, hint: number, len: number, flags: number): number {
  if ((flags & MAP_FIXED) !== 0) {
    return hint;
  }
  const low = (flags & MAP_32BIT) !== 0 ? 0x40000000 : mm.mmap_legacy_base;
  const end = (flags & MAP_32BIT) !== 0 ? 0x80000000 : TASK_SIZE;
  if (len > end) {
    return -ENOMEM;
  }
  if (hint !== 0) {
    const addr = PAGE_ALIGN(hint);
    const vma = find_vma(mm, addr);
    if (end - len >= addr && (vma === null || addr + len <= vm_start_gap(vma))) {
      return addr;
    }
  }
  return vm_unmapped_area(mm, { topdown: false, length: len, low_limit: low, high_limit: end });
}

/** arch/x86/mm/mmap.c: mmap_address_hint_valid() v6.18. */
function mmap_address_hint_valid(addr: number, len: number): boolean {
  if (TASK_SIZE - len < addr) {
    return false;
  }
  return addr > DEFAULT_MAP_WINDOW === addr + len > DEFAULT_MAP_WINDOW;
}

/** arch/x86/kernel/sys_x86_64.c: arch_get_unmapped_area_topdown() v6.18. */
function arch_get_unmapped_area_topdown(
  mm: mm_struct,
  hint: number,
  len: number,
  flags: number,
): number {
  if (len > TASK_SIZE) {
    return -ENOMEM;
  }
  if ((flags & MAP_FIXED) !== 0) {
    return hint;
  }
  if ((flags & MAP_32BIT) === 0) {
    if (hint !== 0) {
      const addr = hint - offset_in_page(hint);
      if (mmap_address_hint_valid(addr, len)) {
        const vma = find_vma(mm, addr);
        if (vma === null || addr + len <= vm_start_gap(vma)) {
          return addr;
        }
      }
    }
    const found = vm_unmapped_area(mm, {
      topdown: true,
      length: len,
      low_limit: (flags & MAP_ABOVE4G) !== 0 ? 2 ** 32 : PAGE_SIZE,
      high_limit: mm.mmap_base,
    });
    if (found >= 0) {
      return found;
    }
  }
  return arch_get_unmapped_area(mm, hint, len, flags);
}

/** mm/mmap.c: mm_get_unmapped_area() v6.18. */
export function mm_get_unmapped_area(
  mm: mm_struct,
  addr: number,
  len: number,
  flags: number,
): number {
  if (mm_flags_test(MMF_TOPDOWN, mm)) {
    return arch_get_unmapped_area_topdown(mm, addr, len, flags);
  }
  return arch_get_unmapped_area(mm, addr, len, flags);
}

/**
 * mm/huge_memory.c: __thp_get_unmapped_area() v6.18: a place whose address and file offset agree modulo 2 MiB.
 * 0: no such place, or the mapping holds no whole huge page.
 */
function __thp_get_unmapped_area(
  mm: mm_struct,
  addr: number,
  len: number,
  off: number,
  flags: number,
): number {
  const off_end = off + len;
  const off_align = Math.ceil(off / PMD_SIZE) * PMD_SIZE;
  if (off_end <= off_align || off_end - off_align < PMD_SIZE) {
    return 0;
  }
  const found = mm_get_unmapped_area(mm, addr, len + PMD_SIZE, flags);
  if (found < 0) {
    return 0;
  }
  // The hint was free: that is where the caller wants it.
  if (found === addr) {
    return addr;
  }
  const off_sub = (((off - found) % PMD_SIZE) + PMD_SIZE) % PMD_SIZE;
  if (mm_flags_test(MMF_TOPDOWN, mm) && off_sub === 0) {
    return found + PMD_SIZE;
  }
  return found + off_sub;
}

/** mm/huge_memory.c: thp_get_unmapped_area_vmflags() v6.18. */
function thp_get_unmapped_area(
  mm: mm_struct,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  const found = __thp_get_unmapped_area(mm, addr, len, pgoff * PAGE_SIZE, flags);
  return found !== 0 ? found : mm_get_unmapped_area(mm, addr, len, flags);
}

/** Whether the file's f_op has mmap() or mmap_prepare(): can_mmap_file(). */
export function can_mmap_file(file: file): boolean {
  return (file.f_inode?.i_kind ?? FS_NO_MMAP) < FS_NO_MMAP;
}

/** f_op->get_unmapped_area() of the file, or what anonymous memory uses. */
function areaFor(
  mm: mm_struct,
  file: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  if (file === null) {
    // shmem_get_unmapped_area() for MAP_SHARED: huge shmem is off, so it is the plain search.
    if ((flags & MAP_SHARED) === 0 && addr === 0 && len % PMD_SIZE === 0) {
      return thp_get_unmapped_area(mm, addr, len, 0, flags);
    }
    return mm_get_unmapped_area(mm, addr, len, flags);
  }
  const kind = file.f_inode?.i_kind;
  const private_zero = kind === FS_DEV_ZERO && (flags & MAP_SHARED) === 0;
  if (kind === FS_DISK || private_zero) {
    return thp_get_unmapped_area(mm, addr, len, pgoff, flags);
  }
  return mm_get_unmapped_area(mm, addr, len, flags);
}

/** mm/mmap.c: __get_unmapped_area() v6.18: an address, or a negative errno. Preconditions: mmap_lock held. */
export function __get_unmapped_area(
  file: file | null,
  hint: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  if (len > TASK_SIZE) {
    return -ENOMEM;
  }
  const addr = areaFor(current_mm(), file, hint, len, pgoff, flags);
  if (addr < 0) {
    return addr;
  }
  if (addr > TASK_SIZE - len) {
    return -ENOMEM;
  }
  if (offset_in_page(addr) !== 0) {
    return -EINVAL;
  }
  // security_mmap_addr(): CAP_SYS_RAWIO may map page 0.
  return addr;
}

/** include/linux/mm.h: get_unmapped_area() v6.18. */
export function get_unmapped_area(
  file: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  return __get_unmapped_area(file, addr, len, pgoff, flags);
}
