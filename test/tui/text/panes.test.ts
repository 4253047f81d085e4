import { describe, expect, it } from 'vitest';
import { ASCII, SPOKEN, UNICODE } from '../../../src/tui/glyphs.ts';
import { anonVmaSheet } from '../../../src/tui/text/anon-vma.ts';
import { eventsSheet } from '../../../src/tui/text/events.ts';
import { linearPane, linearStatus } from '../../../src/tui/text/linear.ts';
import { locksSheet } from '../../../src/tui/text/locks.ts';
import { outputSheet } from '../../../src/tui/text/output.ts';
import { pageSheet } from '../../../src/tui/text/page.ts';
import { pageTablesSheet } from '../../../src/tui/text/page-tables.ts';
import { pagesSheet } from '../../../src/tui/text/pages.ts';
import { filtered, rowText, type Sheet } from '../../../src/tui/text/row.ts';
import { sourceSheet } from '../../../src/tui/text/source.ts';
import { tasksSheet } from '../../../src/tui/text/tasks.ts';
import { vmasSheet } from '../../../src/tui/text/vmas.ts';
import { walkSheet } from '../../../src/tui/text/walk.ts';
import { FakeSession } from '../fake-session.ts';

const session = new FakeSession();

function drawing(sheet: Sheet): string {
  const rows = [...sheet.head];
  for (let i = 0; i < sheet.length; i++) rows.push(sheet.row(i));
  rows.push(...sheet.foot);
  return [`= ${sheet.subtitle}`, ...rows.map((row) => rowText(row).trimEnd())].join('\n');
}

/** Texts of the spans that have a role: what only colour would otherwise tell. */
function texts(sheet: Sheet, role: string): string[] {
  const found: string[] = [];
  for (let i = 0; i < sheet.length; i++) {
    for (const span of sheet.row(i).spans) if (span.role === role) found.push(span.text.trim());
  }
  return found;
}

const events = (): Sheet => {
  const view = session.events(0, 6, '');
  return eventsSheet(6, (index) => view.rows[index] ?? null, '');
};

describe('sourceSheet', () => {
  it('marks the current line and breakpoints, and puts the values under the code', () => {
    expect(drawing(sourceSheet(session.source(), UNICODE))).toMatchInlineSnapshot(`
      "= mm/rmap.c:21 rmap_walk_anon()
          1   /*
          2    * rmap_walk_anon - do something to anonymous page using the object-based rmap method
          3    * @folio: the folio to be handled
          4    * @rwc: control variable according to each walk type
          5    * @locked: caller holds relevant rmap lock
          6    */
          7   export function* rmap_walk_anon(folio: folio, rwc: rmap_walk_control, locked: boolean) {
          8     let anon_vma: anon_vma | null;
          9     if (locked) {
         10       anon_vma = folio_anon_vma(folio);
         11       // anon_vma disappear under us?
         12       VM_BUG_ON_FOLIO(!anon_vma, folio);
         13     } else {
         14       anon_vma = yield* rmap_walk_anon_lock(folio, rwc);
         15     }
         16     if (!anon_vma) return;
      ●  17
         18     const pgoff_start = folio_pgoff(folio);
         19     const pgoff_end = pgoff_start + folio_nr_pages(folio) - 1;
         20     for (const avc of anon_vma_interval_tree(anon_vma.rb_root, pgoff_start, pgoff_end)) {
         21 ▶     const vma = avc.vma;
         22       const address = vma_address(vma, pgoff_start, folio_nr_pages(folio));
         23       VM_BUG_ON_VMA(address === -EFAULT, vma);
         24       yield* cond_resched();
         25
         26       if (rwc.invalid_vma && rwc.invalid_vma(vma, rwc.arg)) continue;
         27
         28       if (!(yield* rwc.rmap_one(folio, vma, address, rwc.arg))) break;
         29       if (rwc.done && rwc.done(folio)) break;
         30     }
      ○  31
         32     if (!locked) anon_vma_unlock_read(anon_vma);
         33   }
         34
         35   /*
         36    * rmap_walk_file - do something to file page using the object-based rmap method
         37    * The mapcount may be incremented by concurrent faults: 0x7f, 'a string', 12.
         38    */
         39   export function* rmap_walk_file(folio: folio, rwc: rmap_walk_control, locked: boolean) {
         40     const mapping = folio_mapping(folio);
         41     VM_BUG_ON_FOLIO(!folio_test_locked(folio), folio);
         42     if (!mapping) return;
         43     yield* __rmap_walk_file(folio, mapping, folio_pgoff(folio), rwc, locked);
         44   }
            folio    = page 1f3
            anon_vma = anon_vma@a10#12
            vma      ~ vma C:7f0000000
            address  = 0x7f0000002000"
    `);
  });

  it('tells comments, keywords, calls and literals apart', () => {
    const sheet = sourceSheet(session.source(), UNICODE);
    expect(texts(sheet, 'keyword').slice(0, 5)).toMatchInlineSnapshot(`
      [
        "export",
        "function",
        "let",
        "null",
        "if",
      ]
    `);
    expect(texts(sheet, 'function').slice(0, 4)).toMatchInlineSnapshot(`
      [
        "rmap_walk_anon",
        "folio_anon_vma",
        "VM_BUG_ON_FOLIO",
        "rmap_walk_anon_lock",
      ]
    `);
    expect(texts(sheet, 'comment').at(-2)).toMatchInlineSnapshot(
      `"* The mapcount may be incremented by concurrent faults: 0x7f, 'a string', 12."`,
    );
  });

  it('rests on the line about to run', () => {
    const sheet = sourceSheet(session.source(), UNICODE);
    expect(sheet.home).toBe(session.source().line - 1);
    expect(sheet.insist).toBe(true);
  });
});

