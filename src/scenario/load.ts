/** Any text that is a scenario: a script or an strace log. */
import type { Scenario } from './ast.ts';
import type { ScenarioError } from './errors.ts';
import { type ParseOptions, parseScenario } from './parse.ts';
import { parseStrace } from './strace.ts';
import { isStraceLog } from './strace-detect.ts';

/** Reads a script or a recorded program, whichever the text is. Never throws on any text. */
export function loadScenario(
  text: string,
  options: ParseOptions = {},
): { readonly scenario: Scenario; readonly errors: readonly ScenarioError[] } {
  if (!isStraceLog(text)) return parseScenario(text, options);
  return { scenario: parseStrace(text, options.file), errors: [] };
}
