/**
 * What a front end sees: plain, serialisable data, no live objects. The TUI draws it, `run --json`
 * prints it, tests compare it. The session (session.ts) makes it; inspect/ has one builder per view.
 *
 * Addresses are numbers (exact up to 2^53). Steps count executed kernel statements from 0.
 */

/** A simulated object named so that it survives a time jump: its address can be reused, its serial never is. */
export interface Ref {
  readonly kind:
    | 'task'
    | 'mm'
    | 'vma'
    | 'anon_vma'
    | 'avc'
    | 'page'
    | 'pte'
    | 'lock'
    | 'file'
    | 'source';
  /** Heap slot of an object, pfn of a page, task id of a task, virtual address of a pte. */
  readonly id: number;
  /** Never reused; 0 where the kind has none. */
  readonly serial: number;
  /** As the screen shows it: `vma A:7f00..`, `anon_vma@ffff888000a10#12`, `page 1f3`. */
  readonly label: string;
}

export interface FieldView {
  readonly name: string;
  readonly value: string;
  readonly ref?: Ref;
  /** Differs from the value at the previous stop. */
  readonly changed: boolean;
}

export interface FrameView {
  readonly depth: number;
  readonly fn: string;
  readonly file: string;
  readonly line: number;
}

export interface SourceView {
  readonly file: string;
  readonly fn: string;
  /** 1-based line about to be executed; 0 when there is none. */
  readonly line: number;
  /** The task is not in the kernel: `lines` are the scenario's, `line` the statement that comes next. */
  readonly isScenario: boolean;
  readonly lines: readonly string[];
  readonly breakpoints: readonly {
    readonly line: number;
    readonly id: number;
    readonly enabled: boolean;
  }[];
  /** Parameters and locals of the selected frame. */
  readonly locals: readonly FieldView[];
}

export interface HeldLockView {
  readonly lock: Ref;
  /** lockdep-style class: `mm_struct.mmap_lock`. */
  readonly cls: string;
  readonly mode: 'read' | 'write';
}

export interface TaskView {
  readonly ref: Ref;
  readonly id: number;
  readonly name: string;
  /** Process (actor) the thread belongs to; empty for kernel threads. */
  readonly process: string;
  readonly state: 'running' | 'runnable' | 'blocked' | 'idle' | 'dead' | 'oops';
  /** The operation in flight, as the scenario wrote it. */
  readonly operation: string;
  readonly waitsFor: string;
  readonly held: readonly HeldLockView[];
  readonly frames: readonly FrameView[];
  /** The task the debugger looks at. */
  readonly selected: boolean;
}

export interface VmaView {
  readonly ref: Ref;
  /** One letter per VMA of the mm, in address order: the letters of `picture`. */
  readonly letter: string;
  readonly start: number;
  readonly end: number;
  /** `rw-p`, as in /proc/PID/maps. */
  readonly perms: string;
  /** The two-letter codes of smaps VmFlags. */
  readonly vmFlags: string;
  readonly pgoff: number;
  readonly file: string;
  readonly anonVma: Ref | null;
  readonly avcs: number;
  /** Pages present, and pages swapped out or under migration. */
  readonly present: number;
  readonly swapped: number;
  readonly isNew: boolean;
  /** Names of fields that changed since the previous stop. */
  readonly changed: readonly string[];
}

export interface MmView {
  readonly ref: Ref;
  readonly process: string;
  readonly mapCount: number;
  readonly totalPages: number;
  /** Two lines: a page ruler and one letter per page (`*` = page present), gaps shortened. */
  readonly picture: readonly string[];
  readonly vmas: readonly VmaView[];
  readonly selected: boolean;
}

/** What the walk in progress did with one AVC (VMA x anon_vma). */
export type VisitMark = 'none' | 'hit' | 'miss' | 'current' | 'next';

export interface AnonVmaNodeView {
  readonly ref: Ref;
  /** Depth in the parent tree; a root has 0. */
  readonly depth: number;
  /** For drawing branches: whether each ancestor level, and the node itself, is the last child. */
  readonly last: readonly boolean[];
  readonly refcount: number;
  readonly numChildren: number;
  readonly numActiveVmas: number;
  /** VMAs in its interval tree or on its list, in the order a walk visits them. */
  readonly vmas: readonly {
    readonly vma: Ref;
    readonly process: string;
    readonly mark: VisitMark;
  }[];
  readonly lockedBy: string;
  readonly changed: readonly string[];
}

