/** Reading a program or a recording: the header, then one operation a line, with or without what the kernel did. */
import { applyDelta, emptyState, readState, type State } from './format.ts';
import {
  type Fields,
  inputNumber,
  listField,
  numberField,
  objectOf,
  RecordingError,
} from './json.ts';

const FORMAT = 'rmap-oracle-1';

/** The world that the program runs in. */
export interface Header {
  /** As written, to be printed again. */
  readonly text: Fields;
  readonly profile: string;
  /** First address and end of the range that is looked at. */
  readonly arena: readonly [from: number, to: number];
  readonly brk: number;
  readonly swap: boolean;
  readonly files: readonly {
    readonly name: string;
    readonly kind: string;
    readonly pages: number;
  }[];
}

/** What the program saw: `ret`, `err`, `sig` and so on. */
export type Result = Fields;

export interface RecordedOperation {
  readonly index: number;
  readonly op: Fields;
  /** Null: not recorded. */
  readonly result: Result | null;
  readonly state: State | null;
}

export interface Recording {
  readonly header: Header;
  readonly operations: readonly RecordedOperation[];
}

function readHeader(text: Fields): Header {
  if (text.format !== undefined && text.format !== FORMAT) {
    throw new RecordingError(`the format is ${JSON.stringify(text.format)}, not ${FORMAT}`);
  }
  const [from, to] = listField(text, 'arena');
  const config = text.config === undefined ? {} : objectOf(text.config, 'config');
  return {
    text,
    profile: typeof text.profile === 'string' ? text.profile : '-',
    arena: [inputNumber(from, 'the start of the arena'), inputNumber(to, 'the end of the arena')],
    brk: numberField(text, 'brk'),
    swap: config.swap === true,
    files: Object.entries(objectOf(text.files ?? {}, 'files')).map(([name, value]) => {
      const file = objectOf(value, `file ${name}`);
      return {
        name,
        kind: file.kind === 'tmpfs' ? 'tmpfs' : 'file',
        pages: numberField(file, 'pages'),
      };
    }),
  };
}

function readOperation(line: Fields, before: State, index: number): RecordedOperation {
  const state =
    line.state !== undefined
      ? readState(objectOf(line.state, 'state'))
      : line.d !== undefined
        ? applyDelta(before, objectOf(line.d, 'd'))
        : null;
  return {
    index,
    op: objectOf(line.op, 'op'),
    result: line.res === undefined ? null : objectOf(line.res, 'res'),
    state,
  };
}

/** Reads a program or recording. Throws RecordingError naming the line. */
export function parseRecording(text: string): Recording {
  let header: Header | null = null;
  let before = emptyState;
  const operations: RecordedOperation[] = [];
  for (const [n, written] of text.split('\n').entries()) {
    if (written.trim() === '') continue;
    try {
      const line = objectOf(JSON.parse(written), 'the line');
      if (line.t === 'header') {
        header = readHeader(line);
      } else if (line.t === 'op') {
        const operation = readOperation(line, before, operations.length);
        before = operation.state ?? before;
        operations.push(operation);
      }
    } catch (error) {
      if (!(error instanceof RecordingError || error instanceof SyntaxError)) throw error;
      throw new RecordingError(`line ${n + 1}: ${error.message}`);
    }
  }
  if (header === null) throw new RecordingError('there is no header line: not a recording');
  return { header, operations };
}

/** Whether anything is recorded that a run could be compared with. */
export function hasResults(recording: Recording): boolean {
  return recording.operations.some(({ result, state }) => result !== null || state !== null);
}
