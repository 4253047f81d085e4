/**
 * mm/vma.c v6.18: making mappings: mmap_region(), brk's do_brk_flags(), insert_vm_struct().
 *
 * Lock tree: mmap_lock (write) -> vma_start_write() -> i_mmap_rwsem / anon_vma root. Fidelity: dup; the f_op
 * callbacks of the file systems are mmapFile() below (ext4 has mmap_prepare(), which sets the
 * operations of a merged VMA again, to the same).
 */
import type { K } from '../../sim/wait.ts';
import { vm_get_page_prot } from '../arch/x86/mm/pgprot.ts';
import { ENODEV, ENOMEM } from '../errno.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { current_mm } from '../kernel/current.ts';
import { BUG_ON } from '../lib/bug.ts';
import type { address_space, file, mm_struct, vm_area_struct } from '../mm_types.ts';
import { trace_vma_map } from './events.ts';
import { ksm_vma_flags } from './ksm.ts';
import {
  FS_DEV_ZERO,
  FS_DISK,
  FS_TMPFS,
  is_shared_maywrite,
  PAGE_SIZE,
  VM_ACCOUNT,
  VM_DATA_FLAGS_TSK_EXEC,
  VM_DROPPABLE,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_OPS_FILE,
  VM_OPS_SHMEM,
  VM_SHARED,
  VM_SPECIAL,
  vma_is_anonymous,
  vma_pages,
  vma_set_anonymous,
} from './mm.ts';
import { mmap_assert_write_locked, vma_start_write } from './mmap_lock.ts';
import { shmem_zero_setup } from './shmem.ts';
import {
  may_expand_vm,
  security_vm_enough_memory_mm,
  sysctl_max_map_count,
  vm_stat_account,
  vm_unacct_memory,
} from './util.ts';
import { vma_iter_store_new, vma_link, vma_merge_new_range, vma_set_range } from './vma.ts';
import { vm_area_alloc, vm_area_free } from './vma_init.ts';
import { mapping_map_writable, mapping_unmap_writable, vma_link_file } from './vma_link.ts';
import {
  init_vma_munmap,
  type vma_munmap_struct,
  vms_abort_munmap_vmas,
  vms_clean_up_area,
  vms_complete_munmap_vmas,
  vms_gather_munmap_vmas,
} from './vma_munmap.ts';
import { vma_set_page_prot } from './vma_prot.ts';
import { accountable_mapping, VMG_STATE } from './vma_rules.ts';
import {
  find_vma_intersection,
  vmaTreeAtOrAfter,
  vmaTreeBefore,
  vmaTreeFind,
  vmaTreePrealloc,
} from './vma_tree.ts';

/** struct mmap_state: one mmap_region() in progress. */
interface mmap_state {
  readonly mm: mm_struct;
  readonly addr: number;
  readonly end: number;
  readonly pgoff: number;
  readonly pglen: number;
  vm_flags: number;
  readonly file: file | null;
  charged: number;
  prev: vm_area_struct | null;
  next: vm_area_struct | null;
  readonly vms: vma_munmap_struct;
  /** No callback can still change the flags: VM_MERGEABLE may be set before the merge is tried. */
  readonly check_ksm_early: boolean;
}

/** mm/internal.h: vma_supports_mlock() v6.18.y. */
export function vma_supports_mlock(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_SPECIAL | VM_DROPPABLE | VM_HUGETLB)) === 0;
}

/** mm/vma.c: __mmap_prepare() v6.18. 0 or a negative errno. */
function* __mmap_prepare(map: mmap_state): K<number> {
  const vms = map.vms;
  if (vms.vma !== null) {
    const error = yield* vms_gather_munmap_vmas(vms);
    if (error !== 0) {
      // The VMAs are attached again: the abort has nothing left to do.
      vms.nr_pages = 0;
      return error;
    }
    map.next = vms.next;
    map.prev = vms.prev;
  } else {
    map.next = vmaTreeAtOrAfter(map.mm, map.addr);
    map.prev = vmaTreeBefore(map.mm, map.addr);
  }
  if (!may_expand_vm(map.mm, map.vm_flags, map.pglen - vms.nr_pages)) {
    return -ENOMEM;
  }
  if (accountable_mapping(map.vm_flags)) {
    map.charged = map.pglen - vms.nr_accounted;
    if (map.charged !== 0) {
      const error = security_vm_enough_memory_mm(map.mm, map.charged);
      if (error !== 0) {
        return error;
      }
    }
    vms.nr_accounted = 0;
    map.vm_flags = map.vm_flags | VM_ACCOUNT;
  }
  // Before the old VMAs leave the tree: a truncation that walks the rmap must not miss their pages.
  yield* vms_clean_up_area(vms);
  return 0;
}

