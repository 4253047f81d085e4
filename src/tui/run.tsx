import { Writable } from 'node:stream';
import { render } from 'ink';
import type { ReactNode } from 'react';
import type { SessionView } from '../debugger/view.ts';
import { App } from './App.tsx';
import { CanvasStage } from './canvas.tsx';
import { type InputEvent, KeyDecoder } from './keys-decoder.ts';
import { PickerApp, type PickerItem, PickerState } from './Picker.tsx';
import { Painter } from './painter.ts';
import type { Terminal } from './terminal.ts';
import { type ColorLevel, sgrTable, type ThemeName } from './theme.ts';
import { Ui } from './ui.ts';

/** The way in: a session, a terminal in our hands, and what the caller lends. */

export interface ScreenOptions {
  readonly theme: ThemeName;
  readonly color: ColorLevel;
  readonly ascii: boolean;
}

export interface TuiOptions extends ScreenOptions {
  /** First start: show the strip of first keys until it is dismissed. */
  readonly showHints: boolean;
  loadHistory(): readonly string[];
  appendHistory(line: string): void;
  /** Writes a frame as text; throws an Error with a readable message when it cannot. */
  saveScreen(file: string, text: string): void;
  hintsDismissed(): void;
}

/** How the user left. Signals and crashes do not come back here: terminal.ts ends the process. */
export type TuiExit = 'quit';

/** Escape alone is Escape when nothing follows it for this long. */
const ESCAPE_MS = 30;

export async function runTui(
  session: SessionView,
  terminal: Terminal,
  options: TuiOptions,
): Promise<TuiExit> {
  await onScreen<void>(terminal, options, (screen, finish) => {
    const host = {
      ascii: options.ascii,
      showHints: options.showHints,
      loadHistory: () => options.loadHistory(),
      appendHistory: (line: string) => options.appendHistory(line),
      saveScreen: (file: string, text: string) => options.saveScreen(file, text),
      hintsDismissed: () => options.hintsDismissed(),
      now: () => performance.now(),
      schedule: screen.schedule,
    };
    const ui = new Ui(session, host, () => finish());
    // What is opened says itself what it shows and what to try first, where there is room for it.
    session.execute('info scenario');
    ui.asked = true;
    ui.refresh();
    ui.asked = false;
    ui.stage = {
      frameText: () => `${screen.stage.lines().join('\n')}\n`,
      copy: (text) => screen.copy(text),
      repaint: () => screen.repaint(),
      suspend: () => terminal.suspend(),
    };
    ui.resize(terminal.columns, terminal.rows);
    return {
      node: <App ui={ui} stage={screen.stage} />,
      input: (events) => ui.input(events),
      resize: (columns, rows) => ui.resize(columns, rows),
    };
  });
  return 'quit';
}

/** Asks which scenario to open; null when the user quits instead. */
export async function pickScenario(
  items: readonly PickerItem[],
  terminal: Terminal,
  options: ScreenOptions,
): Promise<string | null> {
  return onScreen<string | null>(terminal, options, (screen, finish) => {
    const state = new PickerState(items, options.ascii, screen.schedule, finish, () =>
      terminal.suspend(),
    );
    state.resize(terminal.columns, terminal.rows);
    return {
      node: <PickerApp state={state} stage={screen.stage} />,
      input: (events) => {
        for (const event of events) state.input(event);
        if (events.some((event) => event.type === 'key' && event.name === 'ctrl-l')) {
          screen.repaint();
        }
      },
      resize: (columns, rows) => state.resize(columns, rows),
    };
  });
}

interface Screen {
  readonly stage: CanvasStage;
  schedule(callback: () => void): void;
  repaint(): void;
  copy(text: string): void;
}

interface Program {
  readonly node: ReactNode;
  input(events: readonly InputEvent[]): void;
  resize(columns: number, rows: number): void;
}

/** Joins a component tree, the painter and the keyboard; ends with the value given to `finish`. */
async function onScreen<T>(
  terminal: Terminal,
  options: ScreenOptions,
  start: (screen: Screen, finish: (value: T) => void) => Program,
): Promise<T> {
  const painter = new Painter(terminal, sgrTable(options.theme, options.color));
  const stage = new CanvasStage(painter, options.ascii);
  painter.onReady = () => stage.paint();
  const decoder = new KeyDecoder();
  let escapeTimer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;

  return new Promise<T>((resolve, reject) => {
    let unmount = (): void => {};
    const end = (settle: () => void): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(escapeTimer);
      terminal.onInput = () => {};
      terminal.onResize = () => {};
      terminal.onResume = () => {};
      unmount();
      settle();
    };
    const fail = (error: unknown): void => end(() => reject(error));
    /** An exception of ours ends the screen first and is told after. */
    const guarded = (callback: () => void): void => {
      if (isOver) return;
      try {
        callback();
      } catch (error) {
        fail(error);
      }
    };
    const screen: Screen = {
      stage,
      schedule: (callback) => void setImmediate(() => guarded(callback)),
      repaint: () => painter.invalidate(),
      copy: (text) => {
        const data = Buffer.from(text).toString('base64');
        painter.queueControl(`\x1b]52;c;${data}\x07`);
      },
    };
    guarded(() => {
      const program = start(screen, (value) => end(() => resolve(value)));
      const deliver = (events: readonly InputEvent[]): void => {
        for (const event of events) {
          // Only a terminal that has the kitty protocol answers the question for its flags.
          if (event.type === 'reply' && isKittyAnswer(event.text)) terminal.enableKitty();
        }
        if (events.length > 0) program.input(events);
      };
      terminal.onInput = (bytes) =>
        guarded(() => {
          clearTimeout(escapeTimer);
          deliver(decoder.push(bytes));
          if (decoder.waiting) {
            escapeTimer = setTimeout(() => guarded(() => deliver(decoder.flush())), ESCAPE_MS);
          }
        });
      terminal.onResize = () => guarded(() => program.resize(terminal.columns, terminal.rows));
      terminal.onResume = () =>
        guarded(() => {
          painter.invalidate();
          program.resize(terminal.columns, terminal.rows);
        });
      const instance = render(program.node, {
        stdout: nowhere(terminal),
        interactive: false,
        patchConsole: false,
        exitOnCtrlC: false,
      });
      unmount = () => instance.unmount();
      instance.waitUntilExit().catch(fail);
    });
  });
}

/** Ink's own frame is empty and goes nowhere; it only wants to know the size. */
function nowhere(terminal: Terminal): NodeJS.WriteStream {
  const sink = new Writable({
    write: (_chunk, _encoding, done) => done(),
  });
  Object.defineProperties(sink, {
    columns: { get: () => terminal.columns },
    rows: { get: () => terminal.rows },
  });
  return sink as unknown as NodeJS.WriteStream;
}

function isKittyAnswer(text: string): boolean {
  return text.startsWith('\x1b[?') && text.endsWith('u');
}
