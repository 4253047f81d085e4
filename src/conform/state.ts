/**
 * The state of a machine in the recording format. Read from memory with the judges' readers, not with the
 * kernel's walks: what is printed does not depend on the code that it is to prove right.
 */
import {
  EXCLUSIVE,
  entireMapcount,
  entryFrame,
  entryKind,
  headOf,
  inSwapCache,
  isLarge,
  isPmdMigration,
  largeMapcount,
  listEntries,
  mappingObject,
  PRESENT,
  type RawPage,
  rawPage,
  SPECIAL,
  SWAPBACKED,
  scanTables,
  treeNodes,
  WRITE,
} from '../check/raw.ts';
import { vmasOfFile } from '../check/share-lists.ts';
import { mmOfTask, vmasOf, vmFlagCodes } from '../linux/describe.ts';
import { ksm_rmap_item_cachep, type ksm_stable_node } from '../linux/mm/ksm_types.ts';
import { load_content } from '../linux/mm/page_content.ts';
import { PG_dirty, PG_lru, PG_mlocked, PG_unevictable } from '../linux/mm/page-flags.ts';
import {
  _PAGE_DIRTY,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
} from '../linux/mm/pgtable.ts';
import {
  type address_space,
  type anon_vma,
  anon_vma_chain_cachep,
  mem_map,
  type mm_struct,
  type vm_area_struct,
} from '../linux/mm_types.ts';
import { cpu } from '../sim/cpu.ts';
import { allEvents, eventAt, eventTypeAt } from '../sim/event.ts';
import type { Machine } from '../sim/machine.ts';
import { type Obj, serialOf } from '../sim/struct.ts';
import type {
  AnonVmaState,
  PageName,
  PageState,
  ProcessState,
  PteState,
  RmapItem,
  State,
  TreeEntry,
  VmaState,
} from './format.ts';

const avcOfLink = anon_vma_chain_cachep.container('same_vma');
const avcOfNode = anon_vma_chain_cachep.container('rb');
const itemOfLink = ksm_rmap_item_cachep.container('hlist');

/** Small numbers for things, in the order in which they are first asked for. */
class Names {
  readonly #names = new Map<number, number>();
  #last = 0;

  of(key: number): number {
    let name = this.#names.get(key);
    if (name === undefined) {
      name = ++this.#last;
      this.#names.set(key, name);
    }
    return name;
  }

  forget(key: number): void {
    this.#names.delete(key);
  }

  /** Forgets all but these: who comes back is somebody else. */
  keep(keys: ReadonlySet<number>): void {
    for (const key of this.#names.keys()) if (!keys.has(key)) this.#names.delete(key);
  }
}

/** Names of objects by allocation number, which no other object of the type ever gets. */
class ObjectNames<T extends Obj> {
  readonly #names = new Names();

  of(object: T): number {
    return this.#names.of(serialOf(object));
  }
}

/** What is met while one state is read. */
interface Reading {
  readonly slots: Map<mm_struct, number>;
  readonly vmas: Set<vm_area_struct>;
  readonly avs: Set<anon_vma>;
  readonly files: Map<address_space, string>;
  readonly pages: Map<PageName, PageState>;
  readonly frames: Set<number>;
  readonly swapEntries: Set<number>;
}

const markers: Readonly<Record<number, string>> = {
  [PTE_MARKER_GUARD]: 'guard',
  [PTE_MARKER_UFFD_WP]: 'uffd_wp',
  [PTE_MARKER_POISONED]: 'poison',
};

const KSM = 3;
const ANON = 1;

/** Reads states of one machine one after the other; names live from one to the next. */
export class StateReader {
  readonly #machine: Machine;
  readonly #arena: readonly [from: number, to: number];
  readonly #named: ReadonlyMap<address_space, string>;
  readonly #vmas = new ObjectNames<vm_area_struct>();
  readonly #avs = new ObjectNames<anon_vma>();
  readonly #pages = new Names();
  readonly #swaps = new Names();
  readonly #unnamed = new ObjectNames<address_space>();
  #eventsSeen = 0;

  constructor(
    machine: Machine,
    arena: readonly [from: number, to: number],
    named: ReadonlyMap<address_space, string>,
  ) {
    this.#machine = machine;
    this.#arena = arena;
    this.#named = named;
  }

