import { pickScenario, runTui } from '../../src/tui/run.tsx';
import { withTerminal } from '../../src/tui/terminal.ts';
import type { ColorLevel, ThemeName } from '../../src/tui/theme.ts';
import { FakeSession } from './fake-session.ts';

/**
 * The screen over the fake session, for looking at it and for the pty tests. FAKE_MODE chooses what
 * goes wrong: throw, reject, exit. See build-harness.ts for how it is run.
 */
const mode = process.env.FAKE_MODE ?? 'run';

const items = [
  {
    name: 'tour/01-first-fault',
    title: 'Touch a page',
    about: 'One process, one page fault, one anon_vma.',
  },
  {
    name: 'tour/02-fork',
    title: 'Share it',
    about: 'fork() copies the page table and links the child into the chain.',
  },
  {
    name: 'seeds/001-mprotect-migrate',
    title: 'mprotect races a migration walk',
    about: 'What Mel Gorman reported in 2010.',
  },
];

const options = {
  theme: (process.env.FAKE_THEME ?? 'dark') as ThemeName,
  color: (process.env.FAKE_COLOR ?? 'truecolor') as ColorLevel,
  ascii: process.env.FAKE_ASCII === '1',
  showHints: process.env.FAKE_HINTS === '1',
  loadHistory: () => ['info vmas', 'break rmap:walk_visit'],
  appendHistory: () => {},
  saveScreen: () => {},
  hintsDismissed: () => {},
};

const code = await withTerminal(process, async (terminal) => {
  if (mode === 'pick') {
    const picked = await pickScenario(items, terminal, options);
    if (picked === null) return 0;
  }
  const session = new FakeSession({ continueSteps: Number(process.env.FAKE_STEPS ?? 40) });
  // A moment after the first frame, so that there is a screen to give back.
  if (mode === 'throw')
    setTimeout(() => {
      throw new Error('thrown on purpose');
    }, 300);
  if (mode === 'reject')
    setTimeout(() => void Promise.reject(new Error('rejected on purpose')), 300);
  if (mode === 'exit') setTimeout(() => process.exit(7), 300);
  await runTui(session, terminal, options);
  return 0;
});
process.exit(code);
