import { describe, expect, it, onTestFinished } from 'vitest';
import { pickScenario, runTui, type TuiExit, type TuiOptions } from '../../src/tui/run.tsx';
import { type FakeOptions, FakeSession } from './fake-session.ts';
import { Screen } from './screen.ts';

interface Started {
  readonly screen: Screen;
  readonly session: FakeSession;
  readonly exit: Promise<TuiExit>;
  readonly history: string[];
  readonly saved: string[];
}

function start(
  columns: number,
  rows: number,
  options: FakeOptions & Partial<TuiOptions> = {},
): Started {
  const screen = new Screen(columns, rows);
  const session = new FakeSession(options);
  const history: string[] = [];
  const saved: string[] = [];
  const exit = runTui(session, screen, {
    theme: 'dark',
    color: 'none',
    ascii: false,
    showHints: false,
    loadHistory: () => ['info vmas', 'break rmap:walk_visit', 'info locks'],
    appendHistory: (line) => void history.push(line),
    saveScreen: (file, text) => void saved.push(`${file}\n${text}`),
    hintsDismissed: () => {},
    ...options,
  });
  onTestFinished(async () => {
    screen.press('ctrl-c', 'ctrl-c', 'ctrl-c');
    await exit;
  });
  return { screen, session, exit, history, saved };
}

describe('the screen', () => {
  it('shows all panes at 200x60', async () => {
    const { screen } = start(200, 60);
    expect(await screen.until('Events')).toMatchSnapshot();
  });

  it('is usable at 80x24', async () => {
    const { screen } = start(80, 24);
    expect(await screen.until('anon_vma')).toMatchSnapshot();
  });

  it('is pure ASCII when asked', async () => {
    const { screen } = start(200, 60, { ascii: true });
    expect(await screen.until('Events')).toMatch(/^[\x20-\x7e\n]*$/);
  });

  it('says what it needs on a small screen, and q still quits', async () => {
    const { screen, exit } = start(50, 12);
    const text = await screen.until('too small');
    expect(text).toContain('It has 50x12');
    expect(text).toContain('needs 60x15');
    screen.press('q');
    expect(await exit).toBe('quit');
  });

  it('writes nothing at rest', async () => {
    const { screen } = start(200, 60);
    await screen.until('Events');
    const { written } = screen;
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(screen.written).toBe(written);
  });

  it('paints a step as one small write', async () => {
    const { screen } = start(200, 60);
    await screen.until('Events');
    const { writes, written } = screen;
    screen.press('s');
    await screen.until('step 813');
    expect(screen.writes).toBe(writes + 1);
    expect(screen.written - written).toBeLessThan(6000);
  });
});

describe('running', () => {
  it('steps with gdb letters and function keys, both ways', async () => {
    const { screen, session } = start(80, 24);
    await screen.until('Source');
    screen.press('s', 'S', 'n', 'N', 'i', 'I', 'f', 'F', 'c', 'C');
    screen.press('f5', 'ctrl-f5', 'shift-f5', 'f10', 'f11', 'shift-f11', 'u', 'd', 'w');
    await screen.until(() => session.executed.length === 19);
    expect(session.executed.join(' ')).toMatchInlineSnapshot(
      `"step reverse-step next reverse-next stepi reverse-stepi finish reverse-finish continue reverse-continue continue reverse-continue reverse-continue next step finish up down where"`,
    );
  });

  it('takes counts of two digits, gives the focus back, and repeats', async () => {
    const { screen, session } = start(200, 60);
    await screen.until('Source');
    screen.press('1', '0', 's');
    await screen.until('step 822');
    screen.press('03n', '.');
    await screen.until('step 826/');
    expect(session.executed).toEqual(['step 10', 'next 3', 'next']);
    expect(await screen.text()).toContain('▸1 Source');
  });

  it('keeps painting while a verb runs, and Ctrl-C interrupts it', async () => {
    const { screen, session } = start(80, 24, { continueSteps: 1e12 });
    await screen.until('Source');
    screen.press('c');
    await screen.until('running... step');
    screen.press('2');
    await screen.until('▸2 Tasks');
    screen.press('ctrl-c');
    await screen.until('Interrupted.');
    expect(session.interrupted).toBe(1);
  });

  it('quits on a second Ctrl-C, and on q after asking once', async () => {
    const first = start(80, 24);
    await first.screen.until('Source');
    first.screen.press('ctrl-c');
    await first.screen.until('again quits');
    first.screen.press('ctrl-c');
    expect(await first.exit).toBe('quit');

    const second = start(80, 24);
    await second.screen.until('Source');
    second.screen.press('q');
    await second.screen.until('Leave the debugger?');
    second.screen.press('n');
    await second.screen.until((text) => !text.includes('Leave'));
    second.screen.press('q', 'q');
    expect(await second.exit).toBe('quit');
  });

  it('runs typed-ahead keys of one burst in order', async () => {
    const { screen, session } = start(80, 24);
    await screen.until('Source');
    screen.press('sss:print 1\rs');
    await screen.until(() => session.executed.length === 5);
    expect(session.executed).toEqual(['step', 'step', 'step', 'print 1', 'step']);
  });
});

