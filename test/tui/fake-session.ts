import type {
  AnonVmaView,
  Completion,
  CostsView,
  CostView,
  EventsView,
  EventView,
  LocksView,
  MmView,
  OutputLine,
  PageRowView,
  PagesView,
  PageTablesView,
  PageView,
  Ref,
  SessionView,
  SourceView,
  StatusView,
  TaskView,
  VisitMark,
  WalkView,
} from '../../src/debugger/view.ts';
import { SOURCE_FILE, SOURCE_LINES } from './fake-source.ts';

/**
 * A parent A and its children B, C and D share the page at A's third address; kcompactd migrates it
 * and its rmap walk has visited two of four VMAs. Stepping moves the line and the walk.
 */

const BASE = 0x7f00_0000_0000;
const PROCESSES = ['A', 'B', 'C', 'D'] as const;
const FIRST_LINE = 9;
const LAST_LINE = 44;

const ref = (kind: Ref['kind'], id: number, serial: number, label: string): Ref => ({
  kind,
  id,
  serial,
  label,
});

export const mmRef = (index: number): Ref =>
  ref('mm', index, index + 1, `mm ${PROCESSES[index] ?? '?'}`);
export const vmaRef = (index: number): Ref =>
  ref('vma', index, 20 + index, `vma ${PROCESSES[index] ?? '?'}:7f0000000`);
export const anonRef = (index: number): Ref =>
  ref(
    'anon_vma',
    index,
    12 + index * 3,
    `anon_vma@${(0xa10 + index * 0x58).toString(16)}#${12 + index * 3}`,
  );
export const pageRef: Ref = ref('page', 0x1f3, 0, 'page 1f3');
export const taskRef = (index: number, name: string): Ref => ref('task', index, index + 1, name);
export const lockRef: Ref = ref('lock', 4, 4, 'anon_vma@a10#12.rwsem');

export interface FakeOptions {
  /** Steps a `continue` takes before it stops. */
  readonly continueSteps?: number;
}