const pages = (filter = ''): Sheet => {
  const view = session.pages(0, 64, filter);
  return pagesSheet(
    view,
    filter,
    (index) => view.rows[index] ?? null,
    (key) => session.pageRow(key, filter),
  );
};

describe('pagesSheet', () => {
  it('has a row of every sort, with the counts of memory above', () => {
    expect(drawing(pages())).toMatchInlineSnapshot(`
      "= 11 in use
       MemTotal 16384  MemFree 15866  Cached 1  AnonPages 515
       SwapCached 1  Inactive(anon) 514  SwapFree 4093
         pfn      kind    map   ref lru    mapped by object notes, flags
         0        zero    0/2     1        A*2               reserved
       ~ 1f3      anon  ~   3     5 inact  B C D     #12    1 migrating, 1 more ref ~locked,uptodate,swapbacked
         1f4      anon      1     3 batch  A         #12    swap slot 4  uptodate,dirty,swapbacked,swapcache,anon_exclusive
         1f5      ksm       3     5 inact  A*2 B     ksm_st~ uptodate,swapbacked
         1f6      file      0     1 active           libc.so uptodate
         200+512  anon      3     3 inact  A B*2     #12    entire 1  uptodate,swapbacked
          200+2   anon    1/2              B*2
          202+510 anon      0
       + 400      kernel    0  1025                         pins 1, 1 more ref
       - 401      free      0     0                         freed
         s:3      swap      2              A B              2 swap entries"
    `);
  });

  it('fits the flags of an ordinary page into a pane of 66 columns', () => {
    const text = rowText(pages().row(2));
    expect(text.indexOf('swap slot')).toBeLessThan(60);
  });

  it('finds the row of a selected page, and rests on it', () => {
    const sheet = pages();
    expect(sheet.home).toBe(1);
    expect(sheet.locate?.('page:499:0')).toBe(1);
    expect(sheet.locate?.('part:512')).toBe(6);
    expect(sheet.locate?.('page:77:0')).toBe(-1);
  });

  it('says so when a filter leaves nothing', () => {
    expect(drawing(pages('shmem'))).toContain('no such page');
  });
});

describe('tasksSheet', () => {
  it('shows who waits for what, what is held, and the backtrace of the selected task', () => {
    expect(drawing(tasksSheet(session.tasks(), UNICODE))).toMatchInlineSnapshot(`
      "= 5 tasks, 1 blocked
        A         blocked  mprotect(p, 2p, PROT_READ)
          waits  anon_vma@a10#12.rwsem (write), held by kcompactd
          holds  W mm_struct.mmap_lock
        B         idle     -
        C         idle     -
        D         idle     -
      ▶ kcompactd running  migrate(A, p+2p)
          holds  W page.lock
          holds  R anon_vma.rwsem
          #0  rmap_walk_anon  mm/rmap.c:21
          #1  try_to_migrate  mm/rmap.c:512
          #2  migrate_folio_unmap  mm/migrate.c:88"
    `);
  });
});