  /** The state now, of the processes that these tasks are. */
  read(tasks: ReadonlyMap<number, number>): State {
    this.#machine.activate();
    this.#forgetFreedPages();
    const reading: Reading = {
      slots: new Map(),
      vmas: new Set(),
      avs: new Set(),
      files: new Map(),
      pages: new Map(),
      frames: new Set(),
      swapEntries: new Set(),
    };
    const mms = new Map<number, mm_struct>();
    for (const [slot, task] of [...tasks].sort(([a], [b]) => a - b)) {
      const mm = mmOfTask(this.#machine, task);
      if (mm === null) continue;
      mms.set(slot, mm);
      reading.slots.set(mm, slot);
    }
    const vmas = new Map([...mms].map(([slot, mm]) => [slot, this.#vmaStates(mm, reading)]));
    const procs = new Map<number, ProcessState>();
    for (const [slot, mm] of mms) {
      const ptes = this.#pteStates(mm, reading);
      procs.set(slot, { locked: mm.locked_vm, vmas: vmas.get(slot) ?? [], ptes });
    }
    this.#pages.keep(reading.frames);
    this.#swaps.keep(reading.swapEntries);
    return {
      procs,
      avs: this.#anonVmaStates(reading),
      files: this.#fileStates(reading),
      pages: this.#nameHeads(reading),
    };
  }

  /** Heads of large folios by name; `out` if nobody maps the head: then each page tells the counts of the folio. */
  #nameHeads(reading: Reading): Map<PageName, PageState> {
    for (const [name, page] of reading.pages) {
      if (page.head === null) continue;
      const frame = page.head as number;
      if (!reading.frames.has(frame)) {
        reading.pages.set(name, { ...page, head: 'out' });
        continue;
      }
      const head = this.#pages.of(frame);
      // The counts of the folio are told once, on its head page.
      const counts = head === name ? {} : { entire: null, largeMapcount: null };
      reading.pages.set(name, { ...page, ...counts, head });
    }
    return reading.pages;
  }

  /** A frame that was freed holds another page when it is met again. */
  #forgetFreedPages(): void {
    const freed = allEvents().find(({ name }) => name === 'kmem:mm_page_free')?.id;
    for (let n = this.#eventsSeen; n < cpu.event_count; n++) {
      if (eventTypeAt(n) !== freed) continue;
      const [page, order] = eventAt(n).values;
      const first = (page as { readonly pfn: number }).pfn;
      for (let i = 0; i < 2 ** (order as number); i++) this.#pages.forget(first + i);
    }
    this.#eventsSeen = cpu.event_count;
  }

  // ---------------------------------------------------------------- VMAs

  #vmaStates(mm: mm_struct, reading: Reading): VmaState[] {
    return this.#inArena(mm).map((vma) => this.#vmaState(vma, reading));
  }

  #inArena(mm: mm_struct): vm_area_struct[] {
    const [from, to] = this.#arena;
    return vmasOf(mm).filter(({ vm_start, vm_end }) => vm_start < to && vm_end > from);
  }

  #vmaState(vma: vm_area_struct, reading: Reading): VmaState {
    reading.vmas.add(vma);
    const chain = listEntries(vma.anon_vma_chain).map((link) => avcOfLink(link).anon_vma);
    for (const av of chain) reading.avs.add(av).add(av.root);
    if (vma.anon_vma !== null) reading.avs.add(vma.anon_vma);
    const mapping = vma.vm_file?.f_mapping ?? null;
    return {
      id: this.#vmas.of(vma),
      start: vma.vm_start,
      end: vma.vm_end,
      flags: vmFlagCodes(vma.vm_flags),
      pgoff: vma.vm_pgoff,
      file: mapping === null ? null : this.#file(mapping, reading),
      anonVma: vma.anon_vma === null ? null : this.#avs.of(vma.anon_vma),
      chain: chain.map((av) => this.#avs.of(av)),
    };
  }

  #file(mapping: address_space, reading: Reading): string {
    const name = this.#named.get(mapping) ?? `s${this.#unnamed.of(mapping) - 1}`;
    reading.files.set(mapping, name);
    return name;
  }

