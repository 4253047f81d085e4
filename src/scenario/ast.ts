/**
 * What a scenario is once read: the one form that scripts, the debugger prompt and recorded
 * programs share. Plain readonly data; every node knows where it stands in its text.
 */
import type { SourceText, Span } from './source.ts';
import type { TraceFacts } from './trace-facts.ts';

/** One scenario: a script (`*.mm`) or a recorded program (an strace log). */
export interface Scenario {
  readonly source: SourceText;
  readonly origin: Origin;
  readonly header: Header;
  readonly statements: readonly Statement[];
  /** Parameters that were given another value than the header's. */
  readonly given?: ReadonlyMap<string, number>;
  /** What a recorded program tells besides its operations; scripts have none. */
  readonly trace?: TraceFacts;
}

export type Origin = 'script' | 'trace';

/** The header: `lines` in the order written, and the same by meaning (see `headerOf`). */
export interface Header {
  readonly lines: readonly HeaderLine[];
  readonly title?: TextLine;
  readonly about: readonly TextLine[];
  readonly kernels?: KernelsLine;
  readonly config: readonly ConfigEntry[];
  readonly params: readonly ParamEntry[];
  readonly verdicts: readonly VerdictLine[];
}

export type HeaderLine =
  | TextLine
  | KernelsLine
  | ConfigLine
  | ParamLine
  | VerdictLine
  | Comment
  | Blank;

/** `title TEXT` or `about TEXT`; several `about` lines make one paragraph. */
export interface TextLine extends Line {
  readonly kind: 'title' | 'about';
  readonly text: string;
}

/** `kernels NAME…`: the first one is the default. */
export interface KernelsLine extends Line {
  readonly kind: 'kernels';
  readonly kernels: readonly Word[];
}

/** `config KEY=VALUE…`. */
export interface ConfigLine extends Line {
  readonly kind: 'config';
  readonly entries: readonly ConfigEntry[];
}

/** `param NAME=NUMBER…`: numbers that the one who runs the scenario may change. */
export interface ParamLine extends Line {
  readonly kind: 'param';
  readonly entries: readonly ParamEntry[];
}

export interface ParamEntry {
  readonly name: string;
  /** As written: what the parameter is unless somebody says otherwise. */
  readonly text: string;
  readonly value: number;
  readonly span: Span;
}

/** `value` is a number for counts (in their unit), sizes and addresses (in bytes), else the word. */
export interface ConfigEntry {
  readonly key: string;
  readonly text: string;
  readonly value: number | string;
  readonly span: Span;
}

/** `verdict [KERNEL…:] FINDING…`; no kernels = every kernel of the header; `none` = no findings. */
export interface VerdictLine extends Line {
  readonly kind: 'verdict';
  readonly kernels: readonly Word[];
  /** Finding kinds, or exactly one word `none`. */
  readonly findings: readonly Word[];
}

export interface Word {
  readonly text: string;
  readonly span: Span;
}

/** What every line has: its span and the text of a `#` comment after it. */
export interface Line {
  readonly span: Span;
  readonly comment?: string;
}

export type Statement = Operation | Race | Expect | Print | Command | SkippedCall | Comment | Blank;

/** A comment on a line of its own; `text` is what follows `#`. */
export interface Comment {
  readonly kind: 'comment';
  readonly text: string;
  readonly span: Span;
}

/** One or more empty lines. */
export interface Blank {
  readonly kind: 'blank';
  readonly span: Span;
}

/** `[ACTOR:] [NAME =] call(args) [= RESULT]`: something one task does. */
export interface Operation extends Line {
  readonly kind: 'operation';
  readonly origin: Origin;
  readonly actor: Actor;
  readonly bind?: Word;
  readonly callee: string;
  readonly calleeSpan: Span;
  readonly args: readonly Expr[];
  /** In a trace what was recorded, in a script what is expected. */
  readonly expectedResult?: Result;
  /** In a trace: seconds on its clock (`TraceFacts.clock`). */
  readonly time?: number;
  /** fork, vfork, clone, clone3 that made a task, where the form of the call tells. */
  readonly child?: ChildFacts;
  /** For trace operations on a descriptor: which file it was. */
  readonly file?: OpenFile;
}

/** Who does an operation. */
export type Actor =
  /** No actor written: the first process, whose name is the first that no fork made. */
  | { readonly kind: 'first' }
  | { readonly kind: 'task'; readonly name: string; readonly span: Span }
  | { readonly kind: 'kthread'; readonly name: KernelThread; readonly span: Span }
  /** strace's `1234 call(…)` and `[pid 1234] call(…)`; the number is a thread id. */
  | { readonly kind: 'pid'; readonly pid: number; readonly span: Span };

export const kernelThreads = ['kswapd', 'kcompactd', 'ksmd', 'khugepaged', 'kernel'] as const;
export type KernelThread = (typeof kernelThreads)[number];

export function isKernelThread(name: string): name is KernelThread {
  return (kernelThreads as readonly string[]).includes(name);
}

/** What a fork-like call made. */
export interface ChildFacts {
  /** The new task's id; absent when the trace does not tell. */
  readonly pid?: number;
  /** CLONE_VM or vfork: the child runs in the parent's address space. */
  readonly sharesMemory: boolean;
  /** CLONE_THREAD: a thread of the parent's process. */
  readonly isThread: boolean;
  /** CLONE_VFORK: the parent waits until the child execs or exits. */
  readonly isVfork: boolean;
}