/** A counter of an anon_vma that the running kernel keeps, and what it is called. */
export interface AnonVmaColumn {
  readonly field: 'refcount' | 'numChildren' | 'numActiveVmas';
  readonly title: string;
}

/** One line of a reverse map without anon_vmas. */
export interface RmapLineView {
  readonly depth: number;
  readonly text: string;
  readonly ref: Ref | null;
}

export interface AnonVmaView {
  /** What a kernel before anon_vma has instead; empty on others. */
  readonly early: readonly RmapLineView[];
  readonly columns: readonly AnonVmaColumn[];
  /** Forest in preorder. */
  readonly nodes: readonly AnonVmaNodeView[];
  /** Incidence matrix: rows are VMAs, columns anon_vmas (indices into `nodes`); a cell is an AVC. */
  readonly rows: readonly {
    readonly vma: Ref;
    readonly process: string;
    /** `own`: vma->anon_vma; `linked`: in the chain only; `none`: no AVC. */
    readonly cells: readonly {
      readonly link: 'own' | 'linked' | 'none';
      readonly mark: VisitMark;
    }[];
  }[];
}

export interface PageTablesView {
  readonly process: string;
  readonly address: number;
  readonly vma: Ref | null;
  /** From PGD down; stops at the first missing level. */
  readonly levels: readonly {
    readonly name: 'PGD' | 'PUD' | 'PMD' | 'PTE';
    readonly index: number;
    readonly entry: string;
    readonly present: boolean;
  }[];
  /** Entries around the address in the last table reached. */
  readonly entries: readonly {
    readonly index: number;
    readonly address: number;
    readonly kind:
      | 'none'
      | 'page'
      | 'zero'
      | 'file'
      | 'huge'
      | 'swap'
      | 'migration'
      | 'marker'
      | 'protnone'
      | 'table';
    /** Decoded bits as `PRESENT RW ACCESSED DIRTY`. */
    readonly bits: string;
    readonly text: string;
    readonly page: Ref | null;
    /** Counters of the page: `anon map 2 ref 3`; empty where there is none. */
    readonly note: string;
    readonly selected: boolean;
    readonly changed: boolean;
  }[];
}

export interface PageView {
  readonly ref: Ref;
  readonly pfn: number;
  readonly fields: readonly FieldView[];
  /** Every mapping of the page, by brute force over the page tables, and how the rmap reaches it. */
  readonly mappings: readonly {
    readonly process: string;
    readonly vma: Ref | null;
    readonly address: number;
    readonly pte: string;
    /** anon_vma through which a walk finds it; empty when no walk would. */
    readonly via: string;
  }[];
  /** Of a KSM page: the addresses that ksmd merged into it, in the order of a walk. */
  readonly items: readonly {
    readonly ref: Ref | null;
    /** Empty when the process has exited. */
    readonly process: string;
    readonly address: number;
    /** Where the walk looks for mappings of the address. */
    readonly anonVma: Ref | null;
    /** The address maps something else now; the next pass frees the item. */
    readonly stale: boolean;
  }[];
}

/** A folio, a run of pages of a large one (`part`), a frame freed since the last stop, or a swap slot. */
export interface PageRowView {
  /** The same while the row stands for the same thing. */
  readonly key: string;
  /** Null for a swap slot. */
  readonly ref: Ref | null;
  /** First frame, or offset of a swap slot. */
  readonly at: number;
  readonly pages: number;
  readonly part: boolean;
  readonly kind: 'anon' | 'ksm' | 'file' | 'shmem' | 'zero' | 'kernel' | 'free' | 'swap';
  /** As the kernel counts, and the entries that there are. */
  readonly mapcount: number;
  readonly entries: number;
  readonly refcount: number;
  /** References that no mapping, cache or batch accounts for. */
  readonly extraRefs: number;
  /** List it is on: `inactive_anon`, `batch`; empty when on none. */
  readonly lru: string;
  readonly mapping: Ref | null;
  readonly mappingText: string;
  /** Page offset. */
  readonly index: number;
  /** As crash's `kmem -p` has them. */
  readonly flags: readonly string[];
  /** What the columns do not say: `2 migrating`, `swap slot 3`, `entire 1`, `pins 1`. */
  readonly notes: readonly string[];
  /** Who maps it, and with how many entries. */
  readonly by: readonly { readonly process: string; readonly entries: number }[];
  /** Mapped by more than one address space. */
  readonly shared: boolean;
  readonly isNew: boolean;
  /** Names among kind, mapcount, refcount, mapping, flags. */
  readonly changed: readonly string[];
}

