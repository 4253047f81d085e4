/**
 * The anon_vma forest of kernels that have one: as a tree with the VMAs that a walk would visit, in its order,
 * and as the matrix VMA x anon_vma. The walk in progress is drawn in both.
 */
import { folio_nr_pages } from '../../linux/mm/large_folio.ts';
import { type anon_vma, mem_map, type vm_area_struct } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import type { Machine } from '../../sim/machine.ts';
import { serialOf } from '../../sim/struct.ts';
import type { AnonVmaNodeView, AnonVmaView, Ref, VisitMark } from '../view.ts';
import type { Changes } from './changes.ts';
import { earlyStructures } from './early-structures.ts';
import { ANON_VMA_FACTS, anonVmaFacts } from './facts.ts';
import { anonVmaColumns, locksIn, parentOf, rootOf, usersOf } from './families.ts';
import {
  alive,
  allAnonVmas,
  anchors,
  anonVmasOf,
  isAnchor,
  liveOf,
  looking,
  pgoffRange,
  vmasIn,
  vmasOf,
} from './objects.ts';
import { anonVmaOfPage } from './pages.ts';
import { objectRef, processOfVma, resolveAs, vmaRef } from './refs.ts';
import { lookedAtMm, type Selection } from './selection.ts';
import { allHolders, type Holder } from './tasks.ts';
import { resultOf, type WalkIndex, type WalkRecord } from './walks.ts';

/** More anon_vmas than this are not all drawn: the family looked at comes first. */
const MAX_NODES = 200;
const MAX_ROWS = 500;

export function anonVmasView(
  machine: Machine,
  selection: Selection,
  changes: Changes,
  walks: WalkIndex,
  maxNodes = MAX_NODES,
): AnonVmaView {
  return looking(machine, () => {
    const shown = choose(machine, selection, maxNodes);
    const marks = walkMarks(walks.current(selection.task));
    const holders = allHolders(machine);
    const nodes: AnonVmaNodeView[] = [];
    const order: anon_vma[] = [];
    for (const { av, last } of preorder(shown)) {
      order.push(av);
      const held = locksIn(av).flatMap((lock) => holders.get(lock) ?? []);
      nodes.push(nodeView(av, last, marks, changes, held));
    }
    const early = earlyStructures();
    return { early, columns: anonVmaColumns(), nodes, rows: matrix(order, marks) };
  });
}

/** All of them, oldest first; when there are too many, the families that the selection is about. */
function choose(machine: Machine, selection: Selection, max: number): readonly anon_vma[] {
  if (anchors().live() <= max) return allAnonVmas();
  const families = new Map<anon_vma, anon_vma[]>();
  const selected = resolveAs(machine, selection.anonVma, anchors());
  if (selected !== null) families.set(rootOf(selected), []);
  const ofPage = selection.page < 0 ? null : anonVmaOfPage(selection.page);
  if (alive(ofPage)) families.set(rootOf(ofPage), []);
  const mm = lookedAtMm(machine, selection);
  if (mm !== null) {
    for (const vma of vmasOf(mm)) {
      if (families.size >= max) break;
      const av = vma.anon_vma;
      if (alive(av) && !families.has(rootOf(av))) families.set(rootOf(av), []);
    }
  }
  for (const av of liveOf(anchors())) {
    const family = families.get(rootOf(av));
    if (family !== undefined && family.length <= max) family.push(av);
  }
  const bySerial = (a: anon_vma, b: anon_vma): number => serialOf(a) - serialOf(b);
  return [...families.values()].flatMap((family) => family.sort(bySerial)).slice(0, max);
}

interface Placed {
  readonly av: anon_vma;
  /** Whether each ancestor level, and the node itself, is the last child. */
  readonly last: readonly boolean[];
}

/** Trees in preorder. A parent that is not shown, not live or half made makes a root. */
function preorder(avs: readonly anon_vma[]): readonly Placed[] {
  const shown = new Set(avs);
  const children = new Map<anon_vma | null, anon_vma[]>();
  for (const av of avs) {
    const parent = parentOf(av);
    const under = parent !== null && shown.has(parent) ? parent : null;
    children.set(under, [...(children.get(under) ?? []), av]);
  }
  const placed: Placed[] = [];
  const seen = new Set<anon_vma>();
  const place = (av: anon_vma, last: readonly boolean[]): void => {
    if (seen.has(av)) return;
    seen.add(av);
    placed.push({ av, last });
    const under = children.get(av) ?? [];
    for (const [i, child] of under.entries()) place(child, [...last, i === under.length - 1]);
  };
  const roots = children.get(null) ?? [];
  for (const [i, root] of roots.entries()) place(root, [i === roots.length - 1]);
  // A cycle of parents has no root: show its members all the same.
  for (const av of avs) place(av, [true]);
  return placed;
}