/** A descriptor as the trace left it: which file, and how it was opened. */
export interface OpenFile {
  /** Index into `TraceFacts.files`. */
  readonly file: number;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Bytes, as far as the trace told by the time of the operation. */
  readonly size?: number;
}

/** The result of a call. */
export type Result =
  | { readonly kind: 'value'; readonly value: Expr; readonly span: Span }
  /** `-1 ENOMEM`, `-ENOMEM` or `ENOMEM`. */
  | {
      readonly kind: 'errno';
      readonly name: string;
      readonly errno: number;
      readonly span: Span;
    }
  /** `SIGSEGV`, `SIGBUS`: an access that faults. */
  | { readonly kind: 'signal'; readonly name: string; readonly span: Span }
  /** `?`: the call did not return (exit), or was to be restarted. */
  | { readonly kind: 'none'; readonly span: Span };

/** `race { … }`: the operations run concurrently, one task per actor; the schedule decides. */
export interface Race extends Line {
  readonly kind: 'race';
  readonly body: readonly RaceStatement[];
}

export type RaceStatement = Operation | Schedule | SkippedCall | Comment | Blank;

/** `schedule WORD` inside a race fixes its interleaving. */
export interface Schedule extends Line {
  readonly kind: 'schedule';
  readonly word: string;
}

export interface Expect extends Line {
  readonly kind: 'expect';
  /** Kernels it is about; absent: all. */
  readonly kernels?: readonly Word[];
  readonly expr: Expr;
}

export interface Print extends Line {
  readonly kind: 'print';
  readonly expr: Expr;
}

/** A debugger command, kept as text; its parts are the debugger's business. */
export interface Command extends Line {
  readonly kind: 'command';
  readonly word: string;
  /** What follows the word, trimmed; may be empty. */
  readonly rest: string;
  /** The lines between `commands` and `end`. */
  readonly body?: readonly Word[];
}

/** A system call in strace's form that does not concern memory or processes. */
export interface SkippedCall extends Line {
  readonly kind: 'skipped';
  readonly callee: string;
  /** The line as written: a skipped call is not looked into. */
  readonly text: string;
}

export type BinaryOperator =
  | '||'
  | '&&'
  | '=='
  | '!='
  | '<'
  | '<='
  | '>'
  | '>='
  | '|'
  | '&'
  | '+'
  | '-'
  | '*'
  | '/';

/** Expressions of arguments, `expect`, `print` and the debugger prompt. */
export type Expr =
  /** `value` in bytes where a size suffix was written; `text` as written. */
  | { readonly kind: 'number'; readonly value: number; readonly text: string; readonly span: Span }
  /** A Linux constant by its name; NULL is one. */
  | {
      readonly kind: 'constant';
      readonly name: string;
      readonly value: number;
      readonly span: Span;
    }
  | { readonly kind: 'name'; readonly name: string; readonly span: Span }
  /** `truncated`: strace printed `"…"...`. */
  | {
      readonly kind: 'string';
      readonly value: string;
      readonly truncated: boolean;
      readonly span: Span;
    }
  | {
      readonly kind: 'call';
      readonly callee: string;
      readonly args: readonly Expr[];
      readonly span: Span;
    }
  | { readonly kind: 'field'; readonly object: Expr; readonly field: string; readonly span: Span }
  | { readonly kind: 'index'; readonly object: Expr; readonly index: Expr; readonly span: Span }
  | {
      readonly kind: 'unary';
      readonly operator: '!' | '-';
      readonly operand: Expr;
      readonly span: Span;
    }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expr;
      readonly right: Expr;
      readonly span: Span;
    }
  /** strace's `3</etc/passwd>`, `AT_FDCWD</home>`. */
  | {
      readonly kind: 'fd';
      readonly fd: number;
      readonly path: string;
      readonly span: Span;
    }
  /** strace's `name=value`, as an argument or in a struct. */
  | { readonly kind: 'labelled'; readonly label: string; readonly value: Expr; readonly span: Span }
  /** strace's `{a=1, …}`; `after` is what `=> {…}` shows on return. */
  | {
      readonly kind: 'struct';
      readonly members: readonly Expr[];
      readonly after?: Expr;
      readonly span: Span;
    }
  /** strace's `[a, b]`. */
  | { readonly kind: 'array'; readonly items: readonly Expr[]; readonly span: Span }
  /** What a trace prints and we do not read (`...`, bit sets, numbers above 2^53), as text. */
  | { readonly kind: 'opaque'; readonly text: string; readonly span: Span };

/** The header's lines by meaning. */
export function headerOf(lines: readonly HeaderLine[]): Header {
  let title: TextLine | undefined;
  let kernels: KernelsLine | undefined;
  const about: TextLine[] = [];
  const config: ConfigEntry[] = [];
  const params: ParamEntry[] = [];
  const verdicts: VerdictLine[] = [];
  for (const line of lines) {
    if (line.kind === 'title') title ??= line;
    else if (line.kind === 'about') about.push(line);
    else if (line.kind === 'kernels') kernels ??= line;
    else if (line.kind === 'config') config.push(...line.entries);
    else if (line.kind === 'param') params.push(...line.entries);
    else if (line.kind === 'verdict') verdicts.push(line);
  }
  return {
    lines,
    ...(title ? { title } : {}),
    about,
    ...(kernels ? { kernels } : {}),
    config,
    params,
    verdicts,
  };
}