export interface PagesView {
  /** Rows that the filter leaves. */
  readonly total: number;
  /** Index of rows[0]. */
  readonly first: number;
  readonly rows: readonly PageRowView[];
  /** Index of the selected page, or -1. */
  readonly selected: number;
  /** In pages, names as in /proc/meminfo; what is 0 is left out, MemTotal and MemFree aside. */
  readonly counts: readonly { readonly name: string; readonly pages: number }[];
  /** False when there is more than was looked at. */
  readonly complete: boolean;
}

export interface LockView {
  readonly ref: Ref;
  readonly cls: string;
  readonly kind: 'spinlock' | 'rwsem' | 'mutex' | 'page' | 'rcu' | 'vma';
  readonly holders: readonly { readonly task: string; readonly mode: 'read' | 'write' }[];
  readonly waiters: readonly { readonly task: string; readonly mode: 'read' | 'write' }[];
}

export interface LocksView {
  /** Locks held or waited for, now. */
  readonly locks: readonly LockView[];
  /** Order edges seen so far: `from` was held while `to` was taken. */
  readonly order: readonly { readonly from: string; readonly to: string; readonly count: number }[];
  /** The kernel's documented lock tree with current holders. */
  readonly tree: readonly {
    readonly depth: number;
    readonly cls: string;
    readonly holders: string;
  }[];
}

export interface VisitView {
  readonly index: number;
  readonly step: number;
  readonly vma: Ref;
  readonly process: string;
  readonly address: number;
  readonly result: 'hit' | 'miss' | 'pending';
  /** Page-table entries found in this VMA. */
  readonly ptes: number;
  /** Steps spent since the walk began, at the end of this visit. */
  readonly cost: number;
}

export interface WalkView {
  readonly id: number;
  readonly task: string;
  /** rmap_one of the walk: `folio_referenced_one`, `try_to_unmap_one`, ... */
  readonly purpose: string;
  readonly page: Ref;
  readonly anonVma: Ref | null;
  readonly beganAt: number;
  /** Step at which it ended, or -1 while it runs. */
  readonly endedAt: number;
  readonly visits: readonly VisitView[];
  readonly visited: number;
  readonly hits: number;
  readonly wasted: number;
  readonly ptes: number;
  readonly locksTaken: number;
  readonly steps: number;
}

export interface EventView {
  readonly index: number;
  readonly step: number;
  readonly task: string;
  /** `rmap:walk_visit`. */
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly value: string }[];
}

export interface EventsView {
  /** Events from the start of history to the current step. */
  readonly total: number;
  /** Index of rows[0]. */
  readonly first: number;
  readonly rows: readonly EventView[];
}

export interface FindingView {
  readonly kind: string;
  readonly step: number;
  readonly task: string;
  readonly text: string;
  readonly evidence: readonly string[];
}

export interface StatusView {
  readonly title: string;
  readonly file: string;
  readonly kernel: string;
  /** Where we are, and the last step that history knows. */
  readonly step: number;
  readonly lastStep: number;
  readonly task: string;
  readonly fn: string;
  /** Statement of the scenario being executed (1-based line, text); line 0 before the first. */
  readonly statement: { readonly line: number; readonly text: string };
  /** Why the last run stopped, one line, gdb style: `Breakpoint 1, rmap:walk_visit (...)`. */
  readonly stop: string;
  readonly running: boolean;
  readonly finished: boolean;
  readonly findings: readonly FindingView[];
  readonly marks: readonly { readonly name: string; readonly step: number }[];
}