export class FakeSession implements SessionView {
  readonly executed: string[] = [];
  step = 812;
  lastStep = 1300;
  line = FIRST_LINE + 12;
  interrupted = 0;
  #left = 0;
  #direction = 1;
  #stop = 'Breakpoint 1, rmap:walk_visit (vma=C:7f0000000 address=7f0000002000)';
  #output: OutputLine[] = [
    { role: 'text', text: 'Simulating v6.18, 2 cpus, 64M, swap 16M.' },
    { role: 'stop', text: 'Breakpoint 1, rmap:walk_visit (vma=C:7f0000000)' },
  ];
  #selection: Ref[] = [vmaRef(0), pageRef];
  readonly #history: Ref[][] = [];
  #breakpoints = [
    { line: FIRST_LINE + 8, id: 1, enabled: true },
    { line: FIRST_LINE + 22, id: 2, enabled: false },
  ];
  readonly #continueSteps: number;

  constructor(options: FakeOptions = {}) {
    this.#continueSteps = options.continueSteps ?? 40;
  }

  status(): StatusView {
    return {
      title: 'mprotect races a migration walk',
      file: 'tour/03-migrate.mm',
      kernel: 'v6.18',
      step: this.step,
      lastStep: this.lastStep,
      task: 'kcompactd',
      fn: 'rmap_walk_anon',
      statement: { line: 14, text: 'kcompactd: migrate(A, p+2p)' },
      stop: this.#stop,
      running: this.#left > 0,
      finished: false,
      findings: [],
      marks: [{ name: 'forked', step: 402 }],
    };
  }

  execute(line: string): void {
    // Asked once when the screen opens; `executed` is what keys and the command line did.
    if (line === 'info scenario') return;
    this.executed.push(line);
    const [verb = '', argument = ''] = line.split(/\s+/);
    const count = Math.max(1, Number.parseInt(argument, 10) || 1);
    this.#direction = verb.startsWith('reverse-') ? -1 : 1;
    switch (verb.replace('reverse-', '')) {
      case 'step':
      case 'next':
      case 'stepi':
        this.#left = count;
        return;
      case 'continue':
      case 'finish':
        this.#left = this.#continueSteps;
        return;
      case 'where':
        this.#say('text', '#0  rmap_walk_anon () at mm/rmap.c:21');
        return;
      case 'break':
        this.#setBreakpoint(argument);
        return;
      case 'delete':
        this.#breakpoints = this.#breakpoints.filter((point) => point.id !== Number(argument));
        return;
      case 'print':
        this.#say('text', `$1 = ${line.slice('print'.length).trim()}`);
        return;
      case 'bogus':
        this.#say('error', 'Undefined command: "bogus". Try "help".');
        return;
      default:
        return;
    }
  }

  pump(budget: number): 'running' | 'stopped' {
    const steps = Math.min(budget, this.#left);
    this.#left -= steps;
    this.step = Math.max(0, this.step + steps * this.#direction);
    this.lastStep = Math.max(this.lastStep, this.step);
    const span = LAST_LINE - FIRST_LINE + 1;
    const offset = this.line - FIRST_LINE + (steps % span) * this.#direction;
    this.line = FIRST_LINE + ((offset + span) % span);
    if (this.#left > 0) return 'running';
    if (steps > 0)
      this.#stop = `step ${this.step}: rmap_walk_anon () at ${SOURCE_FILE}:${this.line}`;
    return 'stopped';
  }

  interrupt(): void {
    this.interrupted++;
    this.#left = 0;
    this.#stop = 'Interrupted.';
  }

  takeOutput(): readonly OutputLine[] {
    const lines = this.#output;
    this.#output = [];
    return lines;
  }

  complete(line: string, cursor: number): readonly Completion[] {
    const head = line.slice(0, cursor);
    const word = head.slice(head.lastIndexOf(' ') + 1);
    const words = head.includes(' ') ? EVENT_NAMES : COMMANDS;
    return words.filter(([text]) => text.startsWith(word)).map(([text, help]) => ({ text, help }));
  }

  select(target: Ref): void {
    this.#history.push(this.#selection);
    this.#selection = [target, ...this.#selection.filter((other) => other.kind !== target.kind)];
  }

  selection(): readonly Ref[] {
    return this.#selection;
  }

  back(): boolean {
    const before = this.#history.pop();
    if (before) this.#selection = before;
    return before !== undefined;
  }

  source(): SourceView {
    return {
      file: SOURCE_FILE,
      fn: 'rmap_walk_anon',
      line: this.line,
      isScenario: false,
      lines: SOURCE_LINES,
      breakpoints: this.#breakpoints,
      locals: [
        { name: 'folio', value: 'page 1f3', ref: pageRef, changed: false },
        { name: 'anon_vma', value: anonRef(0).label, ref: anonRef(0), changed: false },
        { name: 'vma', value: vmaRef(2).label, ref: vmaRef(2), changed: true },
        { name: 'address', value: '0x7f0000002000', changed: false },
      ],
    };
  }

  tasks(): readonly TaskView[] {
    const idle = (index: number, name: string): TaskView => ({
      ref: taskRef(index, name),
      id: index,
      name,
      process: name,
      state: 'idle',
      operation: '',
      waitsFor: '',
      held: [],
      frames: [],
      selected: false,
    });
    return [
      {
        ...idle(1, 'A'),
        state: 'blocked',
        operation: 'mprotect(p, 2p, PROT_READ)',
        waitsFor: 'anon_vma@a10#12.rwsem (write), held by kcompactd',
        held: [
          { lock: ref('lock', 1, 1, 'mm A.mmap_lock'), cls: 'mm_struct.mmap_lock', mode: 'write' },
        ],
        frames: [],
      },
      idle(2, 'B'),
      idle(3, 'C'),
      idle(4, 'D'),
      {
        ...idle(9, 'kcompactd'),
        process: '',
        state: 'running',
        operation: 'migrate(A, p+2p)',
        held: [
          { lock: ref('lock', 3, 3, 'page 1f3.lock'), cls: 'page.lock', mode: 'write' },
          { lock: lockRef, cls: 'anon_vma.rwsem', mode: 'read' },
        ],
        frames: [
          { depth: 0, fn: 'rmap_walk_anon', file: SOURCE_FILE, line: this.line },
          { depth: 1, fn: 'try_to_migrate', file: SOURCE_FILE, line: 512 },
          { depth: 2, fn: 'migrate_folio_unmap', file: 'mm/migrate.c', line: 88 },
        ],
        selected: true,
      },
    ];
  }

  mms(): readonly MmView[] {
    return PROCESSES.map((process, index) => ({
      ref: mmRef(index),
      process,
      mapCount: index === 0 ? 3 : 2,
      totalPages: 8,
      picture: [
        '7f0000000  0   1   2   3   4   5   6   7  ...  7ffffffde',
        `           a*  a*  b*  b   b   b   b   b  ...  ${index === 0 ? 'c*  c' : 'c   c'}`,
      ],
      vmas: this.#vmas(index),
      selected: index === 0,
    }));
  }

  #vmas(index: number): MmView['vmas'] {
    const plain = {
      perms: 'rw-p',
      vmFlags: 'rd wr mr mw me ac',
      file: '',
      isNew: false,
      changed: [],
      swapped: 0,
    };
    return [
      {
        ...plain,
        ref: vmaRef(index),
        letter: 'a',
        start: BASE,
        end: BASE + 0x2000,
        perms: index === 0 ? 'r--p' : 'rw-p',
        pgoff: 0x7f0000000,
        anonVma: anonRef(index),
        avcs: index + 1,
        present: 2,
        changed: index === 0 ? ['vm_end', 'vm_flags'] : [],
      },
      {
        ...plain,
        ref: ref('vma', 10 + index, 40 + index, `vma ${PROCESSES[index]}:7f0000002`),
        letter: 'b',
        start: BASE + 0x2000,
        end: BASE + 0x8000,
        pgoff: 0x7f0000002,
        anonVma: anonRef(index),
        avcs: index + 1,
        present: 1,
        swapped: 1,
        isNew: index === 0,
      },
      {
        ...plain,
        ref: ref('vma', 30 + index, 60 + index, `vma ${PROCESSES[index]}:7ffffffde`),
        letter: 'c',
        start: 0x7fff_fffd_e000,
        end: 0x7fff_fffe_0000,
        pgoff: 0x7fffffffd,
        vmFlags: 'rd wr mr mw me gd ac',
        anonVma: null,
        avcs: 0,
        present: 0,
      },
    ];
  }

  anonVmas(): AnonVmaView {
    const marks: VisitMark[] = ['hit', 'miss', 'current', 'next'];
    const nodes = PROCESSES.map((_, index) => ({
      ref: anonRef(index),
      depth: index === 0 ? 0 : index === 3 ? 2 : 1,
      last: index === 0 ? [] : index === 3 ? [true, true] : [index === 2],
      refcount: index === 0 ? 4 : 1,
      numChildren: index === 0 ? 3 : index === 2 ? 1 : 0,
      numActiveVmas: 1,
      vmas: PROCESSES.map((name, i) => ({
        vma: vmaRef(i),
        process: name,
        mark: index === 0 ? (marks[i] ?? 'none') : ('none' as const),
      })).filter((_, i) => index === 0 || i === index || (index === 2 && i === 3)),
      lockedBy: index === 0 ? 'R kcompactd' : '',
      changed: index === 0 ? ['refcount'] : [],
    }));
    const rows = PROCESSES.map((process, index) => ({
      vma: vmaRef(index),
      process,
      cells: PROCESSES.map((_, column) => ({
        link:
          column === index
            ? ('own' as const)
            : column === 0 || (index === 3 && column === 2)
              ? ('linked' as const)
              : ('none' as const),
        mark: column === 0 ? (marks[index] ?? 'none') : ('none' as const),
      })),
    }));
    const columns = [
      { field: 'refcount' as const, title: 'ref' },
      { field: 'numChildren' as const, title: 'child' },
      { field: 'numActiveVmas' as const, title: 'act' },
    ];
    return {
      early: [],
      columns,
      nodes,
      rows,
    };
  }

  pageTables(): PageTablesView {
    return {
      process: 'A',
      address: BASE + 0x2000,
      vma: vmaRef(0),
      levels: [
        { name: 'PGD', index: 0xfe, entry: 'table 00a1', present: true },
        { name: 'PUD', index: 0, entry: 'table 00a2', present: true },
        { name: 'PMD', index: 0, entry: 'table 00a3', present: true },
        { name: 'PTE', index: 2, entry: 'migration page 1f3', present: true },
      ],
      entries: [0, 1, 2, 3, 4].map((index) => ({
        index,
        address: BASE + index * 0x1000,
        kind:
          index === 2 ? ('migration' as const) : index < 2 ? ('page' as const) : ('none' as const),
        bits: index < 2 ? 'PRESENT RW ACCESSED DIRTY' : index === 2 ? 'WRITE ANON_EXCL' : '',
        text: index === 2 ? 'page 1f3' : index < 2 ? `page 1f${index + 1}` : '',
        page: index === 2 ? pageRef : null,
        note: index === 2 ? 'anon map 3 ref 5' : '',
        selected: index === 2,
        changed: index === 2,
      })),
    };
  }

  page(): PageView {
    return {
      ref: pageRef,
      pfn: 0x1f3,
      fields: [
        { name: 'flags', value: 'locked uptodate swapbacked', changed: true },
        { name: 'mapping', value: `${anonRef(0).label} | ANON`, ref: anonRef(0), changed: false },
        { name: 'index', value: '7f0000002', changed: false },
        { name: 'mapcount', value: '3', changed: true },
        { name: 'refcount', value: '5', changed: false },
      ],
      mappings: PROCESSES.map((process, index) => ({
        process,
        vma: vmaRef(index),
        address: BASE + 0x2000,
        pte: index === 0 ? 'migration' : 'PRESENT',
        via: index === 3 ? '' : anonRef(0).label,
      })),
      items: [],
    };
  }

  pages(first: number, count: number, filter: string): PagesView {
    const rows = PAGE_ROWS.filter((each) => filter === '' || each.kind === filter);
    return {
      total: rows.length,
      first,
      rows: rows.slice(first, first + count),
      selected: rows.findIndex((each) => each.at === pageRef.id),
      counts: [
        { name: 'MemTotal', pages: 16384 },
        { name: 'MemFree', pages: 15866 },
        { name: 'Cached', pages: 1 },
        { name: 'SwapCached', pages: 1 },
        { name: 'Inactive(anon)', pages: 514 },
        { name: 'AnonPages', pages: 515 },
        { name: 'SwapFree', pages: 4093 },
      ],
      complete: true,
    };
  }

  pageRow(key: string, filter: string): number {
    return PAGE_ROWS.filter((each) => filter === '' || each.kind === filter).findIndex(
      (each) => each.key === key,
    );
  }

  locks(): LocksView {
    return {
      locks: [
        {
          ref: ref('lock', 1, 1, 'mm A.mmap_lock'),
          cls: 'mm_struct.mmap_lock',
          kind: 'rwsem',
          holders: [{ task: 'A', mode: 'write' }],
          waiters: [],
        },
        {
          ref: ref('lock', 3, 3, 'page 1f3.lock'),
          cls: 'page.lock',
          kind: 'page',
          holders: [{ task: 'kcompactd', mode: 'write' }],
          waiters: [],
        },
        {
          ref: lockRef,
          cls: 'anon_vma.rwsem',
          kind: 'rwsem',
          holders: [{ task: 'kcompactd', mode: 'read' }],
          waiters: [{ task: 'A', mode: 'write' }],
        },
      ],
      order: [
        { from: 'mm_struct.mmap_lock', to: 'anon_vma.rwsem', count: 12 },
        { from: 'page.lock', to: 'anon_vma.rwsem', count: 3 },
      ],
      tree: [
        { depth: 0, cls: 'inode->i_rwsem', holders: '' },
        { depth: 1, cls: 'mm->mmap_lock', holders: 'W:A' },
        { depth: 2, cls: 'mapping->i_mmap_rwsem', holders: '' },
        { depth: 3, cls: 'anon_vma->rwsem', holders: 'R:kcompactd' },
        { depth: 4, cls: 'mm->page_table_lock or pte_lock', holders: '' },
      ],
    };
  }

  costs(): CostsView {
    const one = { count: 3, min: 1, mean: 2, max: 3, total: 6 };
    const walks = { purpose: 'all', visits: one, hits: 4, wasted: 2, ptes: 4 };
    const here: CostView = {
      kernel: 'v6.18',
      step: 900,
      walks,
      byPurpose: [{ ...walks, purpose: 'folio_referenced_one' }],
      locks: [{ cls: 'anon_vma.rwsem', rmap: true, taken: 12, contended: 1, held: one }],
      forks: { steps: one, locks: one, links: one },
      objects: [
        { name: 'anon_vma', count: 5, bytes: 520 },
        { name: 'anon_vma_chain', count: 9, bytes: 576 },
      ],
      bytes: 1096,
      pages: 10,
      vmas: 5,
      bytesPerPage: 109.6,
      bytesPerVma: 219.2,
    };
    return {
      here,
      compared: [
        {
          metric: 'visits',
          doc: 'VMAs visited by a walk, mean',
          kernels: [
            { kernel: 'v2.6.33', value: 8 },
            { kernel: 'v6.18', value: 2 },
            { kernel: 'root-only', value: 0 },
          ],
        },
      ],
      refused: [{ kernel: 'v2.4.0', why: 'there is no mseal' }],
    };
  }

  walks(): readonly WalkView[] {
    const base = { page: pageRef, anonVma: anonRef(0), task: 'kcompactd' };
    return [
      {
        ...base,
        id: 1,
        task: 'kswapd',
        purpose: 'folio_referenced_one',
        beganAt: 430,
        endedAt: 498,
        visits: [],
        visited: 4,
        hits: 4,
        wasted: 0,
        ptes: 4,
        locksTaken: 6,
        steps: 68,
      },
      {
        ...base,
        id: 2,
        purpose: 'try_to_migrate_one',
        beganAt: 771,
        endedAt: -1,
        visits: (['hit', 'miss', 'pending'] as const).map((result, index) => ({
          index,
          step: 780 + index * 14,
          vma: vmaRef(index),
          process: PROCESSES[index] ?? '?',
          address: BASE + 0x2000,
          result,
          ptes: result === 'hit' ? 1 : 0,
          cost: 17 + index * 14,
        })),
        visited: 2,
        hits: 1,
        wasted: 1,
        ptes: 1,
        locksTaken: 3,
        steps: 41,
      },
    ];
  }

  events(first: number, count: number, filter: string): EventsView {
    const all = EVENTS.filter((event) => filter === '' || event.name.includes(filter));
    return { total: all.length, first, rows: all.slice(first, first + count) };
  }

  #setBreakpoint(place: string): void {
    const line = Number(place.split(':')[1]);
    const id = Math.max(0, ...this.#breakpoints.map((point) => point.id)) + 1;
    if (line > 0) this.#breakpoints = [...this.#breakpoints, { line, id, enabled: true }];
    this.#say('text', `Breakpoint ${id} at ${place}.`);
  }

  #say(role: OutputLine['role'], text: string): void {
    this.#output.push({ role, text });
  }
}