describe('panes', () => {
  it('focuses by number and Tab, and zooms', async () => {
    const { screen } = start(200, 60);
    await screen.until('▸1 Source');
    screen.press('8');
    await screen.until('▸8 Walk');
    screen.press('tab');
    await screen.until('▸5 Page tables');
    screen.press('shift-tab', 'z');
    await screen.until((text) => !text.includes('mm/rmap.c:21 rmap_walk_anon()'));
    screen.press('escape');
    await screen.until('mm/rmap.c:21 rmap_walk_anon()');
  });

  it('keeps focus and cursor over a resize', async () => {
    const { screen } = start(200, 60);
    await screen.until('Source');
    screen.press('3', 'j', 'j', 'j', 'j');
    const cursorRow = /▸ ?a 7f0000000000/;
    await screen.until(cursorRow);
    screen.resize(80, 24);
    await screen.until((text) => text.includes('▸3 VMAs') && cursorRow.test(text));
    screen.resize(50, 12);
    await screen.until('too small');
    screen.resize(160, 50);
    await screen.until((text) => text.includes('▸3 VMAs') && cursorRow.test(text));
  });

  it('filters a list, and Esc drops the filter', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press('9', '/', 'walk_hit');
    await screen.until((text) => text.includes('24 match') && !text.includes('rmap:walk_miss'));
    screen.press('enter');
    await screen.until('/walk_hit ');
    screen.press('escape');
    await screen.until('rmap:walk_miss');
  });

  it('shows the costs here, and a bar for each kernel compared', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press('$', 'z');
    const text = await screen.until('visits: VMAs visited by a walk');
    expect(text).toMatch(/v2\.6\.33 +█{32} 8/);
    expect(text).toMatch(/v6\.18 +█{8} 2/);
    expect(text).toMatch(/root-only +0/);
    expect(text).toContain('v2.4.0 not run: there is no mseal');
  });

  it('searches the source without hiding lines', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press('/', 'rmap_walk_file');
    await screen.until(/▸ +36/);
    screen.press('down');
    await screen.until(/▸ +39/);
  });

  it('opens an object everywhere and goes back', async () => {
    const { screen, session } = start(80, 24);
    await screen.until('Source');
    screen.press('8', 'enter');
    await screen.until('▸3 VMAs');
    expect(session.selection()[0]?.kind).toBe('vma');
    screen.press('backspace');
    await screen.until('▸8 Walk');
  });

  it('goes to the step of an event', async () => {
    const { screen, session } = start(80, 24);
    await screen.until('Source');
    screen.press('9', 'enter');
    await screen.until(() => session.executed.includes('goto 814'));
  });

  it('toggles a breakpoint on the line under the cursor', async () => {
    const { screen, session } = start(80, 24);
    await screen.until('Source');
    screen.press('b');
    await screen.until('▸●');
    screen.press('b');
    await screen.until(() => session.executed.length === 2);
    expect(session.executed).toEqual(['break mm/rmap.c:21', 'delete 3']);
  });

  it('copies the row with OSC 52', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press('y');
    await screen.until('Copied');
    const data = screen.raw.split(']52;c;')[1]?.split('\x07')[0] ?? '';
    expect(Buffer.from(data, 'base64').toString()).toContain('const vma = avc.vma;');
  });
});

