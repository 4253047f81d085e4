/** One page frame: its fields, every mapping of it, and how the reverse map reaches each. */
import { mem_map, type page } from '../../linux/mm_types.ts';
import type { Machine } from '../../sim/machine.ts';
import { describeObject, isLive } from '../../sim/struct.ts';
import type { FieldView, PageView, Ref } from '../view.ts';
import type { Changes } from './changes.ts';
import { chainOf } from './early-mappings.ts';
import { pageFacts } from './facts.ts';
import { pageFlagNames, pteBits } from './flags.ts';
import { itemsOf } from './ksm-items.ts';
import { largeFields, TAIL_FIELDS } from './large-folios.ts';
import { mappingsOf, viaOf, vmaOfMapping } from './mappings.ts';
import { looking, processOf, shapeNow } from './objects.ts';
import { folioOrder } from './page-index.ts';
import { headOf, kindOfPage, mappingObject } from './pages.ts';
import { hex, objectName, objectRef, pageRef, vmaRef } from './refs.ts';
import type { Selection } from './selection.ts';

/** The selected page; null when none is. */
export function pageView(
  machine: Machine,
  selection: Selection,
  changes: Changes,
): PageView | null {
  const pfn = selection.page;
  if (pfn < 0 || pfn >= machine.config.frames) return null;
  return looking(machine, () => {
    const mappings = mappingsOf(pfn);
    return {
      ref: pageRef(pfn),
      pfn,
      fields: fieldViews(pfn, changes),
      mappings: mappings.map((mapping) => {
        const vma = vmaOfMapping(mapping);
        return {
          process: processOf(mapping.mm),
          vma: vma === null ? null : vmaRef(vma),
          address: mapping.address,
          pte: pteBits(mapping.pte),
          via: viaOf(pfn, mapping),
        };
      }),
      items: itemsOf(pfn, mappings),
    };
  });
}

function fieldViews(pfn: number, changes: Changes): readonly FieldView[] {
  const page = mem_map.at(pfn);
  const views: FieldView[] = [];
  const head = headOf(page);
  const isTail = head !== page;
  for (const [name, value] of pageFacts(pfn)) {
    if (isTail && !TAIL_FIELDS.includes(name)) continue;
    const shown = showField(page, name, value);
    if (shown === null) continue;
    const changed = changes.page(pfn, name, value);
    const { text, ref } = shown;
    const isChain = name === '_mapcount' && shapeNow() === 'pte_chain';
    views.push({
      name: isChain ? 'pte' : name,
      value: text,
      changed,
      ...(ref === null ? {} : { ref }),
    });
  }
  if (isTail) {
    // What a page of a huge page shares with it, without having to go there.
    views.push({ name: 'folio.flags', ...unchanged(pageFlagNames(head.flags) || '0') });
    views.push({ name: 'folio._refcount', ...unchanged(String(head._refcount)) });
    views.push({ name: 'folio.index', ...unchanged(hex(head.index)) });
    const { text, ref } = showMapping(page);
    const mapping = { name: 'folio.mapping', ...unchanged(text) };
    views.push({ ...mapping, ...(ref === null ? {} : { ref }) });
  }
  if (folioOrder(head.pfn) > 0) {
    const prefix = isTail ? 'folio.' : '';
    for (const [name, value] of largeFields(head.pfn)) {
      views.push({ name: `${prefix}${name}`, ...unchanged(String(value)) });
    }
  }
  return views;
}

/** A value that is not compared with the one of the last stop. */
const unchanged = (value: string) => ({ value, changed: false });

interface Shown {
  readonly text: string;
  readonly ref: Ref | null;
}

const plain = (text: string): Shown => ({ text, ref: null });

function showField(page: page, name: string, value: number): Shown | null {
  switch (name) {
    case 'flags':
      return plain(pageFlagNames(value) || '0');
    case '_mapcount':
      return shapeNow() === 'pte_chain' ? showChain(page) : plain(String(value));
    case 'mapping':
      return showMapping(page);
    case 'index':
      return plain(hex(value));
    case 'compound_head':
      return value < 0 ? null : { text: pageRef(value).label, ref: pageRef(value) };
    case 'lru_next':
    case 'lru_prev':
      return value <= 0 ? null : { text: pageRef(value - 1).label, ref: pageRef(value - 1) };
    case 'content':
      return plain(value === 0 ? '0 (all zero)' : String(value));
    default:
      return plain(String(value));
  }
}

/** The word of _mapcount is page.pte where pages list their entries: no count. */
function showChain(page: page): Shown {
  const chain = chainOf(page);
  if (chain === null || chain === 'PG_direct') return plain(chain ?? 'NULL');
  return { text: objectName(chain), ref: objectRef(chain) };
}

function showMapping(page: page): Shown {
  const object = mappingObject(page);
  const kind = kindOfPage(headOf(page));
  if (object === null) return plain('NULL');
  const ref = objectRef(object);
  const freed = isLive(object) ? '' : ' (freed)';
  const label = ref?.label ?? describeObject(object);
  return { text: `${kind === 'file' ? '' : `${kind} `}${label}${freed}`, ref };
}