  // ---------------------------------------------------------------- page tables and pages

  #pteStates(mm: mm_struct, reading: Reading): Map<number, PteState> {
    const [from, to] = this.#arena;
    const beyond = this.#inArena(mm).filter(
      ({ vm_start, vm_end }) => vm_start < from || vm_end > to,
    );
    const ptes = new Map<number, PteState>();
    scanTables(mm.pgd, (address, value, _table, pages) => {
      // A mapping that reaches over an end of the arena is shown whole.
      const of = beyond.some(({ vm_start, vm_end }) => vm_start <= address && address < vm_end);
      if (!of && (address < from || address >= to)) return;
      const entry = pages > 1 ? this.#hugeEntry(value, reading) : this.#entry(value, reading);
      ptes.set(address, entry);
    });
    return ptes;
  }

  #entry(value: number, reading: Reading): PteState {
    switch (entryKind(value)) {
      case 'present':
        return this.#presentEntry(value, reading);
      case 'swap': {
        const entry = value & SWAP_ENTRY;
        reading.swapEntries.add(entry);
        const exclusive = (value & SWAP_EXCLUSIVE) !== 0;
        return { kind: 's', ref: this.#swaps.of(entry), bits: exclusive ? 'x' : '' };
      }
      case 'migration':
        return { kind: 't', ref: null, bits: '' };
      default: {
        const marker = entryFrame(value);
        return { kind: 'm', ref: markers[marker] ?? String(marker), bits: '' };
      }
    }
  }

  /** One entry for 512 pages, all of which are named. */
  #hugeEntry(value: number, reading: Reading): PteState {
    if (isPmdMigration(value)) return { kind: 't', ref: null, bits: '' };
    const bits = entryBits(value);
    if ((value & SPECIAL) !== 0) return { kind: 'Z', ref: null, bits };
    const head = entryFrame(value);
    for (let pfn = head; pfn < head + HUGE_PAGES; pfn++) {
      const name = this.#pages.of(pfn);
      reading.frames.add(pfn);
      if (!reading.pages.has(name)) reading.pages.set(name, this.#anonPage(rawPage(pfn), reading));
    }
    return { kind: 'P', ref: this.#pages.of(head), bits };
  }

  #presentEntry(value: number, reading: Reading): PteState {
    const bits = entryBits(value);
    if ((value & SPECIAL) !== 0) return { kind: 'z', ref: null, bits };
    const page = rawPage(entryFrame(value));
    const isFile = (page.mapping & ANON) === 0;
    const name = isFile ? this.#filePage(page, reading) : this.#pages.of(page.pfn);
    if (!isFile) reading.frames.add(page.pfn);
    if (!reading.pages.has(name)) {
      reading.pages.set(name, isFile ? filePage(page) : this.#anonPage(page, reading));
    }
    return { kind: isFile ? 'f' : 'p', ref: name, bits };
  }

  /** `f0:3`; a page that left its file while it was mapped has no name there. */
  #filePage(page: RawPage, reading: Reading): string {
    const mapping = mappingObject(page) as address_space | null;
    return `${mapping === null ? '?' : this.#file(mapping, reading)}:${page.index}`;
  }

  #anonPage(page: RawPage, reading: Reading): PageState {
    const isKsm = (page.mapping & KSM) === KSM;
    const av = isKsm ? null : (mappingObject(page) as anon_vma);
    if (av !== null) reading.avs.add(av).add(av.root);
    const items = isKsm ? this.#items(page, reading) : [];
    const cached = inSwapCache(page);
    const flags = [
      (page.flags & EXCLUSIVE) === 0 ? '' : 'excl',
      (page.flags & SWAPBACKED) === 0 ? '' : 'sb',
      (page.flags & PG_dirty) === 0 ? '' : 'dirty',
      cached ? 'sc' : '',
      ...lruFlags(page),
    ];
    return {
      ...plainPage(page),
      ...this.#largeCounts(page),
      kind: isKsm ? 'ksm' : 'anon',
      anonVma: av === null ? null : this.#avs.of(av),
      index: isKsm ? null : page.index,
      refcount: cached ? null : page.refcount,
      items,
      flags: flags.filter((flag) => flag !== '').join(' '),
    };
  }

  /** What a page of a large folio has besides, until all entries are read: `head` is a frame. */
  #largeCounts({ pfn, mapcount }: RawPage): Partial<PageState> {
    if (!isLarge(pfn)) return {};
    const head = headOf(pfn);
    const entire = entireMapcount(head);
    return { head, mapcount: mapcount + entire, entire, largeMapcount: largeMapcount(head) };
  }

  /** Items of a KSM page in walking order. */
  #items(page: RawPage, reading: Reading): RmapItem[] {
    const node = mappingObject(page) as ksm_stable_node;
    return listEntries(node.hlist).map((link) => {
      const { mm, address, anon_vma } = itemOfLink(link);
      if (anon_vma !== null) reading.avs.add(anon_vma).add(anon_vma.root);
      const slot = mm === null ? undefined : reading.slots.get(mm);
      return [slot ?? null, address, anon_vma === null ? null : this.#avs.of(anon_vma)];
    });
  }

  // ---------------------------------------------------------------- anon_vmas and files

  #tree(vmas: readonly vm_area_struct[], reading: Reading): TreeEntry[] {
    return vmas.map((vma) => {
      const slot = vma.vm_mm === null ? undefined : reading.slots.get(vma.vm_mm);
      if (slot === undefined || !reading.vmas.has(vma)) return [null, null];
      return [slot, this.#vmas.of(vma)];
    });
  }

  #anonVmaStates(reading: Reading): Map<number, AnonVmaState> {
    const states = new Map<number, AnonVmaState>();
    const byName = [...reading.avs].sort((a, b) => this.#avs.of(a) - this.#avs.of(b));
    for (const av of byName) {
      const links = treeNodes(av.rb_root).map(({ at }) => avcOfNode(at).vma);
      // The parent may be gone: nobody but its child points to it, and another may be in its place, younger than the child.
      const isThere =
        av.parent !== null && reading.avs.has(av.parent) && serialOf(av.parent) <= serialOf(av);
      const parent = isThere ? av.parent : null;
      states.set(this.#avs.of(av), {
        root: this.#avs.of(av.root),
        parent: parent === null ? null : this.#avs.of(parent),
        refcount: av.refcount,
        numChildren: av.num_children,
        numActiveVmas: av.num_active_vmas,
        tree: this.#tree(links, reading),
      });
    }
    return states;
  }

  #fileStates(reading: Reading): Map<string, TreeEntry[]> {
    const states = new Map<string, TreeEntry[]>();
    for (const [mapping, name] of reading.files) {
      states.set(name, this.#tree(vmasOfFile(mapping), reading));
    }
    return states;
  }
}

