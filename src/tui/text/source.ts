import type { FieldView, SourceView } from '../../debugger/view.ts';
import type { Glyphs } from '../glyphs.ts';
import { sized, sizedLeft, widest } from './columns.ts';
import { type Block, type Role, type Row, row, type Sheet, type Span, sheet, span } from './row.ts';

/** The simulated kernel's source, the line about to run, and the values at that point. */
export function sourceSheet(view: SourceView, glyphs: Glyphs): Sheet {
  const digits = Math.max(4, String(view.lines.length).length);
  const marks = new Map(view.breakpoints.map((point) => [point.line, point]));
  const lines: Block = {
    length: view.lines.length,
    key: (index) => `${view.file}:${index + 1}`,
    row: (index) => {
      const number = index + 1;
      const isCurrent = number === view.line;
      const mark = marks.get(number);
      const spans: Span[] = [
        mark
          ? mark.enabled
            ? span(glyphs.breakpoint, 'breakpoint')
            : span(glyphs.breakpointOff, 'breakpointOff')
          : span(' '),
        span(sizedLeft(String(number), digits), isCurrent ? 'current' : 'dim'),
        isCurrent ? span(` ${glyphs.current} `, 'current') : span('   '),
        ...paintLine((view.lines[index] ?? '').replaceAll('\t', '    ')),
      ];
      return row(spans);
    },
  };
  if (view.isScenario) return scenarioSheet(view, lines);
  const place = view.fn === '' ? view.file : `${view.file}:${view.line} ${view.fn}()`;
  return sheet([lines], {
    home: view.line - 1,
    insist: true,
    subtitle: view.lines.length === 0 ? 'no task is in the kernel' : place,
    foot: view.locals.length === 0 ? [] : localRows(view.locals),
  });
}

/** No task is in the kernel: what the scenario does next. */
function scenarioSheet(view: SourceView, lines: Block): Sheet {
  return sheet([lines], {
    home: view.line - 1,
    insist: true,
    subtitle: view.line > 0 ? `next: ${view.file}:${view.line}` : `${view.file}, at its end`,
  });
}

function localRows(locals: readonly FieldView[]): Row[] {
  const width = widest(
    locals.map((local) => local.name),
    6,
    18,
  );
  return locals.map((local) =>
    row(
      [
        span('      '),
        span(sized(local.name, width), 'label'),
        span(local.changed ? ' ~ ' : ' = ', local.changed ? 'changed' : 'dim'),
        fieldValue(local),
      ],
      local.ref,
    ),
  );
}

/** A value keeps its mark when it changed and its link when it names an object. */
export function fieldValue(field: FieldView): Span {
  return span(field.value, field.changed ? 'changed' : field.ref ? 'ref' : 'text', field.ref);
}

const TOKENS =
  /(\/\/.*$|\/\*.*?(?:\*\/|$)|^\s*\*.*$)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)|\b(0x[0-9a-fA-F_]+|\d[\d_]*)\b|\b([A-Za-z_$][\w$]*)\b(\s*\()?|(yield\*)/g;

const KEYWORDS = new Set(
  'break case const continue default do else export false for function goto if import in let new null of return static struct switch true undefined void while yield'.split(
    ' ',
  ),
);

/** Light colouring: comments, literals, keywords and calls. Enough to see structure, no parser. */
function paintLine(line: string): Span[] {
  const spans: Span[] = [];
  let at = 0;
  const push = (text: string, role: Role): void => {
    if (text !== '') spans.push(span(text, role));
  };
  for (const match of line.matchAll(TOKENS)) {
    const [text, comment, literal, number, word, call] = match;
    push(line.slice(at, match.index), 'text');
    at = match.index + text.length;
    if (comment !== undefined) push(text, 'comment');
    else if (literal !== undefined) push(text, 'string');
    else if (number !== undefined) push(text, 'number');
    else if (word !== undefined && KEYWORDS.has(word)) {
      push(word, 'keyword');
      push(call ?? '', 'text');
    } else if (word !== undefined && call !== undefined) {
      push(word, 'function');
      push(call, 'text');
    } else push(text, 'text');
  }
  push(line.slice(at), 'text');
  return spans;
}
