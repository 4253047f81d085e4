import { expect, test } from 'vitest';
import { type Program, start } from '../support/pty.ts';

/** Waits for the first screen and dismisses the hints of a first start. */
async function open(screen: Program, title: string): Promise<void> {
  await screen.until(title);
  await screen.until('First steps');
  screen.type('\x1b');
  for (let turn = 0; turn < 500 && (await screen.text()).includes('First steps'); turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Types one command and waits for what it must bring. */
async function command(screen: Program, line: string, shows: RegExp): Promise<string> {
  screen.type(`:${line}\r`);
  return screen.until(shows);
}

test('a page shared by a parent and three children: the walk visit by visit, backwards, and its cost', async () => {
  const screen = start(['scenarios/tour/2-walk.mm'], { columns: 200, rows: 60 });
  await open(screen, 'Tour 2');
  await command(screen, 'break rmap:walk_visit', /Breakpoint 1 at rmap:walk_visit/);
  // Each stop is one VMA more: the chain pane shows what was hit, where the walk is, what comes next.
  for (const [n, tree] of [
    [1, /▶A ·B {2}C {2}D/],
    [2, /✓A ▶B ·C {2}D/],
    [3, /✓A ✓B ▶C ·D/],
    [4, /✓A ✓B ✗C ▶D/],
  ] as const) {
    screen.type('c');
    const shown = await screen.until(tree);
    expect(shown).toMatch(new RegExp(`visited ${n}\\b`));
  }
  // Backwards through the same visits.
  screen.type('C');
  await screen.until(/✓A ✓B ▶C ·D/);
  screen.type('C');
  await screen.until(/✓A ▶B ·C {2}D/);
  screen.type('c');
  await screen.until(/✓A ✓B ▶C ·D/);
  screen.type('S');
  await screen.until(/✓A ✓B ·C {2}D|✓A ▶B ·C {2}D/);
  await command(screen, 'delete', /visited 3|visited 2/);
  screen.type('c');
  await screen.until(/The scenario has ended/);
  await command(screen, 'print walk_cost(A, p)', /visited=4 hits=3 wasted=1/);
});

test('the same at 80x24, where panes share one place', async () => {
  const screen = start(['scenarios/tour/2-walk.mm'], { columns: 80, rows: 24 });
  await open(screen, 'step 1/1');
  await command(screen, 'break rmap:walk_visit', /Breakpoint 1 at rmap:walk_visit/);
  screen.type('c');
  await screen.until(/Breakpoint 1, rmap:walk_visit/);
  screen.type('4');
  await screen.until(/▶A ·B {2}C {2}D/);
  screen.type('c');
  await screen.until(/✓A ▶B ·C {2}D/);
  screen.type('C');
  await screen.until(/▶A ·B {2}C {2}D/);
});

test('every trace runs to its end on the screen', async () => {
  for (const trace of ['pipeline', 'multiprocessing', 'threads']) {
    const screen = start([`scenarios/traces/${trace}.strace`], { columns: 120, rows: 40 });
    await screen.until('step 1/1');
    screen.type('c');
    const shown = await screen.until(/The scenario has ended|Finding|cannot go on/);
    expect(shown).toContain('The scenario has ended');
  }
}, 120_000);

test('quits with code 0', async () => {
  const screen = start(['scenarios/tour/1-fork-and-cow.mm']);
  await screen.until('Tour 1');
  screen.type('q');
  await screen.until('Leave the debugger?');
  screen.type('y');
  expect((await screen.exit).exitCode).toBe(0);
});

test('without a file the picker has the tour preselected', async () => {
  const screen = start([]);
  await screen.until('1-fork-and-cow');
  screen.type('\r');
  await screen.until('Tour 1');
});

test('--linear says the panes as lines and answers commands below them, with nothing drawn over', async () => {
  const screen = start(['scenarios/tour/2-walk.mm', '--linear'], { columns: 100, rows: 50 });
  await screen.until(/quit leaves\.\s+rmapdbg>/);
  screen.type('break rmap:walk_visit\r');
  await screen.until(/Breakpoint 1 at rmap:walk_visit/);
  screen.type('continue\r');
  await screen.until(/Breakpoint 1, rmap:walk_visit/);
  screen.type('screen walk\r');
  const shown = await screen.until(/Walk:/);
  expect(shown).toContain('Breakpoint 1, rmap:walk_visit');
  expect(shown).not.toMatch(/[│─┌╭]/);
});
