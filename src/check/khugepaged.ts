/** THP2: the address spaces that khugepaged scans. With nothing in flight. */
import {
  type khugepaged_globals,
  type khugepaged_mm_slot,
  khugepaged_mm_slot_cachep,
} from '../linux/mm/khugepaged_types.ts';
import type { mm_struct } from '../linux/mm_types.ts';
import { hasRoot, ROOT_KHUGEPAGED, rootAt } from '../linux/roots.ts';
import { describeObject, isLive } from '../sim/struct.ts';
import { Broken, listEntries } from './raw.ts';
import type { Verdicts } from './verdict.ts';

const slotOfNode = khugepaged_mm_slot_cachep.container('mm_node');

/** The slots of the list, in order. */
function slotsOf(globals: khugepaged_globals, verdicts: Verdicts): khugepaged_mm_slot[] {
  const head = globals.scan_mm_head as khugepaged_mm_slot;
  try {
    return listEntries(head.mm_node).map(slotOfNode);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    verdicts.push({ kind: 'khugepaged-slot', text: error.message, evidence: [] });
    return [];
  }
}

/** Address spaces that khugepaged keeps: each once, marked, and alive; the cursor is on the list. */
export function khugepagedMms(verdicts: Verdicts): mm_struct[] {
  if (!hasRoot(ROOT_KHUGEPAGED)) return [];
  const globals = rootAt(ROOT_KHUGEPAGED) as khugepaged_globals;
  const say = (text: string, slot: khugepaged_mm_slot): void => {
    verdicts.push({ kind: 'khugepaged-slot', text, evidence: [describeObject(slot)] });
  };
  const slots = slotsOf(globals, verdicts);
  const mms = new Set<mm_struct>();
  for (const slot of slots) {
    const { mm } = slot;
    if (mm === null || !isLive(mm)) {
      say('a slot without an address space', slot);
      continue;
    }
    if (mms.has(mm)) say('two slots have the same address space', slot);
    mms.add(mm);
    if (mm.mm_users === 0 && globals.scan_mm_slot !== slot) {
      say('the slot of a dead address space was left', slot);
    }
  }
  const { scan_mm_slot } = globals;
  if (scan_mm_slot !== null && !slots.includes(scan_mm_slot)) {
    say('the cursor is on a slot that is not listed', scan_mm_slot);
  }
  if (khugepaged_mm_slot_cachep.live() !== slots.length + 1) {
    const text = `${khugepaged_mm_slot_cachep.live() - 1} slots allocated, ${slots.length} listed`;
    verdicts.push({ kind: 'khugepaged-slot', text, evidence: [] });
  }
  return [...mms];
}
