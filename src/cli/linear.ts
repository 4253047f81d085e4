/** The screen as lines, for a screen reader: nothing is drawn over, every answer comes below the last. */
import { createInterface } from 'node:readline';
import type { Session } from '../debugger/session.ts';
import { linearScreen } from '../tui/linear-screen.ts';
import { paneNamed } from '../tui/panes.ts';

const SLICE = 20_000;

/** Reads commands until `quit` or the end of the input. Ctrl-C interrupts what runs. */
export async function runLinear(
  session: Session,
  stdin: NodeJS.ReadStream,
  stdout: NodeJS.WriteStream,
): Promise<void> {
  const say = (lines: readonly string[]): void => void stdout.write(`${lines.join('\n')}\n`);
  const reader = createInterface({ input: stdin, output: stdout, prompt: 'rmapdbg> ' });
  let isInterrupted = false;
  reader.on('SIGINT', () => {
    isInterrupted = true;
    say(['', 'quit leaves']);
    reader.prompt();
  });
  say(linearScreen(session));
  say(['', 'screen [PANE] says this again, help lists the commands, quit leaves.']);
  reader.prompt();
  for await (const line of reader) {
    const [word = '', name = ''] = line.trim().split(/\s+/);
    if (word === 'quit' || word === 'q') break;
    if (word === 'screen') {
      const pane = paneNamed(name);
      if (name !== '' && pane === null) say([`no pane is called ${name}`]);
      else say(linearScreen(session, pane));
    } else {
      isInterrupted = false;
      session.execute(line);
      while (session.pump(SLICE) === 'running') {
        await new Promise((resolve) => setImmediate(resolve));
        if (isInterrupted) session.interrupt();
      }
      say(session.takeOutput().map((each) => each.text));
    }
    reader.prompt();
  }
  reader.close();
}