/** Pages of a huge entry. */
const HUGE_PAGES = 512;

function entryBits(value: number): string {
  return (
    ((value & WRITE) === 0 ? '' : 'w') +
    ((value & _PAGE_DIRTY) === 0 ? '' : 'd') +
    ((value & PRESENT) === 0 ? 'n' : '')
  );
}

/** Type (bits 5 and 6) and offset of a swap entry. */
const SWAP_ENTRY = ~0x9f;
/** Bit of a swap entry: no other mm has it. */
const SWAP_EXCLUSIVE = 1 << 3;

function lruFlags(page: RawPage): string[] {
  return [
    (page.flags & PG_lru) === 0 ? 'nolru' : '',
    (page.flags & PG_unevictable) === 0 ? '' : 'unev',
    (page.flags & PG_mlocked) === 0 ? '' : 'ml',
  ];
}

function plainPage(page: RawPage): PageState {
  return {
    kind: 'file',
    anonVma: null,
    index: null,
    mapcount: page.mapcount,
    refcount: null,
    flags: '',
    byte: load_content(mem_map.at(page.pfn).content, 0),
    head: null,
    entire: null,
    largeMapcount: null,
    items: [],
  };
}

/** Dirtiness and references of page-cache pages are not recorded. */
function filePage(page: RawPage): PageState {
  const flags = lruFlags(page).filter((flag) => flag !== '');
  return { ...plainPage(page), flags: flags.join(' ') };
}
