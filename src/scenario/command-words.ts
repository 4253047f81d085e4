/**
 * The debugger's command words. A line that starts with one (and is not `WORD: …`, `WORD = …` or
 * `WORD(…)`) is a command statement. `print`, `expect` and `schedule` are read here, not kept as text.
 */
export const commandWords: readonly string[] = [
  'break',
  'tbreak',
  'watch',
  'rwatch',
  'awatch',
  'catch',
  'condition',
  'ignore',
  'enable',
  'disable',
  'delete',
  'commands',
  'logpoint',
  'save',
  'source',
  'step',
  'next',
  'stepi',
  'finish',
  'until',
  'advance',
  'continue',
  'reverse-step',
  'reverse-next',
  'reverse-stepi',
  'reverse-finish',
  'reverse-until',
  'reverse-advance',
  'reverse-continue',
  'goto',
  'mark',
  'back',
  'forward',
  'task',
  'set',
  'choices',
  'take',
  'display',
  'undisplay',
  'x',
  'info',
  'vtop',
  'rmap',
  'why',
  'backtrace',
  'frame',
  'up',
  'down',
  'list',
  'echo',
  'kernel',
  'diff',
  'explore',
  'screen',
  'help',
  'apropos',
];

const known = new Set(commandWords);

/** Whether `word` starts a debugger command. */
export function isCommandWord(word: string): boolean {
  return known.has(word);
}