const PAGE: PageRowView = {
  key: 'folio:499',
  ref: pageRef,
  at: 0x1f3,
  pages: 1,
  part: false,
  kind: 'anon',
  mapcount: 3,
  entries: 3,
  refcount: 5,
  extraRefs: 1,
  lru: 'inactive_anon',
  mapping: anonRef(0),
  mappingText: anonRef(0).label,
  index: 0x7f0000002,
  flags: ['locked', 'uptodate', 'lru', 'swapbacked'],
  notes: ['1 migrating', '1 more ref'],
  by: ['B', 'C', 'D'].map((process) => ({ process, entries: 1 })),
  shared: true,
  isNew: false,
  changed: ['flags', 'mapcount'],
};

const fakePage = (pfn: number, rest: Partial<PageRowView>): PageRowView => ({
  ...PAGE,
  key: `folio:${pfn}`,
  ref: ref('page', pfn, 0, `page ${pfn.toString(16)}`),
  at: pfn,
  notes: [],
  extraRefs: 0,
  shared: false,
  changed: [],
  flags: ['uptodate', 'lru', 'swapbacked'],
  ...rest,
});

const only = (process: string, entries = 1): PageRowView['by'] => [{ process, entries }];
const noObject = { mapping: null, mappingText: '', index: 0, lru: '' } as const;