describe('vmasSheet', () => {
  it('pictures every mm and tables the selected one, changed fields marked with ~', () => {
    expect(drawing(vmasSheet(session.mms(), UNICODE))).toMatchInlineSnapshot(`
      "= A, 3 vmas of 4 mms
      ▶ A         3 vmas, 8 pages
         7f0000000  0   1   2   3   4   5   6   7  ...  7ffffffde
                    a*  a*  b*  b   b   b   b   b  ...  c*  c
         start        end           size  perm anon_vma avc rss+sw  pgoff     flags
       a 7f0000000000~7f0000002000     2p ~r--p #12        1 2+0     7f0000000~rd wr mr mw me ac
      +b 7f0000002000 7f0000008000     6p  rw-p #12        1 1+1     7f0000002 rd wr mr mw me ac
       c 7ffffffde000 7ffffffe0000     2p  rw-p -          0 0+0     7fffffffd rd wr mr mw me gd ac
        B         2 vmas, 8 pages
         7f0000000  0   1   2   3   4   5   6   7  ...  7ffffffde
                    a*  a*  b*  b   b   b   b   b  ...  c   c
        C         2 vmas, 8 pages
         7f0000000  0   1   2   3   4   5   6   7  ...  7ffffffde
                    a*  a*  b*  b   b   b   b   b  ...  c   c
        D         2 vmas, 8 pages
         7f0000000  0   1   2   3   4   5   6   7  ...  7ffffffde
                    a*  a*  b*  b   b   b   b   b  ...  c   c"
    `);
  });

  it('gives changed fields their role as well', () => {
    expect(texts(vmasSheet(session.mms(), UNICODE), 'changed')).toMatchInlineSnapshot(`
      [
        "~",
        "7f0000002000",
        "~",
        "r--p",
        "~",
        "rd wr mr mw me ac",
      ]
    `);
  });

  it('makes only the rows that are asked for', () => {
    const [mm] = session.mms();
    const vma = mm?.vmas[0];
    if (!mm || !vma) throw new Error('the fixture has an mm');
    let made = 0;
    const counted = new Proxy(vma, {
      get: (target, key) => {
        if (key === 'start') made++;
        return Reflect.get(target, key);
      },
    });
    const sheet = vmasSheet(
      [{ ...mm, vmas: Array.from({ length: 10_000 }, () => counted) }],
      UNICODE,
    );
    expect(sheet.length).toBeGreaterThan(10_000);
    sheet.row(5000);
    expect(made).toBeLessThan(5);
  });
});

describe('anonVmaSheet', () => {
  it('draws the forest and the incidence matrix with the walk in both', () => {
    expect(drawing(anonVmaSheet(session.anonVmas(), UNICODE))).toMatchInlineSnapshot(`
      "= 4 objects, 4 vmas
                             ref child act  vmas in walk order
       anon_vma@a10#12      ~  4     3   1  ✓A ✗B ▶C ·D  locked R kcompactd
       ├─ anon_vma@a68#15      1     0   1   B
       └─ anon_vma@ac0#18      1     1   1   C  D
          └─ anon_vma@b18#21   1     0   1   D

       vma                   #12 #15 #18 #21
       A    vma A:7f0000000   ●✓  ·   ·   ·
       B    vma B:7f0000000   ○✗  ●   ·   ·
       C    vma C:7f0000000   ○▶  ·   ●   ·
       D    vma D:7f0000000   ○·  ·   ○   ●
       ✓ hit ✗ miss ▶ now · next   ● vma's own  ○ chained"
    `);
  });

  it('has an ASCII form for every glyph', () => {
    expect(drawing(anonVmaSheet(session.anonVmas(), ASCII))).toMatchInlineSnapshot(`
      "= 4 objects, 4 vmas
                             ref child act  vmas in walk order
       anon_vma@a10#12      ~  4     3   1  +A xB >C .D  locked R kcompactd
       |- anon_vma@a68#15      1     0   1   B
       \`- anon_vma@ac0#18      1     1   1   C  D
          \`- anon_vma@b18#21   1     0   1   D

       vma                   #12 #15 #18 #21
       A    vma A:7f0000000   @+  -   -   -
       B    vma B:7f0000000   ox  @   -   -
       C    vma C:7f0000000   o>  -   @   -
       D    vma D:7f0000000   o.  -   o   @
       + hit x miss > now . next   @ vma's own  o chained"
    `);
  });
});

