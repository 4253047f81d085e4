/** What a logpoint prints: its text with each `{EXPR}` replaced by its value, or what was hit. */
import { parseExpression } from '../scenario/expr.ts';
import { evaluate, formatValue, type Scope } from './expression.ts';

export function logText(format: string, what: string, scope: () => Scope): string {
  if (format === '') return what;
  return format.replace(/\{([^}]*)\}/g, (_all, text: string) => {
    try {
      return formatValue(evaluate(parseExpression(text), scope()));
    } catch (error) {
      return error instanceof Error ? `<${error.message}>` : '<?>';
    }
  });
}
