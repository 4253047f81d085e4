/** Kernel source as the Source pane gets it: only what a drawing needs to look right. */
export const SOURCE_FILE = 'mm/rmap.c';

export const SOURCE_LINES: readonly string[] = `/*
 * rmap_walk_anon - do something to anonymous page using the object-based rmap method
 * @folio: the folio to be handled
 * @rwc: control variable according to each walk type
 * @locked: caller holds relevant rmap lock
 */
export function* rmap_walk_anon(folio: folio, rwc: rmap_walk_control, locked: boolean) {
  let anon_vma: anon_vma | null;
  if (locked) {
    anon_vma = folio_anon_vma(folio);
    // anon_vma disappear under us?
    VM_BUG_ON_FOLIO(!anon_vma, folio);
  } else {
    anon_vma = yield* rmap_walk_anon_lock(folio, rwc);
  }
  if (!anon_vma) return;

  const pgoff_start = folio_pgoff(folio);
  const pgoff_end = pgoff_start + folio_nr_pages(folio) - 1;
  for (const avc of anon_vma_interval_tree(anon_vma.rb_root, pgoff_start, pgoff_end)) {
    const vma = avc.vma;
    const address = vma_address(vma, pgoff_start, folio_nr_pages(folio));
    VM_BUG_ON_VMA(address === -EFAULT, vma);
    yield* cond_resched();

    if (rwc.invalid_vma && rwc.invalid_vma(vma, rwc.arg)) continue;

    if (!(yield* rwc.rmap_one(folio, vma, address, rwc.arg))) break;
    if (rwc.done && rwc.done(folio)) break;
  }

  if (!locked) anon_vma_unlock_read(anon_vma);
}

/*
 * rmap_walk_file - do something to file page using the object-based rmap method
 * The mapcount may be incremented by concurrent faults: 0x7f, 'a string', 12.
 */
export function* rmap_walk_file(folio: folio, rwc: rmap_walk_control, locked: boolean) {
  const mapping = folio_mapping(folio);
  VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio);
  if (!mapping) return;
  yield* __rmap_walk_file(folio, mapping, folio_pgoff(folio), rwc, locked);
}`.split('\n');