/** f_op->mmap() or mmap_prepare() of the file: sets the operations of a new VMA. 0 or a negative errno. */
export function mmapFile(file: file, vma: vm_area_struct): number {
  switch (file.f_inode?.i_kind) {
    case FS_DISK:
      vma.vm_ops = VM_OPS_FILE;
      return 0;
    case FS_TMPFS:
      vma.vm_ops = VM_OPS_SHMEM;
      return 0;
    case FS_DEV_ZERO:
      // mmap_zero(): shared memory gets a tmpfs file of its own, private memory is anonymous.
      if ((vma.vm_flags & VM_SHARED) !== 0) {
        return shmem_zero_setup(vma);
      }
      vma_set_anonymous(vma);
      return 0;
    default:
      return -ENODEV;
  }
}

/** mm/vma.c: __mmap_new_file_vma() v6.18. */
function __mmap_new_file_vma(file: file, vma: vm_area_struct): number {
  vma.vm_file = get_file(file);
  const error = mmapFile(file, vma);
  if (error !== 0) {
    fput(file);
    vma.vm_file = null;
  }
  return error;
}

/** mm/vma.c: __mmap_new_vma() v6.18. The VMA or a negative errno. */
function* __mmap_new_vma(map: mmap_state): K<vm_area_struct | number> {
  const vma = vm_area_alloc(map.mm);
  let error = 0;
  if (vma === null) {
    return -ENOMEM;
  }
  vma_set_range(vma, map.addr, map.end, map.pgoff);
  vma.vm_flags = map.vm_flags;
  vma.vm_page_prot = vm_get_page_prot(map.vm_flags);
  if (vmaTreePrealloc() !== 0) {
    vm_area_free(vma);
    return -ENOMEM;
  }
  if (map.file !== null) {
    error = __mmap_new_file_vma(map.file, vma);
  } else if ((map.vm_flags & VM_SHARED) !== 0) {
    error = shmem_zero_setup(vma);
  } else {
    vma_set_anonymous(vma);
  }
  if (error !== 0) {
    vm_area_free(vma);
    return error;
  }
  if (!map.check_ksm_early) {
    map.vm_flags = yield* ksm_vma_flags(map.mm, map.vm_flags);
    vma.vm_flags = map.vm_flags;
  }
  // Locked before it can be found: it is still written to afterwards.
  yield* vma_start_write(vma);
  vma_iter_store_new(map.mm, vma);
  map.mm.map_count = map.mm.map_count + 1;
  yield* vma_link_file(vma);
  trace_vma_map({ vma, start: vma.vm_start, end: vma.vm_end, flags: vma.vm_flags });
  return vma;
}

/** mm/vma.c: __mmap_complete() v6.18. */
function* __mmap_complete(map: mmap_state, vma: vm_area_struct): K {
  const mm = map.mm;
  const vm_flags = vma.vm_flags;
  yield* vms_complete_munmap_vmas(map.vms);
  vm_stat_account(mm, vma.vm_flags, map.pglen);
  if ((vm_flags & VM_LOCKED) !== 0) {
    if (!vma_supports_mlock(vma)) {
      vma.vm_flags = vma.vm_flags & ~VM_LOCKED_MASK;
    } else {
      mm.locked_vm = mm.locked_vm + map.pglen;
    }
  }
  vma_set_page_prot(vma);
}

/** mm/vma.c: __mmap_region() v6.18. */
function* __mmap_region(
  file: file | null,
  addr: number,
  len: number,
  vm_flags: number,
  pgoff: number,
): K<number> {
  const mm = current_mm();
  const first = vmaTreeFind(mm, addr, addr + len);
  const map: mmap_state = {
    mm,
    addr,
    end: addr + len,
    pgoff,
    pglen: len / PAGE_SIZE,
    vm_flags,
    file,
    charged: 0,
    prev: null,
    next: null,
    vms: init_vma_munmap(first, addr, addr + len, false),
    check_ksm_early: file === null || file.f_inode?.i_kind !== FS_DEV_ZERO,
  };
  const error = yield* __mmap_prepare(map);
  if (error !== 0) {
    yield* vms_abort_munmap_vmas(map.vms);
    return error;
  }
  if (map.check_ksm_early) {
    map.vm_flags = yield* ksm_vma_flags(mm, map.vm_flags);
  }
  let vma: vm_area_struct | number | null = null;
  if (map.prev !== null || map.next !== null) {
    const vmg = VMG_STATE(mm, map.addr, map.end, map.vm_flags, map.pgoff, map.file);
    vmg.prev = map.prev;
    vmg.next = map.next;
    vma = yield* vma_merge_new_range(vmg);
  }
  if (vma === null) {
    vma = yield* __mmap_new_vma(map);
  }
  if (typeof vma === 'number') {
    if (map.charged !== 0) {
      vm_unacct_memory(map.charged);
    }
    yield* vms_abort_munmap_vmas(map.vms);
    return vma;
  }
  yield* __mmap_complete(map, vma);
  return addr;
}

