/**
 * fs/inode.c v6.18: inodes and their address_space. An inode with a name (i_nlink > 0) stays cached when
 * nobody has it open, as a file's page cache does; one without a name (memfd, shared anonymous memory)
 * goes with its last reference, and its pages with it (iput() in fs/fput.ts).
 *
 * Fidelity: custom. The directory tree is one list of names; i_lock and the inode LRU are not here.
 */

import { textId } from '../../sim/text.ts';
import { INIT_LIST_HEAD } from '../lib/list.ts';
import { VM_NORESERVE } from '../mm/mm.ts';
import { address_space_cachep, type inode, inode_cachep } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';

/** VM_READAHEAD_PAGES: 128 KiB. */
const VM_READAHEAD_PAGES = 32;

/** alloc_inode() and inode_init_always(): an inode with an empty page cache and one reference. */
export function alloc_inode(name: string, kind: number, size: number): inode {
  const inode = inode_cachep.alloc();
  const mapping = address_space_cachep.alloc();
  mapping.host = inode;
  inode.i_mapping = mapping;
  inode.i_name = textId(name);
  inode.i_kind = kind;
  inode.i_size = size;
  // Files of tmpfs and memfds; shared anonymous memory says otherwise (shmem_kernel_file_setup()).
  inode.shmem_flags = VM_NORESERVE;
  inode.i_ra_pages = VM_READAHEAD_PAGES;
  inode.i_count = 1;
  INIT_LIST_HEAD(inode.swaplist);
  return inode;
}

/** The inode of a path, with a new reference; null if no file of that name was met so far. */
export function lookupInode(name: string): inode | null {
  const id = textId(name);
  let inode = processGlobals().inodes;
  while (inode !== null && inode.i_name !== id) {
    inode = inode.i_next;
  }
  if (inode !== null) {
    inode.i_count = inode.i_count + 1;
  }
  return inode;
}

/** Gives a new inode its name. */
export function linkInode(inode: inode): void {
  const globals = processGlobals();
  inode.i_nlink = 1;
  inode.i_next = globals.inodes;
  globals.inodes = inode;
}