/** Smallest, mean, largest and sum of `count` numbers; all 0 of none. */
export interface Spread {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  readonly total: number;
}

/** Reverse-map walks of one purpose, or all of them. */
export interface WalkCost {
  readonly purpose: string;
  /** VMAs visited by each walk; `count` is the number of finished walks. */
  readonly visits: Spread;
  /** Visits that found at least one page-table entry, and those that found none. */
  readonly hits: number;
  readonly wasted: number;
  readonly ptes: number;
}

/** The locks of one lockdep class. */
export interface LockCost {
  readonly cls: string;
  /** It belongs to an object of the reverse mapping. */
  readonly rmap: boolean;
  readonly taken: number;
  readonly contended: number;
  /** Steps (of all tasks) from each acquisition to its release. */
  readonly held: Spread;
}

/** What the reverse mapping has cost on one kernel, up to a step. */
export interface CostView {
  readonly kernel: string;
  readonly step: number;
  readonly walks: WalkCost;
  readonly byPurpose: readonly WalkCost[];
  /** Most taken first. */
  readonly locks: readonly LockCost[];
  /** Of each fork: its own steps, locks taken, links between a VMA and an anon_vma made. */
  readonly forks: { readonly steps: Spread; readonly locks: Spread; readonly links: Spread };
  /** Slab objects of the reverse mapping alive now, in bytes of the real kernel's objects. */
  readonly objects: readonly {
    readonly name: string;
    readonly count: number;
    readonly bytes: number;
  }[];
  readonly bytes: number;
  /** Page frames that some page table maps, and VMAs. */
  readonly pages: number;
  readonly vmas: number;
  readonly bytesPerPage: number;
  readonly bytesPerVma: number;
}

/** Costs here, and of the last comparison of kernels. */
export interface CostsView {
  readonly here: CostView;
  /** By metric; empty before the first `compare`. */
  readonly compared: readonly {
    readonly metric: string;
    readonly doc: string;
    readonly kernels: readonly { readonly kernel: string; readonly value: number }[];
  }[];
  /** Kernels that could not run the scenario, and why. */
  readonly refused: readonly { readonly kernel: string; readonly why: string }[];
}

/** One line of command output; the role says what it is, never how it is coloured. */
export interface OutputLine {
  readonly role: 'text' | 'error' | 'stop' | 'echo' | 'hint';
  readonly text: string;
}

export interface Completion {
  readonly text: string;
  readonly help: string;
}

/** The one interface between the debugger and its front ends (TUI, batch CLI, tests). */
export interface SessionView {
  status(): StatusView;
  /**
   * Runs one command line as the prompt takes it. Output lines are appended to `output`.
   * A running verb (step, continue, reverse-step, goto ...) only begins: call pump() until it says 'stopped'.
   */
  execute(line: string): void;
  /** Runs at most about `budgetSteps` steps of the verb in progress. */
  pump(budgetSteps: number): 'running' | 'stopped';
  /** Stops the verb in progress at the next step. */
  interrupt(): void;
  /** Lines printed since the last call. */
  takeOutput(): readonly OutputLine[];
  complete(line: string, cursor: number): readonly Completion[];
  /** Selecting anything selects it in every view (its mm, address, page, task as they follow from it). */
  select(ref: Ref): void;
  selection(): readonly Ref[];
  back(): boolean;
  source(): SourceView;
  tasks(): readonly TaskView[];
  mms(): readonly MmView[];
  anonVmas(): AnonVmaView;
  pageTables(): PageTablesView | null;
  page(): PageView | null;
  /** Filter: words that must all hold, `~` before one that must not: `A anon shared ~dirty`. */
  pages(first: number, count: number, filter: string): PagesView;
  /** Index of the row with this key among those the filter leaves, or -1. */
  pageRow(key: string, filter: string): number;
  locks(): LocksView;
  /** Oldest first; the last one may be in progress. */
  walks(): readonly WalkView[];
  costs(): CostsView;
  events(first: number, count: number, filter: string): EventsView;
}
