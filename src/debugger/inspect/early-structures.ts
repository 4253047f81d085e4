/**
 * What stands in the place of an anon_vma forest on the kernels before anon_vma: the page-table entries that each
 * page lists (pte_chain), the families of address spaces (anonmm), or nothing.
 */
import { anonmm_cachep } from '../../linux/mm/rmap/early_types.ts';
import { cpu, FRAME_WORDS } from '../../sim/cpu.ts';
import type { RmapLineView } from '../view.ts';
import { viaPteChain } from './early-mappings.ts';
import { mappingsOf } from './mappings.ts';
import { alive, allMms, listEntries, liveOf, processOf, shapeNow } from './objects.ts';
import { isPresent, USER_END, visitLeaves } from './page-walk.ts';
import { hex, mmRef, objectName, objectRef, pageRef, pteRef } from './refs.ts';

/** Pages shown at most. */
const MOST = 200;
const memberOfLink = anonmm_cachep.container('list');

/** Empty on a kernel that has anon_vmas, or a list like them. */
export function earlyStructures(): readonly RmapLineView[] {
  switch (shapeNow()) {
    case 'pte_chain':
      return pteChains();
    case 'anonmm':
      return families();
    case 'none':
      return [line(0, 'no reverse map: a walk looks through all address spaces', null)];
    default:
      return [];
  }
}

function line(depth: number, text: string, ref: RmapLineView['ref']): RmapLineView {
  return { depth, text, ref };
}

/** Each mapped page with its entries, and the block or PG_direct that has them. */
function pteChains(): RmapLineView[] {
  const frames = new Set<number>();
  for (const mm of allMms()) {
    visitLeaves(mm, 0, USER_END, (_, pte) => {
      if (isPresent(pte)) frames.add(pte >>> 8);
    });
  }
  const lines: RmapLineView[] = [];
  const shown = [...frames]
    .filter((pfn) => pfn < cpu.frame.length / FRAME_WORDS)
    .sort((a, b) => a - b);
  for (const pfn of shown.slice(0, MOST)) {
    const entries = mappingsOf(pfn).filter((each) => each.present);
    const page = pageRef(pfn);
    const plural = entries.length === 1 ? 'entry' : 'entries';
    lines.push(line(0, `${page.label}  ${entries.length} ${plural}`, page));
    for (const entry of entries) {
      const via = viaPteChain(pfn, entry);
      const where = `${processOf(entry.mm)} ${hex(entry.address)}`;
      lines.push(
        line(1, `${where}  ${via === '' ? 'not listed' : via}`, pteRef(entry.mm, entry.address)),
      );
    }
  }
  if (shown.length > MOST) lines.push(line(0, `and ${shown.length - MOST} more pages`, null));
  return lines;
}

/** Each family of anonmms: the one that called execve() and those forked since, in the order of a walk. */
function families(): RmapLineView[] {
  const lines: RmapLineView[] = [];
  for (const head of liveOf(anonmm_cachep)) {
    if (head.head !== head) continue;
    lines.push(
      line(0, `${objectName(head)}  count ${head.count}  ${owner(head.mm)}`, objectRef(head)),
    );
    for (const member of [...listEntries(head.list)].map(memberOfLink)) {
      if (!alive(member) || member === head) continue;
      const label = objectName(member);
      const ref = alive(member.mm) ? mmRef(member.mm) : objectRef(member);
      lines.push(line(1, `${label}  count ${member.count}  ${owner(member.mm)}`, ref));
    }
  }
  return lines;
}

/** The process of an anonmm; pages may keep it longer than its address space lives. */
function owner(mm: Parameters<typeof processOf>[0]): string {
  return alive(mm) ? processOf(mm) : 'its address space is gone';
}
