/**
 * fs/fs-writeback.c v6.18: wakeup_flusher_threads() as reclaim calls it when all it found was dirty. Fidelity:
 * custom: the flusher's work is done by the reclaimer at once; folios that somebody has locked are left
 * for the next time, where a flusher would wait.
 */
import type { K } from '../../sim/wait.ts';
import type { address_space, folio, inode } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { FS_DISK } from './mm.ts';
import { writeDirtyFolio } from './msync.ts';
import { file_pages, filemap_get_folio, folio_mapping, page_cache_next } from './page_cache.ts';
import { folio_test_dirty, folio_test_writeback } from './page-flags.ts';
import { folio_put } from './swap.ts';

/** A dirty folio of the file at or after `index`, locked and with a reference; `next` is where to look on. Atomic. */
function lockDirty(
  mapping: address_space,
  index: number,
  last: number,
): { folio: folio; next: number } | null {
  let at = page_cache_next(mapping, index, last);
  while (at >= 0) {
    const folio = filemap_get_folio(mapping, at);
    if (folio !== null) {
      if (folio_test_dirty(folio) && !folio_test_writeback(folio) && folio_trylock(folio)) {
        return { folio, next: at + 1 };
      }
      folio_put(folio);
    }
    at = page_cache_next(mapping, at + 1, last);
  }
  return null;
}

/** Writes the dirty folios of all named disk files. */
export function* flushForReclaim(): K {
  let inode: inode | null = processGlobals().inodes;
  while (inode !== null) {
    const mapping = inode.i_mapping;
    if (inode.i_kind === FS_DISK && mapping !== null && mapping.nrpages > 0) {
      const last = file_pages(inode) - 1;
      let found = lockDirty(mapping, 0, last);
      while (found !== null) {
        if (folio_mapping(found.folio) === mapping) {
          yield* writeDirtyFolio(inode, found.folio);
        }
        folio_unlock(found.folio);
        folio_put(found.folio);
        found = lockDirty(mapping, found.next, last);
      }
    }
    inode = inode.i_next;
  }
}