describe('the command line', () => {
  it('runs a line, echoes it, shows its output, and remembers it', async () => {
    const { screen, session, history } = start(200, 60);
    await screen.until('Source');
    screen.press(':', 'print vmas(A)', 'enter');
    await screen.until('$1 = vmas(A)');
    expect(await screen.text()).toContain('> print vmas(A)');
    expect(session.executed).toEqual(['print vmas(A)']);
    expect(history).toEqual(['print vmas(A)']);
    screen.press(':', 'enter');
    await screen.until(() => session.executed.length === 2);
    expect(session.executed[1]).toBe('print vmas(A)');
  });

  it('walks through the history that starts like the draft', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press(':', 'up');
    await screen.until(':info locks');
    screen.press('up');
    await screen.until(':break rmap:walk_visit');
    screen.press('down', 'down', 'inf', 'up', 'up');
    await screen.until(':info vmas');
  });

  it('completes: the common part, then a list to choose from', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press(':', 'b', 'tab');
    await screen.until('2 candidates');
    screen.press('tab', 'tab');
    await screen.until(':backtrace');
    screen.press('escape');
    await screen.until((text) => !text.includes('candidates'));
    screen.press('ctrl-w', 'con', 'tab');
    await screen.until('2 candidates');
    screen.press('t', 'tab');
    await screen.until(/:continue$/m);
    screen.press('ctrl-w', 'break rm', 'tab');
    await screen.until(':break rmap:walk_');
  });

  it('edits as Emacs does', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press(':', 'print b', 'ctrl-w', 'a + ', 'ctrl-y', 'ctrl-a', 'ctrl-k', 'ctrl-y', 'enter');
    await screen.until('$1 = a + b');
  });

  it('shows errors', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press(':', 'bogus', 'enter');
    await screen.until('Undefined command: "bogus"');
  });

  it('keeps a paste on one line', async () => {
    const { screen, session } = start(80, 24);
    await screen.until('Source');
    screen.press('\x1b[200~print 1\nprint 2\n\x1b[201~');
    await screen.until(':print 1 print 2');
    expect(session.executed).toEqual([]);
  });

  it('has the screen commands: layout, focus, screen, quit', async () => {
    const { screen, saved, exit } = start(200, 60);
    await screen.until('Source');
    screen.press(':', 'layout rmap', 'enter', ':', 'focus walk', 'enter');
    await screen.until('▸8 Walk');
    screen.press(':', 'layout nonsense', 'enter');
    await screen.until('No layout "nonsense"');
    screen.press(':', 'screen frame.txt', 'enter');
    await screen.until(() => saved.length === 1);
    expect(saved[0]).toContain('frame.txt\n v6.18');
    screen.press(':', 'quit', 'enter');
    expect(await exit).toBe('quit');
  });
});

describe('a fault of ours', () => {
  it('ends the screen and is told to the caller', async () => {
    for (const method of ['execute', 'tasks'] as const) {
      const screen = new Screen(200, 60);
      const session = new FakeSession();
      const exit = runTui(session, screen, {
        theme: 'dark',
        color: 'none',
        ascii: false,
        showHints: false,
        loadHistory: () => [],
        appendHistory: () => {},
        saveScreen: () => {},
        hintsDismissed: () => {},
      });
      await screen.until('Events');
      session[method] = () => {
        throw new Error(`fault in ${method}`);
      };
      screen.press('s');
      await expect(exit).rejects.toThrow(`fault in ${method}`);
    }
  });
});

describe('overlays', () => {
  it('shows the help from the key table, scrolls it, and closes the top thing only', async () => {
    const { screen } = start(80, 24);
    await screen.until('Source');
    screen.press('z', '?');
    await screen.until('reverse-step');
    screen.press('G');
    await screen.until('left to the terminal');
    screen.press('escape');
    await screen.until((text) => !text.includes('left to the terminal'));
    expect(await screen.text()).not.toContain('4 objects, 4 vmas');
    screen.press('escape');
    await screen.until('4 objects, 4 vmas');
  });

  it('shows the first steps until they are dismissed', async () => {
    let dismissed = 0;
    const { screen } = start(80, 24, {
      showHints: true,
      hintsDismissed: () => {
        dismissed++;
      },
    });
    await screen.until('First steps');
    screen.press('s');
    await screen.until('step 813');
    expect(await screen.text()).toContain('First steps');
    screen.press('escape');
    await screen.until((text) => !text.includes('First steps'));
    expect(dismissed).toBe(1);
  });
});

describe('pickScenario', () => {
  const items = [
    { name: 'tour/01', title: 'Touch a page', about: 'One process and one fault.' },
    { name: 'tour/02', title: 'Share it', about: 'fork() links the child into the chain.' },
    { name: 'bugs/aa', title: 'A qualified race', about: 'What the list argued about.' },
  ];
  const options = { theme: 'dark', color: 'none', ascii: false } as const;

  it('preselects the tour and opens with Enter', async () => {
    const screen = new Screen(80, 24);
    const picked = pickScenario(items, screen, options);
    expect(await screen.until('One process')).toMatchSnapshot();
    screen.press('enter');
    expect(await picked).toBe('tour/01');
  });

  it('filters by what is typed', async () => {
    const screen = new Screen(80, 24);
    const picked = pickScenario(items, screen, options);
    await screen.until('3/3');
    screen.press('race q');
    await screen.until('1/3');
    screen.press('enter');
    expect(await picked).toBe('bugs/aa');
  });

  it('quits with q', async () => {
    const screen = new Screen(80, 24);
    const picked = pickScenario(items, screen, options);
    await screen.until('3/3');
    screen.press('q');
    expect(await picked).toBeNull();
  });
});