/** What the walk in progress did with an AVC, by serials of VMA and anon_vma. */
type Marks = (vma: number, av: number) => VisitMark;

function walkMarks(walk: WalkRecord | null): Marks {
  if (walk === null) return () => 'none';
  const count = cpu.event_count;
  const marks = new Map<string, VisitMark>();
  let newest: { readonly vma: number; readonly av: number } | null = null;
  for (const visit of walk.visits) {
    if (visit.event >= count) break;
    const result = resultOf(visit, count);
    newest = { vma: visit.vma.serial, av: visit.anonVma.serial };
    marks.set(`${newest.vma}/${newest.av}`, result === 'pending' ? 'current' : result);
  }
  const next = nextVisit(walk, newest);
  if (next !== null) marks.set(next, 'next');
  return (vma, av) => marks.get(`${vma}/${av}`) ?? 'none';
}

/** The VMA that comes after the newest visit: the walk has not been there yet. */
function nextVisit(
  walk: WalkRecord,
  newest: { readonly vma: number; readonly av: number } | null,
): string | null {
  const object = (cpu.handles[walk.anonVma.addr / 16] ?? null) as anon_vma | null;
  if (!alive(object) || !isAnchor(object)) return null;
  if (serialOf(object) !== walk.anonVma.serial) return null;
  const pages = folio_nr_pages(mem_map.at(walk.pfn));
  let passed = newest === null;
  for (const vma of vmasIn(object)) {
    if (!passed) {
      passed = serialOf(vma) === newest?.vma;
      continue;
    }
    const [first, last] = pgoffRange(vma);
    if (first < walk.pgoff + pages && last >= walk.pgoff) {
      return `${serialOf(vma)}/${serialOf(object)}`;
    }
  }
  return null;
}

function nodeView(
  av: anon_vma,
  last: readonly boolean[],
  marks: Marks,
  changes: Changes,
  holders: readonly Holder[],
): AnonVmaNodeView {
  const vmas: { vma: Ref; process: string; mark: VisitMark }[] = [];
  for (const vma of vmasIn(av)) {
    const mark = marks(serialOf(vma), serialOf(av));
    vmas.push({ vma: vmaRef(vma), process: processOfVma(vma), mark });
  }
  return {
    ref: objectRef(av) as Ref,
    depth: last.length - 1,
    last,
    refcount: usersOf(av),
    numChildren: av.num_children ?? 0,
    numActiveVmas: av.num_active_vmas ?? 0,
    vmas,
    lockedBy: holders.map(({ task, mode }) => `${mode === 'write' ? 'W' : 'R'}:${task}`).join(' '),
    changed: changes.anonVma(serialOf(av), anonVmaFacts(av), ANON_VMA_FACTS),
  };
}

/** Rows are the VMAs with a link to a shown anon_vma, by process and address. */
function matrix(order: readonly anon_vma[], marks: Marks): AnonVmaView['rows'] {
  const column = new Map(order.map((av, i) => [av, i]));
  const vmas = new Set<vm_area_struct>();
  for (const av of order) {
    for (const vma of vmasIn(av)) if (vmas.size < MAX_ROWS) vmas.add(vma);
  }
  const sorted = [...vmas].sort(
    (a, b) => (a.vm_mm?.addr ?? 0) - (b.vm_mm?.addr ?? 0) || a.vm_start - b.vm_start,
  );
  return sorted.map((vma) => {
    const cells = new Array<Cell>(order.length).fill(NO_LINK);
    for (const each of anonVmasOf(vma)) {
      const i = column.get(each);
      if (i === undefined) continue;
      const av = order[i] as anon_vma;
      cells[i] = {
        link: vma.anon_vma === av ? 'own' : 'linked',
        mark: marks(serialOf(vma), serialOf(av)),
      };
    }
    return { vma: vmaRef(vma), process: processOfVma(vma), cells };
  });
}

type Cell = AnonVmaView['rows'][number]['cells'][number];

const NO_LINK: Cell = { link: 'none', mark: 'none' };