describe('pageTablesSheet', () => {
  it('walks the radix to the address and lists its neighbours', () => {
    expect(drawing(pageTablesSheet(session.pageTables(), UNICODE))).toMatchInlineSnapshot(`
      "= A 7f0000002000, vma A:7f0000000
       PGD[0fe] table 00a1
       └─ PUD[000] table 00a2
          └─ PMD[000] table 00a3
             └─ PTE[002] migration page 1f3

         000 7f0000000000  page      page 1f1  PRESENT RW ACCESSED DIRTY
         001 7f0000001000  page      page 1f2  PRESENT RW ACCESSED DIRTY
       ▶ 002 7f0000002000 ~migration page 1f3  WRITE ANON_EXCL  anon map 3 ref 5
         003 7f0000003000  none
         004 7f0000004000  none"
    `);
  });

  it('says what to do when nothing is selected', () => {
    expect(drawing(pageTablesSheet(null, UNICODE))).toMatchInlineSnapshot(`
      "= nothing selected
       open a vma, a pte or a page to see its tables"
    `);
  });
});

describe('pageSheet', () => {
  it('lists every mapping and how the rmap reaches it', () => {
    expect(drawing(pageSheet(session.page(), UNICODE))).toMatchInlineSnapshot(`
      "= page 1f3, 4 mappings, 1 not reachable
       flags    ~ locked uptodate swapbacked
       mapping    anon_vma@a10#12 | ANON
       index      7f0000002
       mapcount ~ 3
       refcount   5
         by   mapped at    found via
       ✓ A    7f0000002000 anon_vma@a10#12  migration
       ✓ B    7f0000002000 anon_vma@a10#12  PRESENT
       ✓ C    7f0000002000 anon_vma@a10#12  PRESENT
       ✗ D    7f0000002000 no walk finds it  PRESENT"
    `);
  });
});

describe('pageSheet of a KSM page', () => {
  it('lists the items in the order of a walk', () => {
    const page = session.page();
    const [mapping] = page.mappings;
    const item = { ref: null, anonVma: page.ref, address: mapping?.address ?? 0 };
    const items = [
      { ...item, process: 'B', stale: false },
      { ...item, process: '', stale: true },
    ];
    const sheet = pageSheet({ ...page, fields: [], mappings: [], items }, UNICODE);
    expect(drawing(sheet)).toMatchInlineSnapshot(`
      "= page 1f3, 0 mappings
       mapped nowhere
         of   merged at    looked for by
         B    7f0000002000 page 1f3
         gone 7f0000002000 page 1f3  stale"
    `);
  });
});

describe('locksSheet', () => {
  it('shows holders, waiters, the documented tree and the order seen', () => {
    expect(drawing(locksSheet(session.locks(), UNICODE))).toMatchInlineSnapshot(`
      "= 3 in use, 1 queue
       mm_struct.mmap_lock rwsem    W:A
       page.lock           page     W:kcompactd
       anon_vma.rwsem      rwsem    R:kcompactd ‹ W:A waits
       documented order
       inode->i_rwsem
         mm->mmap_lock  W:A
           mapping->i_mmap_rwsem
             anon_vma->rwsem  R:kcompactd
               mm->page_table_lock or pte_lock
       taken while held, so far
       mm_struct.mmap_lock → anon_vma.rwsem  x12
       page.lock → anon_vma.rwsem  x3"
    `);
  });
});

describe('walkSheet', () => {
  it('has one row a visit with the running cost, and the walks before', () => {
    expect(drawing(walkSheet(session.walks(), UNICODE))).toMatchInlineSnapshot(`
      "= try_to_migrate_one by kcompactd, in progress
       page 1f3 → anon_vma@a10#12  steps 771..
       visited 2   hits 1   wasted 1   ptes 1   locks 3   steps 41
          # process   ptes   cost     + address      vma
       ✓  1 A           1     17   +17 7f0000002000 vma A:7f0000000
       ✗  2 B           0     31   +14 7f0000002000 vma B:7f0000000
       ▶  3 C                      now 7f0000002000 vma C:7f0000000
       earlier walks
           1  folio_referenced_one   page 1f3   4 visits, 0 wasted, 68 steps"
    `);
  });

  it('says so when there was none', () => {
    expect(drawing(walkSheet([], UNICODE))).toMatchInlineSnapshot(`
      "= 
       no rmap walk yet"
    `);
  });
});

describe('eventsSheet', () => {
  it('aligns the trace', () => {
    expect(drawing(events())).toMatchInlineSnapshot(`
      "= 6
          100 kcompactd  rmap:walk_visit      vma=A:7f0000000 address=7f0000000000
          106 kcompactd  rmap:walk_hit        vma=B:7f0000000 address=7f0000001000
          112 kcompactd  rmap:walk_miss       vma=C:7f0000000 address=7f0000002000
          118 kcompactd  lock:acquire         vma=D:7f0000000 address=7f0000003000
          124 A          pte:set              vma=A:7f0000000 address=7f0000004000
          130 kcompactd  rmap:walk_visit      vma=B:7f0000000 address=7f0000005000"
    `);
  });
});