/**
 * mm/vma.c: mmap_region() v6.18: the address, or a negative errno. Preconditions: mmap_lock held for write;
 * address and length are checked and aligned.
 */
export function* mmap_region(
  file: file | null,
  addr: number,
  len: number,
  vm_flags: number,
  pgoff: number,
): K<number> {
  let mapping: address_space | null = null;
  mmap_assert_write_locked(current_mm());
  if (file !== null && is_shared_maywrite(vm_flags)) {
    // Keeps a write seal from being set while the mapping is made.
    const error = mapping_map_writable(file.f_mapping as address_space);
    if (error !== 0) {
      return error;
    }
    mapping = file.f_mapping;
  }
  const ret = yield* __mmap_region(file, addr, len, vm_flags, pgoff);
  if (mapping !== null) {
    mapping_unmap_writable(mapping);
  }
  return ret;
}

/**
 * mm/vma.c: do_brk_flags() v6.18: [addr, addr + len) becomes anonymous memory, as an extension of `vma` (the
 * one before) if that ends there. 0 or -ENOMEM. Preconditions: mmap_lock held for write.
 */
export function* do_brk_flags(
  vma: vm_area_struct | null,
  addr: number,
  len: number,
  flags: number,
): K<number> {
  const mm = current_mm();
  const pages = len / PAGE_SIZE;
  let vm_flags = flags | VM_DATA_FLAGS_TSK_EXEC | VM_ACCOUNT | mm.def_flags;
  vm_flags = yield* ksm_vma_flags(mm, vm_flags);
  if (!may_expand_vm(mm, vm_flags, pages)) {
    return -ENOMEM;
  }
  if (mm.map_count > sysctl_max_map_count()) {
    return -ENOMEM;
  }
  if (security_vm_enough_memory_mm(mm, pages) !== 0) {
    return -ENOMEM;
  }
  let merged: vm_area_struct | null = null;
  if (vma !== null && vma.vm_end === addr) {
    const vmg = VMG_STATE(mm, addr, addr + len, vm_flags, addr / PAGE_SIZE);
    vmg.prev = vma;
    vmg.just_expand = true;
    merged = yield* vma_merge_new_range(vmg);
    if (merged === null && vmg.state === 'error_nomem') {
      vm_unacct_memory(pages);
      return -ENOMEM;
    }
  }
  if (merged === null) {
    const made = vm_area_alloc(mm);
    if (made === null) {
      vm_unacct_memory(pages);
      return -ENOMEM;
    }
    vma_set_anonymous(made);
    vma_set_range(made, addr, addr + len, addr / PAGE_SIZE);
    made.vm_flags = vm_flags;
    made.vm_page_prot = vm_get_page_prot(vm_flags);
    yield* vma_start_write(made);
    if (vmaTreePrealloc() !== 0) {
      vm_area_free(made);
      vm_unacct_memory(pages);
      return -ENOMEM;
    }
    vma_iter_store_new(mm, made);
    mm.map_count = mm.map_count + 1;
    trace_vma_map({ vma: made, start: addr, end: addr + len, flags: vm_flags });
  }
  mm.total_vm = mm.total_vm + pages;
  mm.data_vm = mm.data_vm + pages;
  if ((vm_flags & VM_LOCKED) !== 0) {
    mm.locked_vm = mm.locked_vm + pages;
  }
  return 0;
}

/**
 * mm/vma.c: insert_vm_struct() v6.18: a VMA made by hand (the stack of execve()). 0 or -ENOMEM.
 * Preconditions: mmap_lock held for write.
 */
export function* insert_vm_struct(mm: mm_struct, vma: vm_area_struct): K<number> {
  const charged = vma_pages(vma);
  if (find_vma_intersection(mm, vma.vm_start, vma.vm_end) !== null) {
    return -ENOMEM;
  }
  if ((vma.vm_flags & VM_ACCOUNT) !== 0 && security_vm_enough_memory_mm(mm, charged) !== 0) {
    return -ENOMEM;
  }
  if (vma_is_anonymous(vma)) {
    BUG_ON(vma.anon_vma !== null, 'vma->anon_vma');
    vma.vm_pgoff = vma.vm_start / PAGE_SIZE;
  }
  if ((yield* vma_link(mm, vma)) !== 0) {
    if ((vma.vm_flags & VM_ACCOUNT) !== 0) {
      vm_unacct_memory(charged);
    }
    return -ENOMEM;
  }
  return 0;
}
