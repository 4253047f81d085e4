import type { ReadStream, WriteStream } from 'node:tty';

/**
 * The terminal for as long as we have it. Whatever happens, it is given back as it was: the undo
 * list runs once, in reverse order, synchronously, on every way out of the process.
 */

export interface TerminalStreams {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
}

export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Answers false when the stream is full; see `once('drain')`. */
  write(data: string): boolean;
  once(event: 'drain', listener: () => void): void;
  onInput: (bytes: Uint8Array) => void;
  onResize: () => void;
  /** The screen is ours again after a suspension, with unknown content. */
  onResume: () => void;
  /** Gives the terminal back and stops the process group, as Ctrl-Z does everywhere. */
  suspend(): void;
  /** Use the kitty keyboard protocol: the terminal said that it has it. */
  enableKitty(): void;
  close(): void;
}

const ENTER = [
  ['\x1b[?1049h', '\x1b[?1049l'], // alternate screen
  ['\x1b[?25l', '\x1b[?25h'], // cursor
  ['\x1b[?7l', '\x1b[?7h'], // no wrapping: a wrong width must not shift the rows below
  ['\x1b[?2004h', '\x1b[?2004l'], // bracketed paste
] as const;
/** Unanswered by terminals without the protocol. */
const ASK_KITTY = '\x1b[?u';
const KITTY_ON = '\x1b[>1u';
const KITTY_OFF = '\x1b[<u';
/** If SIGTSTP stopped nobody (an orphaned process group), the screen is taken back after this. */
const SUSPEND_FALLBACK_MS = 100;

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

/** Runs `body` with the terminal in our hands and gives it back however `body` or the process ends. */
export async function withTerminal<T>(
  streams: TerminalStreams,
  body: (terminal: Terminal) => Promise<T>,
): Promise<T> {
  const terminal = openTerminal(streams);
  try {
    return await body(terminal);
  } finally {
    terminal.onInput = () => {};
    // Keys typed ahead and late answers of the terminal must not reach the shell.
    await drained(streams.stdin);
    terminal.close();
  }
}

function openTerminal({ stdin, stdout }: TerminalStreams): Terminal {
  let isOpen = false;
  let isClosed = false;
  let kitty = false;

  const write = (data: string): boolean => {
    try {
      return stdout.write(data);
    } catch {
      // The terminal is gone; a signal or the end of input will say so.
      return true;
    }
  };

  const enter = (): void => {
    if (isOpen) return;
    isOpen = true;
    // Raw mode comes before the first byte is shown: a key typed in between would be echoed.
    // It is switched off first because a shell may have changed it since it was last set.
    stdin.setRawMode(false);
    stdin.setRawMode(true);
    stdin.resume();
    write(ENTER.map(([on]) => on).join('') + (kitty ? KITTY_ON : ''));
  };

  const leave = (): void => {
    if (!isOpen) return;
    isOpen = false;
    const off = ENTER.toReversed().map(([, undo]) => undo);
    write(`\x1b[0m${kitty ? KITTY_OFF : ''}${off.join('')}`);
    try {
      stdin.setRawMode(false);
    } catch {
      // Its terminal was closed under it.
    }
    stdin.pause();
  };

  const terminal: Terminal = {
    get columns() {
      return stdout.columns || 80;
    },
    get rows() {
      return stdout.rows || 24;
    },
    write,
    once: (event, listener) => {
      stdout.once(event, listener);
    },
    onInput: () => {},
    onResize: () => {},
    onResume: () => {},
    suspend,
    enableKitty: () => {
      if (kitty || !isOpen) return;
      kitty = true;
      write(KITTY_ON);
    },
    close,
  };

  const onData = (data: Buffer | string): void => {
    terminal.onInput(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  };
  const onResize = (): void => terminal.onResize();
  const onResume = (): void => {
    // After SIGSTOP nothing was left in order: take everything again.
    const hadKitty = kitty;
    if (isOpen) {
      isOpen = false;
      kitty = false;
    }
    enter();
    kitty = hadKitty;
    terminal.onResume();
  };
  const onEnd = (): void => {
    // The terminal was closed under us (SIGHUP may come later or never).
    close();
    process.exit(128 + SIGNALS.SIGHUP);
  };
  const onError = (): void => {};

  function suspend(): void {
    leave();
    process.off('SIGTSTP', suspend);
    process.kill(0, 'SIGTSTP');
    setTimeout(() => {
      if (isClosed || isOpen) return;
      process.on('SIGTSTP', suspend);
      onResume();
    }, SUSPEND_FALLBACK_MS);
  }

  const signalHandlers = Object.entries(SIGNALS).map(([name, number]) => {
    const handler = (): void => {
      close();
      process.exit(128 + number);
    };
    return [name, handler] as const;
  });

  function close(): void {
    if (isClosed) return;
    isClosed = true;
    leave();
    process.off('exit', close);
    process.off('uncaughtExceptionMonitor', close);
    process.off('SIGCONT', onContinue);
    process.off('SIGTSTP', suspend);
    for (const [name, handler] of signalHandlers) process.off(name, handler);
    stdin.off('data', onData);
    stdin.off('end', onEnd);
    stdout.off('resize', onResize);
  }

  function onContinue(): void {
    if (isClosed) return;
    if (process.listenerCount('SIGTSTP') === 0) process.on('SIGTSTP', suspend);
    onResume();
  }

  process.on('exit', close);
  // Covers exceptions and rejections, and leaves it to the caller what is printed after.
  process.on('uncaughtExceptionMonitor', close);
  process.on('SIGCONT', onContinue);
  process.on('SIGTSTP', suspend);
  for (const [name, handler] of signalHandlers) process.on(name, handler);
  stdin.on('data', onData);
  stdin.on('end', onEnd);
  // EIO after the terminal went away is not an exception of ours; it stays handled after close.
  stdin.on('error', onError);
  stdout.on('error', onError);
  stdout.on('resize', onResize);

  enter();
  if (process.env.TERM !== 'linux' && process.env.TERM !== 'dumb') write(ASK_KITTY);
  return terminal;
}

/** Reads and drops what is already on its way: two turns of the event loop see all that has arrived. */
async function drained(stdin: ReadStream): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    stdin.read();
  }
}