describe('outputSheet', () => {
  it('marks errors, stops and echoed commands at the left', () => {
    const sheet = outputSheet(
      [
        { role: 'echo', text: 'bogus' },
        { role: 'error', text: 'Undefined command: "bogus".' },
        { role: 'stop', text: 'Breakpoint 1' },
        { role: 'text', text: '$1 = 2' },
      ],
      0,
    );
    expect(drawing(sheet)).toMatchInlineSnapshot(`
      "= 
      > bogus
      ! Undefined command: "bogus".
      * Breakpoint 1
        $1 = 2"
    `);
  });
});

describe('filtered', () => {
  it('keeps the rows that contain the text, with their own keys', () => {
    const all = events();
    const some = filtered(all, 'WALK_HIT');
    expect(drawing(some)).toMatchInlineSnapshot(`
      "= 6
          106 kcompactd  rmap:walk_hit        vma=B:7f0000000 address=7f0000001000"
    `);
    expect(some.key(0)).toBe(all.key(1));
    expect(some.locate).toBeUndefined();
  });
});

describe('linearPane', () => {
  it('says in words what the screen shows by place', () => {
    const text = [
      ...linearStatus(session.status()),
      ...linearPane('Walk', walkSheet(session.walks(), SPOKEN)),
      ...linearPane('Tasks', tasksSheet(session.tasks(), SPOKEN)),
    ];
    expect(text.join('\n')).toMatchInlineSnapshot(`
      "mprotect races a migration walk, kernel v6.18, step 812 of 1300
      task kcompactd in rmap_walk_anon
      Breakpoint 1, rmap:walk_visit (vma=C:7f0000000 address=7f0000002000)
      Walk: try_to_migrate_one by kcompactd, in progress
      page 1f3 to anon_vma@a10#12 steps 771..
      visited 2 hits 1 wasted 1 ptes 1 locks 3 steps 41
      # process ptes cost + address vma
      hit 1 A 1 17 +17 7f0000002000 vma A:7f0000000
      miss 2 B 0 31 +14 7f0000002000 vma B:7f0000000
      visiting 3 C now 7f0000002000 vma C:7f0000000 (here)
      earlier walks
      1 folio_referenced_one page 1f3 4 visits, 0 wasted, 68 steps
      Tasks: 5 tasks, 1 blocked
      A blocked mprotect(p, 2p, PROT_READ)
      waits anon_vma@a10#12.rwsem (write), held by kcompactd
      holds W mm_struct.mmap_lock
      B idle -
      C idle -
      D idle -
      here: kcompactd running migrate(A, p+2p) (here)
      holds W page.lock
      holds R anon_vma.rwsem
      #0 rmap_walk_anon mm/rmap.c:21
      #1 try_to_migrate mm/rmap.c:512
      #2 migrate_folio_unmap mm/migrate.c:88"
    `);
  });
});

describe('every sheet', () => {
  it('is pure ASCII in ASCII mode', () => {
    const sheets = [
      sourceSheet(session.source(), ASCII),
      tasksSheet(session.tasks(), ASCII),
      vmasSheet(session.mms(), ASCII),
      anonVmaSheet(session.anonVmas(), ASCII),
      pageTablesSheet(session.pageTables(), ASCII),
      pageSheet(session.page(), ASCII),
      locksSheet(session.locks(), ASCII),
      walkSheet(session.walks(), ASCII),
      events(),
    ];
    for (const sheet of sheets) expect(drawing(sheet)).toMatch(/^[\x20-\x7e\n]*$/);
  });

  it('gives every row a key of its own', () => {
    const sheets = [
      sourceSheet(session.source(), UNICODE),
      tasksSheet(session.tasks(), UNICODE),
      vmasSheet(session.mms(), UNICODE),
      pageTablesSheet(session.pageTables(), UNICODE),
      locksSheet(session.locks(), UNICODE),
      walkSheet(session.walks(), UNICODE),
      events(),
    ];
    for (const sheet of sheets) {
      const keys = Array.from({ length: sheet.length }, (_, index) => sheet.key(index));
      expect(new Set(keys).size).toBe(keys.length);
    }
  });
});