/** One of every sort. */
const PAGE_ROWS: readonly PageRowView[] = [
  fakePage(0, {
    ...noObject,
    kind: 'zero',
    mapcount: 0,
    entries: 2,
    refcount: 1,
    by: only('A', 2),
    flags: ['reserved'],
  }),
  PAGE,
  fakePage(0x1f4, {
    mapcount: 1,
    entries: 1,
    refcount: 3,
    by: only('A'),
    lru: 'batch',
    notes: ['swap slot 4'],
    flags: ['uptodate', 'dirty', 'swapbacked', 'swapcache', 'anon_exclusive'],
  }),
  fakePage(0x1f5, {
    kind: 'ksm',
    mapping: null,
    mappingText: 'ksm_stable_node',
    by: [...only('A', 2), ...only('B')],
    shared: true,
  }),
  fakePage(0x1f6, {
    kind: 'file',
    mapping: ref('file', 3, 9, 'file /lib/libc.so'),
    mappingText: 'file /lib/libc.so',
    mapcount: 0,
    entries: 0,
    refcount: 1,
    lru: 'active_file',
    by: [],
    flags: ['uptodate', 'lru', 'active'],
  }),
  fakePage(0x200, {
    pages: 512,
    mapcount: 3,
    entries: 3,
    refcount: 3,
    by: [...only('A'), ...only('B', 2)],
    shared: true,
    notes: ['entire 1'],
    flags: ['uptodate', 'lru', 'head', 'swapbacked'],
  }),
  fakePage(0x200, {
    ...noObject,
    key: 'part:512',
    pages: 2,
    part: true,
    mapcount: 1,
    entries: 2,
    by: only('B', 2),
    flags: [],
  }),
  fakePage(0x202, {
    ...noObject,
    key: 'part:514',
    pages: 510,
    part: true,
    mapcount: 0,
    entries: 0,
    by: [],
    flags: [],
  }),
  fakePage(0x400, {
    ...noObject,
    kind: 'kernel',
    mapcount: 0,
    entries: 0,
    refcount: 1025,
    by: [],
    notes: ['pins 1', '1 more ref'],
    flags: [],
    isNew: true,
  }),
  fakePage(0x401, {
    ...noObject,
    kind: 'free',
    mapcount: 0,
    entries: 0,
    refcount: 0,
    by: [],
    notes: ['freed'],
    flags: [],
  }),
  fakePage(3, {
    ...noObject,
    key: 'slot:3',
    ref: null,
    kind: 'swap',
    mapcount: 0,
    entries: 2,
    by: [...only('A'), ...only('B')],
    notes: ['2 swap entries'],
    flags: [],
  }),
];

const COMMANDS: readonly (readonly [string, string])[] = [
  ['break', 'stop at a function, an event or a line'],
  ['backtrace', 'the stack of the selected task'],
  ['continue', 'run to the next breakpoint'],
  ['condition', 'stop only when an expression holds'],
  ['step', 'one statement'],
];

const EVENT_NAMES: readonly (readonly [string, string])[] = [
  ['rmap:walk_begin', 'a walk starts'],
  ['rmap:walk_visit', 'a walk looks at one VMA'],
  ['rmap:walk_end', 'a walk is over'],
];

const NAMES = ['rmap:walk_visit', 'rmap:walk_hit', 'rmap:walk_miss', 'lock:acquire', 'pte:set'];

const EVENTS: readonly EventView[] = Array.from({ length: 120 }, (_, index) => ({
  index,
  step: 100 + index * 6,
  task: index % 5 === 4 ? 'A' : 'kcompactd',
  name: NAMES[index % NAMES.length] ?? '',
  fields: [
    { name: 'vma', value: `${PROCESSES[index % 4]}:7f0000000` },
    { name: 'address', value: (BASE + (index % 8) * 0x1000).toString(16) },
  ],
}));
